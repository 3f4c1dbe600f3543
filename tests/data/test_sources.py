"""Functions of one's own as data sets, and tables that label in different ways."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch

from holdfast.data import default_split, load_dataset
from holdfast.errors import HoldfastError, HoldfastWarning

OWN = """
import numpy as np, torch
from holdfast.data import ImageData

X = np.arange(40 * 4 * 4, dtype=np.uint16).reshape(40, 4, 4) * 100

def whole():
    return X, [i % 2 for i in range(40)]

def splits(split):
    n = {"train": 30, "val": 4, "test": 6, "all": 40}[split]
    return X[:n] / 65535, ["dog", "cat"] * (n // 2)

def named():
    return torch.zeros(4, 3, 5, 6), torch.tensor([0, 1, 1, 0]), ["cat", "dog", "owl"]

def bare():
    return X, None

def ready(split):
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    return ImageData("ready", split, images, torch.tensor([0, 1]), ("a", "b"), "made")

def fails():
    raise KeyError("no\\nsuch")

def wrong():
    return X

def unknown():
    return X[:2], ["cat", "cow"], ["cat", "dog"]

def short():
    return X, [0, 1]

def vectors():
    return X, np.zeros((40, 2))

number = 3
"""


@pytest.fixture
def own(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    path = tmp_path / f"own_{abs(hash(request.node.name))}.py"
    path.write_text(OWN)
    return str(path)


def test_a_function_of_ones_own_is_a_data_set(own: str) -> None:
    data = load_dataset(f"{own}:splits", "test")
    assert (data.classes, data.labels.tolist(), data.shape) == (("cat", "dog"), [1, 0] * 3, (1, 4, 4))
    assert torch.equal(data.images.flatten(), (torch.arange(96) * 100 / 65535).float())
    assert default_split(f"{own}:splits") == "test"
    assert load_dataset(f"{own}:ready", "val").split == "val"
    named = load_dataset(f"{own}:named", "all", image_size=8)
    assert (named.classes, named.shape, named.labels.tolist()) == (("cat", "dog", "owl"), (3, 8, 8), [0, 1, 1, 0])
    assert load_dataset(f"{own}:ready", "val", image_size=8, channels=3).shape == (3, 8, 8)


def test_a_function_without_splits_is_one_set(own: str) -> None:
    assert default_split(f"{own}:whole") == "all"
    assert len(load_dataset(f"{own}:whole", "all")) == 40
    seen = []
    for split in ("train", "val", "test"):
        with pytest.warns(HoldfastWarning, match=f"'{split}' is .* of its 40 images"):
            seen += load_dataset(f"{own}:whole", split).images.flatten(1)[:, 0].tolist()
    assert sorted(seen) == load_dataset(f"{own}:whole", "all").images.flatten(1)[:, 0].tolist()
    assert not load_dataset(f"{own}:bare", "test").labelled


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", "failed with KeyError"),
        ("wrong", "returned ndarray; give an ImageData"),
        ("unknown", "label 'cow' is none of its classes"),
        ("short", "40 images but 2 labels"),
        ("vectors", "one integer or name per image"),
        ("splitz", "did you mean splits"),
        ("number", "unknown data set"),
    ],
)
def test_functions_that_give_no_data_set_are_refused_in_one_line(own: str, name: str, message: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        load_dataset(f"{own}:{name}", "all")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_is_a_source_too(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(own).parent))
    assert len(load_dataset(f"{Path(own).stem}:ready", "test")) == 2
    with pytest.raises(HoldfastError, match="importing no_such_module failed"):
        load_dataset("no_such_module:f", "test")


# tables


def table(written: SimpleNamespace, path: Path, labels: list[object], names: list[str] | None = None) -> None:
    images = [written.png(image) for image in written.draw_images(len(labels))]
    written.write_parquet(path, images, labels, names=names)


def test_splits_that_order_their_classes_differently_are_mapped_by_name(
    tmp_path: Path, written: SimpleNamespace
) -> None:
    table(written, tmp_path / "train.parquet", [0, 1, 2] * 10, ["cat", "dog", "owl"])
    table(written, tmp_path / "test-0.parquet", [0, 1, 2], ["owl", "cat", "dog"])
    table(written, tmp_path / "test-1.parquet", [0, 1], ["bee", "dog"])
    data = load_dataset(str(tmp_path), "test")
    assert data.classes == ("cat", "dog", "owl", "bee")
    assert data.labels.tolist() == [2, 0, 1, 3, 1]
    assert "files number the classes differently: mapped by name" in data.notes
    assert load_dataset(str(tmp_path), "train").classes == data.classes


@pytest.mark.parametrize("other", [([0, 1], None), (["cat", "dog"], None)])
def test_names_beside_bare_numbers_are_refused(
    tmp_path: Path, written: SimpleNamespace, other: tuple[list[object], None]
) -> None:
    table(written, tmp_path / "train.parquet", [0, 1], ["dog", "cat"])
    table(written, tmp_path / "test.parquet", *other)
    with pytest.raises(HoldfastError, match=r"do not label alike .*give all of them the same class names"):
        load_dataset(str(tmp_path), "test")


def test_text_labels_share_one_numbering(tmp_path: Path, written: SimpleNamespace) -> None:
    table(written, tmp_path / "train.parquet", ["owl", "cat", "dog"] * 4)
    table(written, tmp_path / "test.parquet", ["dog", "<b>", "owl"])
    data = load_dataset(str(tmp_path), "test")
    assert (data.classes, data.labels.tolist()) == (("<b>", "cat", "dog", "owl"), [2, 0, 3])


@pytest.mark.parametrize(
    ("labels", "names"), [([-1, -1], None), ([None, None], None), ([-1, -1], ["dog", "cat"]), ([None, None], ["cat"])]
)
def test_hidden_labels_are_no_labels(
    tmp_path: Path, written: SimpleNamespace, labels: list[object], names: list[str] | None
) -> None:
    table(written, tmp_path / "train.parquet", [0, 1] * 10, ["cat", "dog"])
    table(written, tmp_path / "test.parquet", labels, names)
    data = load_dataset(str(tmp_path), "test")
    assert (data.classes, data.labelled) == (("cat", "dog"), False)


def test_labels_beyond_the_names_of_their_file_are_refused(tmp_path: Path, written: SimpleNamespace) -> None:
    images = [written.png(image) for image in written.draw_images(2)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    cells = [{"bytes": image, "path": None} for image in images]
    rows = datasets.Dataset.from_dict({"image": cells, "label": [0, 2]}, features=features)
    table(written, tmp_path / "train.parquet", [0, 1, 2] * 4, ["cat", "dog", "owl"])
    named = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["owl", "cat"])})
    rows.info.features = named
    rows.to_parquet(str(tmp_path / "test.parquet"))
    with pytest.raises(HoldfastError, match="label 2 is none of its 2 class names"):
        load_dataset(str(tmp_path), "test")


def test_images_alone_are_images_without_labels(tmp_path: Path, written: SimpleNamespace) -> None:
    cells = [{"bytes": written.png(image), "path": None} for image in written.draw_images(3)]
    rows = datasets.Dataset.from_dict({"picture": cells}, features=datasets.Features({"picture": datasets.Image()}))
    rows.to_parquet(str(tmp_path / "0000.parquet"))
    assert default_split(str(tmp_path)) == "all"
    assert not load_dataset(str(tmp_path), "all").labelled


def test_files_of_no_split_are_one_set_or_named(tmp_path: Path, written: SimpleNamespace) -> None:
    table(written, tmp_path / "0000.parquet", [0, 1], ["cat", "dog"])
    table(written, tmp_path / "0001.parquet", [1, 1], ["cat", "dog"])
    assert load_dataset(str(tmp_path), "all").labels.tolist() == [0, 1, 1, 1]
    table(written, tmp_path / "test.parquet", [1], ["cat", "dog"])
    data = load_dataset(str(tmp_path), "test")
    assert data.labels.tolist() == [1]
    assert "not read, of no split: 0000.parquet, 0001.parquet" in data.notes


def test_rows_without_a_picture_are_named(tmp_path: Path, written: SimpleNamespace) -> None:
    images = [written.png(image) for image in written.draw_images(3)]
    written.write_parquet(tmp_path / "test.parquet", [images[0], b"", images[2]], [0, 1, 2])
    with pytest.warns(HoldfastWarning, match=r"image 1 of '.*test.parquet' \(empty\)"):
        data = load_dataset(str(tmp_path), "test")
    assert data.labels.tolist() == [0, 2]
    assert np.array_equal(data.images[1], written.draw_images(3)[2].transpose(2, 0, 1))
