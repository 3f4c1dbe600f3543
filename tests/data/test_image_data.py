from __future__ import annotations

import pytest
import torch

from holdfast.data import ImageData, labels_for, to_unit_interval
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
        ({"images": torch.zeros(4, 3, 5, 4, dtype=torch.float64)}, "uint8"),
        ({"images": torch.full((4, 3, 5, 4), 1.5)}, "images span 1.5..1.5"),
        ({"images": torch.full((4, 3, 5, 4), torch.nan)}, "give values in [0, 1]"),
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


def test_images_without_labels_say_so() -> None:
    assert make().labelled
    for classes in ((), ("cat", "dog")):
        data = make(labels=torch.full((4,), -1), classes=classes)
        assert (data.labelled, data.num_classes) == (False, len(classes))


def test_fingerprint_is_of_the_pixels_and_labels_alone() -> None:
    assert make().fingerprint == make(source="elsewhere", notes=("turned",)).fingerprint == make().checksum()[:16]
    assert make(images=make().images ^ 1).fingerprint != make().fingerprint


MODEL = ["tench, Tinca tinca", "crane", "Great Dane", "crane"]


@pytest.mark.parametrize(
    "names", [("tench, Tinca tinca", "Great Dane"), ("TENCH", "great_dane"), ("tinca tinca", "great-dane")]
)
def test_labels_are_mapped_by_name(names: tuple[str, str]) -> None:
    assert labels_for(make(classes=names), MODEL).tolist() == [0, 2, 0, 2]
    assert labels_for(make(classes=names), dict(enumerate(MODEL))).tolist() == [0, 2, 0, 2]


@pytest.mark.parametrize("name", ["cat", "crane", "<img src=x onerror=alert(1)>", ""])
def test_classes_that_a_model_does_not_have_once_are_named(name: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        labels_for(make(classes=(name, "great_dane")), MODEL)
    assert repr(name) in str(caught.value)
    assert "great_dane" not in str(caught.value)
    with pytest.raises(HoldfastError, match="no labels"):
        labels_for(make(labels=torch.full((4,), -1)), MODEL)


def test_classes_without_images_need_no_match() -> None:
    assert labels_for(make(classes=("tench", "Great Dane", "nothing")), MODEL).tolist() == [0, 2, 0, 2]


def test_unit_interval_ends_at_one() -> None:
    floats = to_unit_interval(torch.arange(256, dtype=torch.uint8), torch.float64)
    assert floats.min() == 0
    assert floats.max() == 1
    assert torch.equal((floats * 255).round(), torch.arange(256.0, dtype=torch.float64))
    deep = torch.tensor([0.0, 1 / 65535, 1.0])
    assert torch.equal(to_unit_interval(deep), deep)
