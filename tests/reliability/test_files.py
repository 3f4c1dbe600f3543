"""Files with something wrong in them: each gives what the sound file gives, or one line that says so.

A mutant is a sound file cut short, spliced, with bytes flipped or, if it is JSON, with values replaced, swapped,
doubled or left out. It must not end in another error than HoldfastError, and must not be accepted with another value.
Pictures without a checksum (JPEG) and what users write themselves (a plan) may hold other values: there only the error
counts.
"""

from __future__ import annotations

import hashlib
import runpy
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

import holdfast as hf
from holdfast.audit import load_audit
from holdfast.audit.store import _kept, pictures_of
from holdfast.data.cache import read_cache
from holdfast.data.image_data import ImageData
from holdfast.errors import HoldfastError, HoldfastWarning
from holdfast.models import SmallCNN
from holdfast.models.find import of_run
from holdfast.models.weights import load_weights, read_weights
from holdfast.part_json import to_plain
from holdfast.results import load_result
from holdfast.results.store import read_run
from holdfast.sweep.drive import check_settings
from holdfast.sweep.plan import load_plan
from holdfast.train import RunFolder
from holdfast.train.checkpoint import load_checkpoint
from holdfast.train.folder import load_config, read_training
from tests.reliability.mutants import mutant_of

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "paper" / "schema1"
PER_KIND = 15


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of file that the package reads. Treat as read-only."""
    root = tmp_path_factory.mktemp("sound")
    runpy.run_path(str(Path(__file__).with_name("sound_files.py")))["write"](root)
    return root


def images_of(folder: Path) -> list[str]:
    """Each image and its label, by SHA-256."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HoldfastWarning)  # what is left out is named
        data: ImageData = hf.load_dataset(str(folder), "all")
    rows = zip(data.images, data.labels.tolist(), strict=True)
    return [hashlib.sha256(x.numpy().tobytes() + bytes([y % 256])).hexdigest() for x, y in rows]


def refused(folder: Path) -> str:
    with pytest.raises(HoldfastError):
        images_of(folder)
    return "refused"


def cached(root: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HoldfastWarning)
        data = read_cache(root / "cached" / "digits.safetensors", None)
    if data is None:
        raise HoldfastError("said by a warning, and decoded again")
    return [getattr(data, f.name) for f in fields(data) if f.name not in ("images", "labels")], data.checksum()


def settings_of(root: Path) -> Any:
    return load_config(root / "run" / "config.json"), of_run(root / "run" / "config.json")


def weights_of(root: Path) -> Any:
    net = SmallCNN(image_size=8)
    return load_weights(net, root / "run" / "last.safetensors"), plain(net.state_dict())


def checkpoint_of(root: Path) -> Any:
    net = SmallCNN(image_size=8)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    progress = load_checkpoint(root / "half" / "checkpoints", net, optimizer)
    return progress, plain(net.state_dict()), plain(optimizer.state_dict())


def run_of(root: Path) -> Any:
    return exported(read_run(root / "run", root / "run" / "eval"))


def result_of(root: Path) -> Any:
    return exported(load_result(root / "exported" / "mnist-at-0.json"))


def exported(result: Any) -> Any:
    frame = result.records.frame.to_csv()
    parts = (to_plain(result.protocol), result.settings and to_plain(result.settings))
    return frame, parts, result.summary, result.training, result.log, result.subject, result.environment


def numbers_of_old(root: Path) -> Any:
    """Of the first schema, which notes no checksum of its settings: the records and the means."""
    result = load_result(root / "old" / "mnist-at-0.json")
    return result.records.frame["prediction"].to_list(), {k: v["mean"] for k, v in result.summary["metrics"].items()}


def audit_of(root: Path) -> Any:
    found = load_audit(root / "audit")
    return found.to_dict(), found.records.to_csv(), found.settings


def plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), hashlib.sha256(value.numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Kind:
    file: str
    read: Callable[[Path], Any]
    checked: bool = True
    """Whether a changed value can be told at all."""
    among: bool = False
    """Whether a part of the value will do, if the rest is left out by name."""


def training_of(root: Path) -> Any:
    return read_training(RunFolder(root / "run"))


def smoke_settings(root: Path) -> Any:
    return check_settings(load_plan("core", profile="smoke"), root / "sweep")


KINDS = [
    Kind("run/config.json", settings_of),
    Kind("run/result.json", training_of),
    Kind("run/metrics.jsonl", training_of),
    Kind("run/last.safetensors", weights_of),
    Kind("half/checkpoints/*/model.safetensors", checkpoint_of),
    Kind("half/checkpoints/*/state.pt", checkpoint_of),
    Kind("weights/weights.pt", lambda root: plain(read_weights(root / "weights" / "weights.pt")[0])),
    Kind("run/eval/protocol.json", run_of),
    Kind("run/eval/summary.json", run_of),
    Kind("run/eval/subject.json", run_of),
    Kind("run/eval/environment.json", run_of),
    Kind("run/eval/records/attribution-00000.parquet", run_of),
    Kind("exported/mnist-at-0.json", result_of),
    Kind("exported/mnist-at-0.parquet", result_of),
    Kind("old/mnist-at-0.json", numbers_of_old),
    Kind("old/mnist-at-0.records.gz", numbers_of_old),
    Kind("audit/audit.json", audit_of),
    Kind("audit/settings.json", audit_of),
    Kind("audit/records.parquet", audit_of),
    Kind("audit/images/00000.npz", lambda root: str(pictures_of(root / "audit", 0, "Saliency", 0))),
    Kind("audit/images/00000.json", lambda root: _kept(root / "audit" / "images" / "00000.json")),
    Kind("cached/digits.safetensors", cached),
    Kind("sweep/sweep.json", smoke_settings),
    Kind("plan/plan.json", lambda root: load_plan(str(root / "plan" / "plan.json")), checked=False),
    Kind("png/a/2.png", lambda root: images_of(root / "png"), among=True),
    Kind("jpeg/a/2.jpeg", lambda root: images_of(root / "jpeg"), checked=False, among=True),
    Kind("tables/all.parquet", lambda root: images_of(root / "tables"), among=True),
    Kind("t10k-images-idx3-ubyte/t10k-images-idx3-ubyte", lambda root: refused(root / "t10k-images-idx3-ubyte")),
    Kind("data_batch_1/data_batch_1", lambda root: refused(root / "data_batch_1")),
]


def outcome(kind: Kind, root: Path, whole: Any) -> str:
    """How a reader takes what lies there now: "refused" or "equal"; anything else is a failure of the test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            found = kind.read(root)
    except HoldfastError as error:
        lines = str(error).splitlines()
    else:
        if repr(found) == repr(whole):
            return "equal"
        rest = iter(whole if kind.among else ())
        if kind.among and all(row in rest for row in found):
            return "left out"
        assert not kind.checked, "accepted with another value"
        return "another"
    assert len(lines) == 1, lines
    return "refused"


def campaign(kind: Kind, sound: Path, place: Path, seeds: range) -> Counter[str]:
    top = kind.file.split("/")[0]
    shutil.copytree(sound / top, place / top)
    (file,) = place.glob(kind.file)
    content, whole, outcomes, failures = file.read_bytes(), kind.read(place), Counter[str](), []
    for seed in seeds:
        file.write_bytes(mutant_of(file, Random(f"{kind.file} {seed}")))
        try:
            outcomes[outcome(kind, place, whole)] += 1
        except Exception as error:  # of any type: that is what the test is about
            failures.append(f"mutant {seed} of {kind.file}: {type(error).__name__}: {error}"[:300])
        file.write_bytes(content)
    assert failures == []
    return outcomes


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.file)
def test_a_mutant_is_refused_or_equal(kind: Kind, sound: Path, tmp_path: Path) -> None:
    campaign(kind, sound, tmp_path, range(1))


@pytest.mark.slow
def test_mutants_of_every_file(sound: Path, tmp_path: Path) -> None:
    """The outcomes are printed (pytest -s)."""
    total, failures = Counter[str](), []
    for position, kind in enumerate(KINDS):
        try:
            found = campaign(kind, sound, tmp_path / str(position), range(1, 1 + PER_KIND))
        except AssertionError as error:
            failures.append(str(error))
            continue
        print(f"{kind.file:50} {dict(found)}")
        total += found
    print(f"{total.total()} mutants of {len(KINDS)} kinds of files: {dict(total)}")
    assert failures == []
    assert total.total() >= 330
    assert total["refused"] > total.total() / 2
