from __future__ import annotations

import runpy
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from holdfast.data import KNOWN, load_dataset


@pytest.fixture(scope="module")
def stored() -> dict[str, torch.Tensor]:
    return safetensors.torch.load(files("holdfast.data").joinpath("assets/digits.safetensors").read_bytes())


def test_tensors_have_the_documented_form(stored: dict[str, torch.Tensor]) -> None:
    assert stored["images"].shape == (1797, 1, 8, 8)
    assert stored["images"].dtype == torch.uint8
    assert stored["labels"].shape == (1797,)
    assert stored["labels"].dtype == torch.int64
    assert stored["images"].unique().tolist() == [round(v * 255 / 16) for v in range(17)]


def test_splits_are_disjoint_and_cover_everything(stored: dict[str, torch.Tensor]) -> None:
    together = torch.cat([stored[split] for split in ("train", "val", "test")])
    assert torch.equal(together.sort().values, torch.arange(1797))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_each_split_has_its_size_and_the_same_share_of_every_class(split: str, stored: dict[str, torch.Tensor]) -> None:
    data = load_dataset("digits", split)
    assert len(data) == getattr(KNOWN["digits"], split)
    share = torch.bincount(data.labels, minlength=10) / torch.bincount(stored["labels"])
    assert share.max() - share.min() < 0.02
    assert data.classes == tuple("0123456789")


def test_asset_is_what_its_generator_makes(stored: dict[str, torch.Tensor]) -> None:
    pytest.importorskip("sklearn")
    made = runpy.run_path(str(Path(__file__).with_name("make_digits.py")))["digits_tensors"]()
    assert made.keys() == stored.keys()
    for name, tensor in stored.items():
        assert np.array_equal(made[name], tensor.numpy()), name


def test_same_digits_as_scikit_learn(stored: dict[str, torch.Tensor]) -> None:
    sklearn_digits = pytest.importorskip("sklearn.datasets").load_digits()
    assert np.array_equal(stored["labels"].numpy(), sklearn_digits.target)
    back = np.rint(stored["images"].numpy()[:, 0] * (16 / 255))
    assert np.array_equal(back, sklearn_digits.images)


def test_licence_is_shipped_beside_the_data() -> None:
    note = files("holdfast.data").joinpath("assets/LICENSE-digits.md").read_text()
    for needed in ("Alpaydin", "Kaynak", "CC BY 4.0", "10.24432/C50P49", "rounded"):
        assert needed in note


@pytest.mark.parametrize(
    ("split", "checksum"),
    [("train", "ca8161488a0df458"), ("val", "611258b9b1b1d0eb"), ("test", "025c33a6eadf4367")],
)
def test_splits_stay_what_published_numbers_were_measured_on(split: str, checksum: str) -> None:
    assert load_dataset("digits", split).checksum().startswith(checksum)
