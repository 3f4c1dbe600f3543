from __future__ import annotations

import pytest
import torch

from holdfast.data import ImageData, to_unit_interval
from holdfast.errors import HoldfastError


def make(count: int = 4, **changed: object) -> ImageData:
    generator = torch.Generator().manual_seed(0)
    fields = {
        "name": "made",
        "split": "test",
        "images": torch.randint(256, (count, 3, 5, 4), generator=generator, dtype=torch.uint8),
        "labels": torch.arange(count) % 2,
        "classes": ("cat", "dog"),
        "source": "by hand",
    }
    return ImageData(**{**fields, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": torch.tensor([0, 1, 2, 0])}, "label 2 is outside 0..1"),
        ({"labels": torch.tensor([0, 1, -1, 0])}, "label -1 is outside 0..1"),
        ({"labels": torch.zeros(4)}, "int64"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "4 images but 3 labels"),
        ({"images": torch.zeros(4, 3, 5, 4)}, "uint8"),
        ({"images": torch.zeros(4, 5, 4, dtype=torch.uint8)}, "(N, C, H, W)"),
        (
            {
                "images": torch.zeros(0, 3, 5, 4, dtype=torch.uint8),
                "labels": torch.zeros(0, dtype=torch.int64),
            },
            "empty",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changed: dict[str, object], message: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        make(**changed)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_take_and_first() -> None:
    data = make()
    assert torch.equal(data.take([2, 0]).images, data.images[[2, 0]])
    assert torch.equal(data.take(torch.tensor([3])).labels, data.labels[3:])
    assert len(data.first(3)) == 3
    assert data.first(3).images.data_ptr() == data.images.data_ptr()


@pytest.mark.parametrize("indices", [[], [4], [-1]])
def test_take_refuses_positions_outside(indices: list[int]) -> None:
    with pytest.raises(HoldfastError, match=r"0\.\.3"):
        make().take(indices)


@pytest.mark.parametrize("n", [0, 5])
def test_first_refuses_more_than_there_is(n: int) -> None:
    with pytest.raises(HoldfastError, match="choose 1 to 4"):
        make().first(n)


def test_checksum_sees_images_labels_and_shape() -> None:
    data = make()
    sums = {
        data.checksum(),
        make(images=data.images.flip(0)).checksum(),
        make(labels=data.labels.flip(0)).checksum(),
        make(images=data.images.reshape(4, 3, 4, 5)).checksum(),
    }
    assert len(sums) == 4
    assert make().checksum() == data.checksum()
    assert make(images=data.images.to(memory_format=torch.channels_last)).checksum() == data.checksum()


def test_unit_interval_ends_at_one() -> None:
    floats = to_unit_interval(torch.arange(256, dtype=torch.uint8), torch.float64)
    assert floats.min() == 0
    assert floats.max() == 1
    assert torch.equal((floats * 255).round(), torch.arange(256.0, dtype=torch.float64))
