from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch

from holdfast.data import KNOWN, default_split, load_dataset
from holdfast.errors import HoldfastError, HoldfastWarning


def refused(name: str, split: str = "test", data_dir: Path | None = None) -> str:
    with pytest.raises(HoldfastError) as caught:
        load_dataset(name, split, data_dir=data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parquet_folder_gives_the_very_pixels(parquet_set: Path, written: SimpleNamespace) -> None:
    data = load_dataset(str(parquet_set), "test")
    expected = torch.from_numpy(written.draw_images(6, seed=1)).permute(0, 3, 1, 2)
    assert torch.equal(data.images, expected)
    assert data.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert (data.name, data.split, data.classes) == ("pets", "test", ("cat", "dog"))
    assert data.source == f"{parquet_set} (PNG)"


def test_val_is_a_tenth_of_each_class(parquet_set: Path, written: SimpleNamespace) -> None:
    whole = {image.tobytes() for image in written.draw_images(20).transpose(0, 3, 1, 2)}
    train, val = (load_dataset(str(parquet_set), split) for split in ("train", "val"))
    assert sorted(val.labels.tolist()) == [0, 1]
    assert {image.numpy().tobytes() for data in (train, val) for image in data.images} == whole
    assert len(train) == 18
    assert len(load_dataset(str(parquet_set), "all")) == 26


def test_published_validation_split_is_val(parquet_set: Path, written: SimpleNamespace) -> None:
    images = [written.png(image) for image in written.draw_images(4, seed=2)]
    written.write_parquet(parquet_set / "validation.parquet", images, [0, 1, 1, 1], names=["cat", "dog"])
    assert load_dataset(str(parquet_set), "val").labels.tolist() == [0, 1, 1, 1]
    assert len(load_dataset(str(parquet_set), "train")) == 20
    (parquet_set / "test-00000-of-00001.parquet").unlink()
    assert load_dataset(str(parquet_set), "test").labels.tolist() == [0, 1, 1, 1]
    assert len(load_dataset(str(parquet_set), "train")) == 18


def test_shards_are_joined_and_other_columns_and_plain_labels_work(tmp_path: Path, written: SimpleNamespace) -> None:
    images = written.draw_images(7, shape=(6, 5))
    for shard, chosen in enumerate((slice(0, 4), slice(4, 7))):
        written.write_parquet(
            tmp_path / "data" / f"test-0000{shard}-of-00002.parquet",
            [written.png(image) for image in images[chosen]],
            [0, 3, 1, 2, 0, 1, 2][chosen],
            columns=("img", "fine_label"),
        )
    data = load_dataset(str(tmp_path), "test")
    assert torch.equal(data.images[:, 0], torch.from_numpy(images))
    assert data.classes == ("0", "1", "2", "3")
    assert "only test exist" in refused(str(tmp_path), "train")


@pytest.mark.parametrize("folder_name", ["plain", "odd [1] name*"])
def test_image_folder_with_splits(tmp_path: Path, written: SimpleNamespace, folder_name: str) -> None:
    root = tmp_path / folder_name
    train, test = written.draw_images(8), written.draw_images(2, seed=1)
    written.write_image_folder(root / "train", train, ["ant", "bee"] * 4)
    written.write_image_folder(root / "test", test, ["bee", "bee"])
    data = load_dataset(str(root), "test")
    assert data.classes == ("ant", "bee")
    assert data.labels.tolist() == [1, 1]
    assert torch.equal(data.images, torch.from_numpy(test).permute(0, 3, 1, 2))
    assert load_dataset(str(root), "val").labels.tolist() == [0, 1]


def test_image_folder_without_splits(tmp_path: Path, written: SimpleNamespace) -> None:
    written.write_image_folder(tmp_path, written.draw_images(20), ["ant"] * 10 + ["bee"] * 10)
    assert default_split(str(tmp_path)) == "all"
    whole = load_dataset(str(tmp_path), "all")
    assert whole.labels.tolist() == [0] * 10 + [1] * 10
    assert torch.equal(whole.images, torch.from_numpy(written.draw_images(20)).permute(0, 3, 1, 2))
    seen: list[bytes] = []
    for split, count in {"train": 16, "val": 2, "test": 2}.items():
        for _ in range(2):  # the second time from the cache
            with pytest.warns(HoldfastWarning, match=f"no splits: '{split}' is {count} of its 20 images"):
                data = load_dataset(str(tmp_path), split)
        assert data.labels.tolist() == [0] * (count // 2) + [1] * (count // 2)
        seen += [image.numpy().tobytes() for image in data.images]
    assert sorted(seen) == sorted(image.numpy().tobytes() for image in whole.images)


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 3), ("P", 3), ("L", 1), ("LA", 1), ("1", 1)])
def test_modes_become_grey_or_rgb(tmp_path: Path, written: SimpleNamespace, mode: str, channels: int) -> None:
    images = [written.png(image, mode) for image in written.draw_images(3)]
    written.write_parquet(tmp_path / "test.parquet", images, [0, 1, 0])
    assert load_dataset(str(tmp_path), "test").shape == (channels, 6, 5)


def test_large_images_decode_alike_in_threads(tmp_path: Path, written: SimpleNamespace) -> None:
    images = written.draw_images(300, shape=(96, 97))
    written.write_parquet(tmp_path / "test.parquet", [written.png(im) for im in images], [0] * 300)
    assert np.array_equal(load_dataset(str(tmp_path), "test").images[:, 0].numpy(), images)


def test_known_name_is_found_in_order(
    tmp_path: Path, written: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label, folder in enumerate(("given/mnist", "given", "environment/mnist")):
        images = [written.png(image) for image in written.draw_images(2, shape=(28, 28))]
        written.write_parquet(tmp_path / folder / "test-00000-of-00001.parquet", images, [label, label])
    monkeypatch.setenv("HOLDFAST_DATA", str(tmp_path / "environment"))

    def found() -> int:
        data = load_dataset("mnist", "test", data_dir=tmp_path / "given")
        assert data.classes == KNOWN["mnist"].classes
        return int(data.labels[0])

    assert found() == 0
    (tmp_path / "given/mnist/test-00000-of-00001.parquet").unlink()
    assert found() == 1
    (tmp_path / "given/test-00000-of-00001.parquet").unlink()
    assert found() == 2
    assert load_dataset("ylecun/mnist", "test").name == "mnist"


def test_data_dir_may_hold_a_set_of_ones_own(parquet_set: Path) -> None:
    assert len(load_dataset("pets", "test", data_dir=parquet_set.parent)) == 6


def test_hub_is_asked_last(monkeypatch: pytest.MonkeyPatch, written: SimpleNamespace) -> None:
    asked: list[str] = []

    def hub(repository: str) -> datasets.DatasetDict:
        asked.append(repository)
        images = [{"bytes": written.png(im), "path": None} for im in written.draw_images(4)]
        features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["no", "yes"])})
        rows = datasets.Dataset.from_dict({"img": images, "label": [0, 1, 1, 0]}, features=features)
        return datasets.DatasetDict({"train": rows, "dev": rows, "unlabeled": rows})

    monkeypatch.setattr(datasets, "load_dataset", hub)
    data = load_dataset("someone/some-set", "test")
    assert data.classes == ("no", "yes")
    assert data.labels.tolist() == [0, 1, 1, 0]
    assert data.source == "Hugging Face Hub, someone/some-set (PNG)"
    assert load_dataset("someone/some-set", "test").checksum() == data.checksum()
    assert asked == ["someone/some-set"]


@pytest.mark.usefixtures("no_hub")
def test_unreachable_hub_names_the_folders_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_DATA", str(tmp_path / "elsewhere"))
    message = refused("cifar10", data_dir=tmp_path)
    for needed in (str(tmp_path / "cifar10"), str(tmp_path / "elsewhere"), "--data-dir", "HOLDFAST_DATA"):
        assert needed in message
    monkeypatch.delenv("HOLDFAST_DATA")
    assert "no local folder was given" in refused("someone/unheard-of")


def test_names_and_folders_that_do_not_exist(tmp_path: Path) -> None:
    assert "did you mean mnist" in refused("mnits")
    assert "did you mean train" in refused("digits", "trian")
    assert "does not exist" in refused(str(tmp_path / "absent"))
    assert "does not exist" in refused("./absent")
    assert "does not exist" in refused("mnist", data_dir=tmp_path / "absent")
    assert "holds no data set" in refused(str(tmp_path))


def test_folder_of_another_known_set_is_not_taken(tmp_path: Path, written: SimpleNamespace) -> None:
    images = [written.png(image) for image in written.draw_images(2)]
    written.write_parquet(tmp_path / "cifar10" / "test.parquet", images, [0, 1])
    assert "is not cifar10: it holds (3, 6, 5)" in refused("cifar10", data_dir=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_dataset", lambda _: (_ for _ in ()).throw(ConnectionError("offline")))
        assert "was not found" in refused("mnist", data_dir=tmp_path / "cifar10")


def test_known_set_needs_all_its_training_images(tmp_path: Path, written: SimpleNamespace) -> None:
    images = [written.png(image) for image in written.draw_images(2, shape=(28, 28))]
    written.write_parquet(tmp_path / "mnist" / "train.parquet", images, [0, 1])
    assert "there are only 2" in refused("mnist", "train", tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flip", "not parquet"])
def test_corrupt_parquet_is_named(parquet_set: Path, damage: str) -> None:
    path = parquet_set / "test-00000-of-00001.parquet"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[20:400] = bytes(byte ^ 0x5A for byte in content[20:400])
    else:
        content = bytearray(b"hello")
    path.write_bytes(content)
    message = refused(str(parquet_set))
    assert str(path) in message
    assert "corrupt" in message or "cannot be decoded" in message


def bad_rows(written: SimpleNamespace) -> dict[str, tuple[list[bytes], list[object], str]]:
    small, other = written.draw_images(1)[0], written.draw_images(1, shape=(7, 5, 3))[0]
    return {
        "sizes": ([written.png(small), written.png(other)], [0, 1], "2 sizes (5x6: 1, 5x7: 1); give --image-size"),
        "not an image": ([b"", b"nonsense"], [0, 1], "no image can be read: image 0 of"),
        "negative label": ([written.png(small)] * 2, [0, -1], "label -1 is outside"),
        "fractions": ([written.png(small)], [0.5], "one integer per image"),
        "several labels": ([written.png(small)] * 2, [[0], [0, 1]], "not a list of them"),
        "no label": ([written.png(small)] * 2, [0, None], "one integer per image"),
        "no rows": ([], [], "no images"),
    }


@pytest.mark.parametrize(
    "case",
    ["sizes", "not an image", "negative label", "fractions", "several labels", "no label", "no rows"],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, written: SimpleNamespace, case: str) -> None:
    images, labels, message = bad_rows(written)[case]
    written.write_parquet(tmp_path / "test.parquet", images, labels)
    assert message in refused(str(tmp_path))


def test_label_beyond_the_class_names(tmp_path: Path, written: SimpleNamespace) -> None:
    images = [written.png(image) for image in written.draw_images(2, shape=(28, 28))]
    written.write_parquet(tmp_path / "mnist" / "test.parquet", images, [0, 10])
    assert "of 11 classes, not (1, 28, 28) of 10" in refused("mnist", data_dir=tmp_path)


def test_missing_columns_are_named(tmp_path: Path, written: SimpleNamespace) -> None:
    images = [written.png(image) for image in written.draw_images(2)]
    written.write_parquet(tmp_path / "test.parquet", images, [0, 1], columns=("picture", "label"))
    assert "has columns picture, label; rename one" in refused(str(tmp_path))


def test_real_mnist_test_split(real_data: Callable[[str], Path]) -> None:
    data = load_dataset("mnist", "test", data_dir=real_data("mnist"))
    assert data.images.shape == (10_000, 1, 28, 28)
    assert torch.bincount(data.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.images.double().mean().item() / 255 == pytest.approx(0.1325, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_real_sets_have_their_published_sizes(name: str, real_data: Callable[[str], Path]) -> None:
    known = KNOWN[name]
    for split in ("train", "val", "test"):
        data = load_dataset(name, split, data_dir=real_data(name))
        assert len(data) == getattr(known, split)
        assert data.shape == known.shape
        assert data.classes == known.classes
        assert set(data.labels.tolist()) == set(range(10))
