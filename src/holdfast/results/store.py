"""One run, two files: ``NAME.json`` (settings, summary, checksum) and ``NAME.records.gz`` (one line an image)."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.config import EvalConfig
from holdfast.data.catalogue import KNOWN
from holdfast.errors import HoldfastError
from holdfast.evaluate.records import Record
from holdfast.evaluate.summary import Summary, summarise
from holdfast.files import make_folder, write_atomically
from holdfast.parts import differences, from_json, from_plain, to_plain
from holdfast.recipes import METHODS, title
from holdfast.results.first_schema import train_config
from holdfast.train.config import TrainConfig
from holdfast.train.folder import RunFolder, load_config, read_metrics

KINDS = ("accuracy", "attribution")


@dataclass(frozen=True)
class RunResult:
    """A finished, evaluated run.

    ``records`` holds the rows of each kind ("accuracy", "attribution"); ``log`` the training log, one entry a
    line of its ``metrics.jsonl``; ``training`` its ``result.json`` (seconds, device, best epoch).
    """

    train: TrainConfig
    evaluation: EvalConfig
    training: dict[str, Any]
    log: list[dict[str, Any]]
    summary: dict[str, Any]
    records: dict[str, list[Record]]

    @property
    def dataset(self) -> str:
        return self.train.data.name

    @property
    def method(self) -> str:
        """The recipe's name without its data set, for example "trades-igr"."""
        return self.train.recipe.removeprefix(f"{self.dataset}-")

    @property
    def title(self) -> str:
        """The method as the paper writes it, for example "TRADES+IGR"."""
        return title(self.method)

    @property
    def seed(self) -> int:
        return self.train.seed

    @property
    def name(self) -> str:
        """``dataset-method-seed``, the stem of its files."""
        return f"{self.train.recipe}-{self.seed}"

    def column(self, name: str, kind: str = "attribution") -> list[Any]:
        """One quantity of every record, in the order of the images."""
        return [row[name] for row in self.records[kind]]


def read_run(folder: Path, evaluation: Path) -> RunResult:
    """A result from a run folder and the folder of its evaluation.

    Raises:
        HoldfastError: when either is unfinished.
    """
    run = RunFolder(folder)
    for file in (run.result, evaluation / "summary.json"):
        if not file.is_file():
            raise HoldfastError(f"{file} does not exist: the run is not finished; run its sweep again to finish it.")
    return RunResult(
        train=load_config(run.config),
        evaluation=from_json(EvalConfig, (evaluation / "config.json").read_bytes(), str(evaluation)),
        training=json.loads(run.result.read_text()),
        log=read_metrics(run.metrics),
        summary=json.loads((evaluation / "summary.json").read_text()),
        records={
            kind: [
                json.loads(line)
                for file in sorted((evaluation / "records").glob(f"{kind}-*.jsonl"))
                for line in file.read_text().splitlines()
            ]
            for kind in KINDS
        },
    )


def export_run(result: RunResult, out: Path) -> Path:
    """Write the two files of a result under ``out``; the same result gives the same bytes.

    Raises:
        HoldfastError: when ``out`` holds a result of that name with other settings.
    """
    make_folder(out)
    path = out / f"{result.name}.json"
    if path.is_file():
        old = load_result(path)
        changed = differences(old.train, result.train) + differences(old.evaluation, result.evaluation)
        if changed:
            raise HoldfastError(
                f"{path} holds a run with other settings ({'; '.join(changed)}); results of different settings are "
                "not mixed: choose another --out, or remove the old one."
            )
    rows = [json.dumps({"kind": kind, **row}) for kind in KINDS for row in result.records[kind]]
    packed = gzip.compress(("\n".join(rows) + "\n").encode(), mtime=0)
    records = path.with_suffix(".records.gz")
    records.write_bytes(packed)
    document = {
        "train": to_plain(result.train),
        "evaluation": to_plain(result.evaluation),
        "training": result.training,
        "log": result.log,
        "summary": result.summary,
        "records": {"file": records.name, "sha256": hashlib.sha256(packed).hexdigest(), "rows": len(rows)},
    }
    write_atomically(path, json.dumps(document, indent=1) + "\n")
    return path


def load_result(path: Path) -> RunResult:
    """Read a result and check its records against the checksum, and its summary against its records.

    Raises:
        HoldfastError: a file is missing, cut short or edited.
    """
    try:
        document = json.loads(path.read_text())
        records = path.with_name(document["records"]["file"])
        packed = records.read_bytes()
        intact = hashlib.sha256(packed).hexdigest() == document["records"]["sha256"]
    except OSError as error:
        raise HoldfastError(
            f"{error.filename} cannot be read ({error.strerror}); restore it, or run it again."
        ) from None
    except (KeyError, TypeError, ValueError):
        raise HoldfastError(
            f"{path} is not a result of holdfast, or is damaged; restore it, or run it again."
        ) from None
    if not intact:
        raise HoldfastError(
            f"{records} does not match the checksum in {path.name}: it was cut short or edited; "
            "restore it, or run it again."
        )
    rows: dict[str, list[Record]] = {kind: [] for kind in KINDS}
    for line in gzip.decompress(packed).decode().splitlines():
        row = json.loads(line)
        rows[row.pop("kind")].append(row)
    result = RunResult(
        train=_training(document["train"], str(path)),
        evaluation=from_plain(EvalConfig, document["evaluation"], str(path)),
        training=document["training"],
        log=document["log"],
        summary=document["summary"],
        records=rows,
    )
    stored, again = result.summary["metrics"], recomputed(result).metrics
    if stored.keys() != again.keys() or any(abs(stored[key]["mean"] - again[key].mean) > 1e-9 for key in again):
        raise HoldfastError(f"{path} holds numbers that its records do not give; restore it, or run it again.")
    return result


def _training(plain: dict[str, Any], where: str) -> TrainConfig:
    """The training settings of a result, of this schema or of the first."""
    return train_config(plain) if "attack" in plain else from_plain(TrainConfig, plain, where)


def recomputed(result: RunResult) -> Summary:
    """The summary, made again from the records alone."""
    known = KNOWN.get(result.dataset)
    features = result.summary["n_features"]
    if known is not None:
        channels, height, width = known.shape
        features = channels * height * width
    return summarise(result.records["accuracy"], result.records["attribution"], result.evaluation, features)


def load_results(folder: Path, *, methods: Sequence[str] | None = None) -> list[RunResult]:
    """Every result under ``folder``, ordered by data set, method and seed.

    Raises:
        HoldfastError: a damaged file, or results of one data set that were evaluated differently.
    """
    found = [load_result(path) for path in sorted(folder.glob("*.json"))]
    chosen = [r for r in found if methods is None or r.method in methods]
    refuse_mixture(chosen)
    order = list(METHODS)
    return sorted(chosen, key=lambda r: (r.dataset, order.index(r.method) if r.method in order else 99, r.seed))


def refuse_mixture(results: Sequence[RunResult]) -> None:
    """Raise when two results of one data set had another budget, and say what differs."""
    first: dict[str, RunResult] = {}
    for result in results:
        other = first.setdefault(result.dataset, result)
        changed = differences(other.evaluation, result.evaluation)
        if other.train.profile != result.train.profile:
            changed.append(f"profile: {other.train.profile} -> {result.train.profile}")
        if changed:
            raise HoldfastError(
                f"{other.name} and {result.name} have other settings ({'; '.join(changed)}): a table compares rows "
                "of one budget only; keep them in folders of their own."
            )
