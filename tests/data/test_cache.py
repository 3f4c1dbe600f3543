from __future__ import annotations

import errno
import hashlib
import json
import os
import warnings
from pathlib import Path

import pytest
import safetensors

import holdfast.data.load
from holdfast.data import ImageData, load_dataset
from holdfast.data.sources import cache_root
from holdfast.errors import HoldfastError, HoldfastWarning


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever a source is decoded."""
    calls: list[int] = []
    real = holdfast.data.load.read_pictures

    def counted(*arguments: object) -> object:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(holdfast.data.load, "read_pictures", counted)
    return calls


def load(folder: Path, cache: Path, split: str = "test") -> ImageData:
    return load_dataset(str(folder), split, cache_dir=cache)


def only_file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_second_load_reads_the_cache(parquet_set: Path, tmp_path: Path, decoded: list[int]) -> None:
    first, second = load(parquet_set, tmp_path / "cache"), load(parquet_set, tmp_path / "cache")
    assert len(decoded) == 1
    assert first.checksum() == second.checksum()
    for field in ("name", "split", "classes", "source"):
        assert getattr(first, field) == getattr(second, field)


def test_metadata_records_checksum_and_format(parquet_set: Path, tmp_path: Path) -> None:
    data = load(parquet_set, tmp_path / "cache")
    with safetensors.safe_open(only_file(tmp_path / "cache"), framework="pt") as stored:
        facts = stored.metadata()
    told = json.dumps([data.name, data.split, data.source, ["cat", "dog"], data.notes, data.left_out])
    assert facts["sha256"] == hashlib.sha256(f"{data.checksum()} {told}".encode()).hexdigest()
    assert json.loads(facts["classes"]) == ["cat", "dog"]
    assert facts["format"] == "3"
    assert len(facts["fingerprint"]) == 64


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "nonsense"])
def test_corrupt_cache_is_reported_and_rebuilt(
    parquet_set: Path, tmp_path: Path, decoded: list[int], damage: str
) -> None:
    sound = load(parquet_set, tmp_path / "cache").checksum()
    path = only_file(tmp_path / "cache")
    content = path.read_bytes()
    damaged = {
        "flip": content[:-70] + bytes([content[-70] ^ 1]) + content[-69:],
        "cut": content[:-10],
        "empty": b"",
        "nonsense": b"x" * 300,
    }[damage]
    path.write_bytes(damaged)
    with pytest.warns(HoldfastWarning, match="is corrupt"):
        assert load(parquet_set, tmp_path / "cache").checksum() == sound
    assert len(decoded) == 2
    assert load(parquet_set, tmp_path / "cache").checksum() == sound
    assert len(decoded) == 2


def test_changed_source_makes_the_cache_stale(parquet_set: Path, tmp_path: Path, decoded: list[int]) -> None:
    load(parquet_set, tmp_path / "cache")
    os.utime(parquet_set / "test-00000-of-00001.parquet", (1, 1))
    load(parquet_set, tmp_path / "cache")
    assert len(decoded) == 2


def test_changed_image_makes_the_cache_stale(tmp_path: Path, written: object, decoded: list[int]) -> None:
    written.write_image_folder(tmp_path / "test", written.draw_images(2), ["ant", "bee"])
    load(tmp_path, tmp_path / "cache")
    replacement = written.draw_images(1, seed=9)
    (tmp_path / "test" / "ant" / "000.png").write_bytes(written.png(replacement[0]))
    os.utime(tmp_path / "test" / "ant" / "000.png", (1, 1))
    assert load(tmp_path, tmp_path / "cache").images[0].flatten().tolist() == (
        replacement[0].transpose(2, 0, 1).flatten().tolist()
    )
    assert len(decoded) == 2


def test_older_format_is_rebuilt(
    parquet_set: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(holdfast.data.cache, "FORMAT", "0")
        load(parquet_set, tmp_path / "cache")
    load(parquet_set, tmp_path / "cache")
    assert len(decoded) == 2


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_is_reported_and_leaves_nothing_behind(
    parquet_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.warns(HoldfastWarning, match="No space left on device.*going on without"):
        assert len(load(parquet_set, tmp_path / "cache")) == 6
    assert list((tmp_path / "cache").iterdir()) == []


def test_cache_folder_that_is_a_file_is_reported(parquet_set: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.warns(HoldfastWarning, match="cannot cache"):
        assert len(load(parquet_set, tmp_path / "cache")) == 6


def test_failed_write_keeps_the_old_file(parquet_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(parquet_set, tmp_path / "cache")
    before = only_file(tmp_path / "cache").read_bytes()
    os.utime(parquet_set / "test-00000-of-00001.parquet", (1, 1))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.warns(HoldfastWarning, match="full"):
        load(parquet_set, tmp_path / "cache")
    assert only_file(tmp_path / "cache").read_bytes() == before


def test_corrupt_cache_and_corrupt_source_is_an_error(parquet_set: Path, tmp_path: Path) -> None:
    load(parquet_set, tmp_path / "cache")
    only_file(tmp_path / "cache").write_bytes(b"")
    source = parquet_set / "test-00000-of-00001.parquet"
    stat = source.stat()
    source.write_bytes(b"0" * stat.st_size)
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.warns(HoldfastWarning, match="is corrupt"), pytest.raises(HoldfastError) as caught:
        load(parquet_set, tmp_path / "cache")
    assert str(source) in str(caught.value)


@pytest.mark.usefixtures("no_hub")
def test_sound_cache_serves_when_the_source_is_gone(tmp_path: Path, written: object) -> None:
    images = [written.png(image) for image in written.draw_images(2, shape=(28, 28))]
    written.write_parquet(tmp_path / "data" / "mnist" / "test.parquet", images, [3, 4])
    load_dataset("mnist", "test", data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_dataset("mnist", "test", cache_dir=tmp_path / "cache")
    assert data.labels.tolist() == [3, 4]


def test_cache_folder_is_chosen_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "environment"))
    assert cache_root(tmp_path / "given") == tmp_path / "given"
    assert cache_root() == tmp_path / "environment"
    monkeypatch.delenv("HOLDFAST_CACHE")
    assert cache_root() == Path.home() / ".cache" / "holdfast"
