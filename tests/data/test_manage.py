from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import holdfast.data
from holdfast.data import available, describe, load_dataset, prepare
from holdfast.errors import HoldfastError


def test_prepare_lists_every_split_and_its_cache(parquet_set: Path, tmp_path: Path) -> None:
    rows = prepare(str(parquet_set), cache_dir=tmp_path / "cache")
    assert [(row["split"], row["images"]) for row in rows] == [("train", 18), ("val", 2), ("test", 6)]
    for row in rows:
        assert row["shape"] == (3, 6, 5)
        assert row["classes"] == 2
        assert row["seconds"] >= 0
        assert row["source"] == f"{parquet_set} (PNG)"
        assert Path(row["cache"]).parent == tmp_path / "cache"
        assert Path(row["cache"]).is_file()


def test_prepare_takes_the_splits_there_are(parquet_set: Path) -> None:
    (parquet_set / "train-00000-of-00001.parquet").unlink()
    assert [row["split"] for row in prepare(str(parquet_set))] == ["test"]


def test_a_set_without_splits_has_one_row(tmp_path: Path, written: SimpleNamespace) -> None:
    written.write_image_folder(tmp_path / "set", written.draw_images(6), ["ant", "bee"] * 3)
    (row,) = prepare(str(tmp_path / "set"), image_size=4)
    assert (row["split"], row["images"], row["shape"]) == ("all", 6, (3, 4, 4))
    assert Path(row["cache"]).is_file()
    assert row["notes"] == ("scaled (bicubic) and cropped around the centre to 4x4 from 5x6: 6",)
    (row,) = describe(str(tmp_path / "set"))
    assert row["counts"] == {"ant": 3, "bee": 3}


def test_the_command_prints_names_as_they_are(
    tmp_path: Path, written: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    from holdfast.cli.data import run

    written.write_image_folder(tmp_path / "[red]set", written.draw_images(6), ["[bold]", "<img src=x>"] * 3)
    (tmp_path / "[red]set" / "empty [b]").mkdir()
    run(["info", str(tmp_path / "[red]set"), "--image-size", "4"])
    printed = capsys.readouterr().out
    for needed in ("[red]set", "[bold] 3", "<img src=x> 3", "no image of class 'empty [b]'", "to 4x4 from 5x6: 6"):
        assert needed in printed


def test_prepare_passes_errors_on(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="does not exist"):
        prepare(str(tmp_path / "absent"))


def test_describe_agrees_with_the_images() -> None:
    (row,) = [row for row in describe("digits") if row["split"] == "test"]
    data = load_dataset("digits", "test")
    pixels = data.images.double() / 255
    assert row["mean"] == pytest.approx([pixels.mean().item()])
    assert row["std"] == pytest.approx([pixels.std(correction=0).item()])
    assert sum(row["counts"].values()) == 400
    assert row["counts"]["7"] == int((data.labels == 7).sum())
    assert row["sha256"] == data.checksum()


def test_describe_has_one_mean_per_channel(parquet_set: Path) -> None:
    row = describe(str(parquet_set))[0]
    pixels = load_dataset(str(parquet_set), "train").images.double() / 255
    assert row["mean"] == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert row["std"] == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())


def test_available_says_what_is_shipped_found_and_cached(tmp_path: Path, written: SimpleNamespace) -> None:
    images = [written.png(image) for image in written.draw_images(2, shape=(28, 28))]
    written.write_parquet(tmp_path / "mnist" / "test.parquet", images, [0, 1])
    load_dataset("mnist", "test", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    rows = {row["name"]: row for row in available(tmp_path, tmp_path / "cache")}
    assert rows["digits"]["shipped"]
    assert rows["mnist"]["found"] == str(tmp_path / "mnist")
    assert rows["mnist"]["cached"] == ["test"]
    assert rows["cifar10"]["found"] is None
    assert rows["cifar10"]["cached"] == []
    assert rows["cifar10"]["images"] == {"train": 45_000, "val": 5_000, "test": 10_000}


def test_listing_imports_neither_torch_nor_datasets() -> None:
    code = (
        "import sys, holdfast.data.catalogue, holdfast.data.manage as m; m.available(); "
        "print({'torch', 'datasets', 'numpy', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_resolves() -> None:
    assert set(dir(holdfast.data)) == set(holdfast.data.__all__)
    for name in holdfast.data.__all__:
        assert getattr(holdfast.data, name).__name__ if name not in ("KNOWN", "SPLITS") else True
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = holdfast.data.nothing
