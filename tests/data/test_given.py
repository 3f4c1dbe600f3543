"""Images from a PyTorch data set, a loader or arrays, as hf.evaluate and hf.audit take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import holdfast as hf
from holdfast.data.given import given_images

IMAGES = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
NET = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


class Own(Dataset[Any]):
    classes = ("ant", "bee", "cat")

    def __init__(self, item: Callable[[int], Any], length: int = 12) -> None:
        self.item, self.length = item, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> Any:
        return self.item(place)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from zip(IMAGES, LABELS, strict=True)


SAME = {
    "tensors": (IMAGES, LABELS),
    "float64 and int32 arrays": (IMAGES.numpy().astype(np.float64), LABELS.numpy().astype(np.int32)),
    "data set": TensorDataset(IMAGES, LABELS),
    "data set of arrays and integers": Own(lambda i: (IMAGES[i].numpy(), int(LABELS[i]))),
    "stream": Stream(),
    "loader": DataLoader(TensorDataset(IMAGES, LABELS), batch_size=5),
    "loader of more than pairs": DataLoader(TensorDataset(IMAGES, LABELS, LABELS), batch_size=5),
}


@pytest.mark.parametrize("data", SAME.values(), ids=SAME.keys())
@pytest.mark.parametrize("most", [None, 7])
def test_all_are_the_same_images(data: Any, most: int | None) -> None:
    found = given_images(data, most)
    assert found is not None
    count = 12 if most is None or isinstance(data, tuple) else most
    assert torch.equal(found.images, IMAGES[:count])
    assert found.images.dtype == torch.float32
    assert torch.equal(found.labels, LABELS[:count])


def test_an_evaluation_of_a_loader_is_that_of_its_tensors() -> None:
    settings: dict[str, Any] = {"eps": 0.1, "attacks": ["random-signs"], "predictions": ["fgsm"], "n_examples": 9}
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4)
    one, other = hf.evaluate(NET, loader, **settings), hf.evaluate(NET, (IMAGES, LABELS), **settings)
    assert one is not None
    assert other is not None
    assert one.records.equals(other.records)


def test_only_what_is_asked_for_is_read() -> None:
    read = []
    data = Own(lambda i: (read.append(i), IMAGES[i], LABELS[i])[1:])
    hf.evaluate(NET, data, eps=0.1, attacks=["random-signs"], predictions=[], n_examples=2)
    assert read == [0, 1]


def test_an_audit_knows_accuracy_and_class_names() -> None:
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.05,), images=3, certify=False)
    result = hf.audit(NET, Own(lambda i: (IMAGES[i], LABELS[i])), settings)
    assert result.accuracy == float((NET(IMAGES[:3]).argmax(1) == LABELS[:3]).float().mean())
    assert result.classes == Own.classes
    assert hf.audit(NET, IMAGES.numpy(), settings).accuracy is None


def test_labels_of_an_audit_are_checked_before_it() -> None:
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.05,), images=3, certify=False)
    with pytest.raises(hf.HoldfastError, match=r"labels span \[90, 92\], but the model has 3 logits"):
        hf.audit(NET, (IMAGES, LABELS + 90), settings)


BAD = {
    "pictures": (lambda i: (Image.new("L", (6, 6)), 0), "image of type Image at place 0; give it a transform"),
    "images alone": (lambda i: IMAGES[i], "a Tensor at place 0; give one of pairs"),
    "names": (lambda i: (IMAGES[i], "dog"), "'dog' as a label at place 0; give class indices"),
    "parts of a class": (lambda i: (IMAGES[i], 0.5), "0.5 as a label at place 0"),
    "two shapes": (lambda i: (IMAGES[i, :, : 6 - i], 0), r"shape \(1, 5, 6\) after ones of \(1, 6, 6\).* at place 1"),
}


@pytest.mark.parametrize(("item", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_named(item: Callable[[int], Any], message: str) -> None:
    with pytest.raises(hf.HoldfastError, match=message):
        given_images(Own(item))


def test_an_empty_set_and_one_larger_than_memory() -> None:
    with pytest.raises(hf.HoldfastError, match="the Own is empty"):
        given_images(Own(lambda i: (IMAGES[i], 0), length=0))
    huge = Own(lambda i: (IMAGES[0], 0), length=10**9)
    with pytest.raises(hf.HoldfastError, match=r"1,000,000,000 images .* take 134 GiB in memory"):
        given_images(huge)
    found = given_images(huge, most=2)
    assert found is not None
    assert len(found.images) == 2


def test_a_loader_that_shuffles_is_warned_of() -> None:
    with pytest.warns(hf.HoldfastWarning, match="shuffle=False"):
        given_images(DataLoader(TensorDataset(IMAGES, LABELS), shuffle=True))


@pytest.mark.parametrize(
    "call", [lambda d: hf.evaluate(NET, (IMAGES, LABELS), device=d), lambda d: hf.audit(NET, IMAGES, device=d)]
)
def test_a_device_that_is_not_there(call: Callable[[str], Any]) -> None:
    with pytest.raises(hf.HoldfastError, match="device 'gpu' is not available here"):
        call("gpu")
