"""Image folders as people have them: which class an image gets, and what is said of the rest."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.data import DeviceLoader, ImageData, default_split, load_dataset
from holdfast.errors import HoldfastError, HoldfastWarning

Put = Callable[[str], Path]


@pytest.fixture
def put(tmp_path: Path, written: SimpleNamespace) -> Put:
    """Writes one picture below the root ``set``."""
    count = iter(range(1000))

    def write(place: str) -> Path:
        path = tmp_path / "set" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written.png(written.draw_images(1, seed=next(count))[0]))
        return path

    return write


def plain_set(put: Put, splits: str = "train test", classes: str = "a b c", count: int = 2) -> None:
    for split in splits.split():
        for name in classes.split():
            for i in range(count):
                put(f"{split}/{name}/{i}.png")


def load(tmp_path: Path, split: str = "test", **options: object) -> ImageData:
    return load_dataset(str(tmp_path / "set"), split, **options)


def facts(data: ImageData) -> tuple[tuple[str, ...], list[int]]:
    return data.classes, data.labels.tolist()


ABC = (("a", "b", "c"), [0, 0, 1, 1, 2, 2])


def test_deeper_levels_belong_to_their_class(tmp_path: Path, put: Put) -> None:
    plain_set(put, classes="a b")
    for split in ("train", "test"):
        put(f"{split}/c/patient1/day 2/0.png")
        put(f"{split}/c/patient2/0.png")
    assert facts(load(tmp_path)) == ABC


@pytest.mark.parametrize("linked", ["class", "split", "file", "circle"])
def test_symbolic_links_are_followed(tmp_path: Path, put: Put, linked: str) -> None:
    plain_set(put)
    root = tmp_path / "set/test"
    if linked == "circle":
        (root / "a/up").symlink_to(root, target_is_directory=True)
    else:
        place = {"class": root / "a", "split": root, "file": root / "b/0.png"}[linked]
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    found = facts(load(tmp_path))
    assert found == ABC if linked != "circle" else found[0] == ABC[0]


@pytest.mark.parametrize("where", ["a", "b", "c"])
def test_an_empty_class_keeps_its_number(tmp_path: Path, put: Put, where: str) -> None:
    names = [name for name in "abc" if name != where]
    plain_set(put, "test", " ".join(names))
    (tmp_path / "set/test" / where).mkdir()
    data = load(tmp_path)
    assert facts(data) == (("a", "b", "c"), [i for i, name in enumerate("abc") if name != where for _ in range(2)])
    assert any(f"no image of class {where!r}" in note for note in data.notes)


def test_all_splits_share_one_numbering(tmp_path: Path, put: Put) -> None:
    plain_set(put, "train", "a b c")
    plain_set(put, "test", "b d")
    put("val/c/0.png")
    assert facts(load(tmp_path)) == (("a", "b", "c", "d"), [1, 1, 3, 3])
    assert facts(load(tmp_path, "val")) == (("a", "b", "c", "d"), [2])
    assert facts(load(tmp_path, "train")) == (("a", "b", "c", "d"), [0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("name", ["__a__", "a b", "A", "\u00e4", "<img src=x onerror=alert(1)>", "0"])
def test_names_of_classes_are_text(tmp_path: Path, put: Put, name: str) -> None:
    plain_set(put, classes="b c")
    for split in ("train", "test"):
        put(f"{split}/{name}/0.png")
    data = load(tmp_path)
    assert set(data.classes) == {name, "b", "c"}
    assert data.labels.tolist().count(data.classes.index(name)) == 1


def test_names_that_are_no_text_are_made_printable(tmp_path: Path, put: Put) -> None:
    plain_set(put, classes="b")
    try:
        os.rename(os.fsencode(tmp_path / "set/test/b"), os.fsencode(tmp_path / "set/test") + b"/x\xffy\n")
    except OSError:
        pytest.skip("this file system takes only text")
    assert "x\N{REPLACEMENT CHARACTER}y\N{REPLACEMENT CHARACTER}" in load(tmp_path).classes


def test_two_spellings_of_one_accent_are_one_class(tmp_path: Path, put: Put) -> None:
    put("train/caf\u00e9/0.png")
    put("test/cafe\u0301/0.png")
    assert facts(load(tmp_path)) == (("caf\u00e9",), [0])


@pytest.mark.parametrize("stray", ["test/montage.png", "test/.a/0.png", "train/montage.png"])
def test_what_has_no_class_is_left_out_and_named(tmp_path: Path, put: Put, stray: str) -> None:
    plain_set(put)
    put(stray)
    for _ in range(2):  # the second time from the cache
        with pytest.warns(HoldfastWarning, match=stray.removesuffix("/0.png")):
            assert facts(load(tmp_path)) == ABC
    with pytest.raises(HoldfastError, match="repair or remove"):
        load(tmp_path, strict=True)


@pytest.mark.parametrize("junk", ["test/a/.ipynb_checkpoints/0.png", "test/__MACOSX/a/0.png", "test/a/._0.png"])
def test_leftovers_of_systems_are_not_there(tmp_path: Path, put: Put, junk: str) -> None:
    plain_set(put)
    put(junk)
    assert facts(load(tmp_path)) == ABC


def test_other_files_are_counted(tmp_path: Path, put: Put) -> None:
    plain_set(put)
    for name in ("test/metadata.csv", "test/a/notes.txt", "train/b/Thumbs.db", "train/b/more.txt"):
        put(name).write_text("file_name,text\n")
    assert facts(load(tmp_path)) == ABC
    (note,) = (note for note in load(tmp_path).notes if note.startswith("ignored, not pictures: "))
    assert set(note.partition(": ")[2].split(", ")) == {"2 .txt", "1 .csv", "1 .db"}


def test_names_of_splits_beside_classes_are_ambiguous(tmp_path: Path, put: Put) -> None:
    for name in ("bus", "car", "train"):
        put(f"{name}/0.png")
    with pytest.raises(HoldfastError, match="'train', the name of a split, beside 'bus': split or class"):
        load(tmp_path)


def test_two_folders_of_one_split_are_refused(tmp_path: Path, put: Put) -> None:
    plain_set(put, "val validation train")
    with pytest.raises(HoldfastError, match="two are the same split"):
        load(tmp_path)


def test_folders_beside_the_splits_are_named(tmp_path: Path, put: Put) -> None:
    plain_set(put)
    put("samples/0.png")
    assert "not read, beside the splits: samples" in load(tmp_path).notes
    assert facts(load(tmp_path)) == ABC


def test_a_plain_class_folder_is_one_set(tmp_path: Path, put: Put) -> None:
    plain_set(put, ".", "a b", 20)
    assert default_split(str(tmp_path / "set")) == "all"
    assert facts(load(tmp_path, "all")) == (("a", "b"), [0] * 20 + [1] * 20)
    with pytest.warns(HoldfastWarning, match=r"'test' is 4 of its 40 images.*'all' is all of them"):
        assert len(load(tmp_path, "test")) == 4


def test_too_few_images_to_hold_some_out(tmp_path: Path, put: Put) -> None:
    plain_set(put, ".", "a b", 2)
    with pytest.raises(HoldfastError, match="'val': no class has enough of the 4 images"):
        load(tmp_path, "val")


def test_a_flat_folder_gives_images_without_labels(tmp_path: Path, put: Put) -> None:
    for i in range(3):
        put(f"{i}.png")
    assert default_split(str(tmp_path / "set")) == "all"
    for split in ("all", "test"):
        data = load(tmp_path, split)
        assert (facts(data), data.labelled) == (((), [-1] * 3), False)
    with pytest.raises(HoldfastError, match="no labels; put them in one folder per class"):
        load(tmp_path, "train")
    with pytest.raises(HoldfastError, match="no labels to train on"):
        DeviceLoader(data, batch_size=2)


def test_a_flat_test_split_has_no_labels_but_knows_the_classes(tmp_path: Path, put: Put) -> None:
    plain_set(put, "train", count=10)
    put("test/0.png")
    assert facts(load(tmp_path)) == (("a", "b", "c"), [-1])
    assert load(tmp_path, "train").labelled


def test_numbers_as_names_are_sorted_as_text_and_said_so(tmp_path: Path, put: Put) -> None:
    plain_set(put, "test", "1 2 10", 1)
    data = load(tmp_path)
    assert facts(data) == (("1", "10", "2"), [0, 1, 2])
    assert any("'10' comes before '2'" in note for note in data.notes)


SUFFIXES = [".jfif", ".JPE", ".dib", ".ppm", ".tif", "", ".dat"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whatever_is_read_is_in_the_fingerprint(
    tmp_path: Path, put: Put, written: SimpleNamespace, suffix: str
) -> None:
    path = put(f"test/a/0{suffix}")
    first = load(tmp_path)
    stat = path.stat()
    path.write_bytes(written.png(written.draw_images(1, seed=77)[0]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = load(tmp_path)
    assert second.fingerprint != first.fingerprint
    put(f"test/a/1{suffix}")
    assert len(load(tmp_path)) == 2
    (tmp_path / "set/test/b").mkdir()
    assert load(tmp_path).classes == ("a", "b")


def test_no_picture_at_all_is_one_line(tmp_path: Path, put: Put) -> None:
    put("test/a/notes.txt").write_text("nothing")
    with (
        pytest.raises(HoldfastError, match=r"holds no images; .*ignored, not pictures: 1 \.txt"),
        warnings.catch_warnings(),
    ):
        load(tmp_path, "all")
