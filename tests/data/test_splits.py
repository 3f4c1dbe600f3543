from __future__ import annotations

import numpy as np
import pytest

from holdfast.data.splits import MissingSplitError, hold_out_last, hold_out_tenth, plan_split


def test_last_images_are_held_out() -> None:
    parts = hold_out_last(12, 5)
    assert parts["train"].tolist() == list(range(7))
    assert parts["val"].tolist() == list(range(7, 12))


@pytest.mark.parametrize("parts", [("train", "val"), ("train", "val", "test")])
def test_tenths_are_disjoint_cover_everything_and_hold_every_class(parts: tuple[str, ...]) -> None:
    labels = np.random.default_rng(0).integers(5, size=400)
    chosen = hold_out_tenth(labels, list(map(str, range(400))), parts)
    assert np.array_equal(np.sort(np.concatenate(list(chosen.values()))), np.arange(400))
    for part in parts[1:]:
        assert np.array_equal(np.bincount(labels[chosen[part]]), np.bincount(labels) // 10)


def test_a_class_too_small_to_divide_stays_in_train() -> None:
    chosen = hold_out_tenth(np.array([0, 0, 0, 1, 1]), list("abcde"), ("train", "val", "test"))
    assert {3, 4} < set(chosen["train"].tolist())
    assert [len(chosen[part]) for part in ("train", "val", "test")] == [3, 1, 1]


def test_a_folder_below_its_class_is_never_divided() -> None:
    labels = np.repeat([0, 1], 50)
    patients = [f"{label}/{i // 5}" for i, label in enumerate(labels)]
    chosen = hold_out_tenth(labels, patients, ("train", "val", "test"))
    of = [{patients[i] for i in indices} for indices in chosen.values()]
    assert sum(map(len, of)) == len(set(patients))
    assert [len(indices) for indices in chosen.values()] == [80, 10, 10]


def test_held_out_images_stay_the_same_when_others_come() -> None:
    names = [f"{i}.png" for i in range(100)]
    few = hold_out_tenth(np.zeros(100, np.int64), names, ("train", "val"))["val"]
    more = hold_out_tenth(np.zeros(109, np.int64), [*names, *"abcdefghi"], ("train", "val"))["val"]
    assert len(set(few) & set(more)) >= 8


@pytest.mark.parametrize(
    ("available", "known", "expected"),
    [
        ("train test", True, {"train": "train", "val": "train", "test": "test"}),
        ("train validation test", True, {"train": "train", "val": "train", "test": "test"}),
        ("train validation test", False, {"train": "train", "val": "validation", "test": "test"}),
        ("train test", False, {"train": "train", "val": "train", "test": "test"}),
        ("train validation", False, {"train": "train", "val": "train", "test": "validation"}),
        ("train", False, {"train": "train", "val": "train", "test": "train"}),
        ("all", False, {"train": "all", "val": "all", "test": "all", "all": "all"}),
    ],
)
def test_where_each_split_comes_from(available: str, known: bool, expected: dict[str, str]) -> None:
    plans = {split: plan_split(available.split(), split, known=known) for split in expected}
    assert {split: raw for split, ((raw,), _) in plans.items()} == expected
    assert all(split in parts for split, (_, parts) in plans.items())


@pytest.mark.parametrize(
    ("available", "known", "split"),
    [("test", False, "train"), ("test", False, "val"), ("train", True, "test"), ("validation", False, "val")],
)
def test_missing_splits_are_named(available: str, known: bool, split: str) -> None:
    with pytest.raises(MissingSplitError, match=f"only {available} exist"):
        plan_split([available], split, known=known)
