"""One result, two files: ``NAME.json`` (subject, protocol, training, summary, checksum) and ``NAME.parquet`` (records).

A result lasts: what it holds must be contained in what its records give today, so that one more metric, attack or
defaulted setting takes nothing from it. Results of the first schema (``NAME.records.gz``, one line per image) are read
as well; written again, they are of this one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from holdfast.config import EvalConfig
from holdfast.errors import HoldfastError
from holdfast.evaluate.protocol import Protocol, protocol_differences, read_protocol
from holdfast.evaluate.records import packed, read_records, unpacked
from holdfast.evaluate.result import EvaluationResult
from holdfast.evaluate.standard import config_of, protocol_of
from holdfast.evaluate.subject import read_json
from holdfast.evaluate.summary import Names, shown
from holdfast.files import make_folder, write_atomically
from holdfast.metrics import Cosine, KendallTau, Metric, Pearson, Spearman, TopK, ZeroShare
from holdfast.parts import SCHEMA, differences, from_plain, to_plain
from holdfast.recipes import METHODS, SETUPS, setup, split_name, title
from holdfast.results.first_schema import train_config
from holdfast.results.wide import Record, Records, long_of
from holdfast.sealed import is_intact, parsed, sealed
from holdfast.train.config import TrainConfig
from holdfast.train.folder import RunFolder, load_config, read_training


@dataclass(frozen=True, eq=False)
class RunResult:
    """An evaluated model: a finished run, or anybody's.

    ``records`` may be given as one row per image by kind (see `holdfast.results.wide`); ``log`` is the training log,
    one entry a line of its ``metrics.jsonl``; ``training`` its ``result.json`` (seconds, device, best epoch).
    """

    protocol: Protocol
    summary: Mapping[str, Any]
    records: Records | Mapping[str, Sequence[Record]]
    settings: TrainConfig | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[Mapping[str, Any]] = ()
    subject: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    """What a model without training settings is called."""

    def __post_init__(self) -> None:
        if not isinstance(self.records, Records):
            object.__setattr__(self, "records", long_of(self.records, self.protocol))

    @property
    def train(self) -> TrainConfig:
        """The training settings.

        Raises:
            HoldfastError: the model was not trained here.
        """
        if self.settings is None:
            raise HoldfastError(f"{self.name} is a model that was not trained here, so it has no training settings.")
        return self.settings

    @property
    def evaluation(self) -> EvalConfig:
        """The numbers that define the paper's protocol; raises HoldfastError for another protocol."""
        return config_of(self.protocol)

    @property
    def dataset(self) -> str:
        """What its rows are grouped by: the setup of its recipe ("fashion_mnist_01"), or else its data set."""
        if self.settings is None:
            return self.protocol.dataset
        named = split_name(self.settings.recipe)[0]
        own = self.settings.data.name
        return named if named in SETUPS and setup(named).base.data.name == own else own

    @property
    def method(self) -> str:
        """The recipe's name without its data set, for example "trades-igr"; the name of a model without a recipe."""
        return self.label if self.settings is None else self.settings.recipe.removeprefix(f"{self.dataset}-")

    @property
    def title(self) -> str:
        """The method as the paper writes it, for example "TRADES+IGR"."""
        return title(self.method)

    @property
    def seed(self) -> int:
        return 0 if self.settings is None else self.settings.seed

    @property
    def profile(self) -> str | None:
        """The profile that it was trained under."""
        return None if self.settings is None else self.settings.profile

    @property
    def name(self) -> str:
        """The stem of its files: ``dataset-method-seed`` of a run."""
        return self.label if self.settings is None else f"{self.settings.recipe}-{self.seed}"

    def column(self, name: str, kind: str = "attribution") -> list[Any]:
        """One quantity of every image, in their order, by its short name ("kendall", "random_topk")."""
        return [row[name] for row in self.records[kind]]


def result_of(evaluated: EvaluationResult, label: str | None = None) -> RunResult:
    """What `holdfast.evaluate` gave back, as a result that can be stored."""
    return RunResult(
        protocol=evaluated.protocol,
        summary=evaluated.summary.to_dict(),
        records=Records(evaluated.table_of_records),
        subject=evaluated.subject,
        environment=evaluated.environment,
        label=label or evaluated.name,
    )


def read_run(folder: Path, evaluation: Path) -> RunResult:
    """A result from a run folder and the folder of its evaluation.

    Raises:
        HoldfastError: when either is unfinished.
    """
    run = RunFolder(folder)
    for file in (run.result, evaluation / "summary.json"):
        if not file.is_file():
            raise HoldfastError(f"{file} does not exist: the run is not finished; run its sweep again to finish it.")
    training, log = read_training(run)
    return replace(read_evaluation(evaluation), settings=load_config(run.config), training=training, log=log)


def read_evaluation(folder: Path) -> RunResult:
    """The result in a folder of records, of a model of which nothing else is known.

    Raises:
        HoldfastError: a file is missing or damaged.
    """
    return RunResult(
        protocol=read_protocol(folder),
        summary=read_json(folder / "summary.json"),
        records=Records(read_records(folder)),
        subject=read_json(folder / "subject.json"),
        environment=read_json(folder / "environment.json"),
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
        changed = differences(old.settings, result.settings)
        changed += protocol_differences(old.protocol, result.protocol, shared=True)
        if changed:
            raise HoldfastError(
                f"{path} holds a run with other settings ({'; '.join(changed)}); results of different settings are "
                "not mixed: choose another --out, or remove the old one."
            )
    assert isinstance(result.records, Records)
    content, records = packed(result.records.table), path.with_suffix(".parquet")
    write_atomically(records, content)
    document = {
        "schema": SCHEMA,
        "label": result.label,
        "subject": dict(result.subject),
        "environment": dict(result.environment),
        "protocol": to_plain(result.protocol),
        "train": None if result.settings is None else to_plain(result.settings),
        "training": dict(result.training),
        "log": list(result.log),
        "summary": dict(result.summary),
        "records": {
            "file": records.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "rows": result.records.table.num_rows,
        },
    }
    write_atomically(path, sealed(document, indent=1))
    return path


def load_result(path: Path) -> RunResult:
    """Read a result of any schema and check its records against the checksum, and its summary against its records.

    Raises:
        HoldfastError: a file is missing, cut short or edited, or of a schema from the future.
    """
    try:
        document = parsed(path.read_bytes())
        unchanged = is_intact(document)
        schema = document.get("schema", 1)
        if isinstance(schema, int) and schema > SCHEMA:
            raise _from_the_future(path, schema, document.get("environment", {}).get("holdfast"))
        records = path.with_name(document["records"]["file"])
        content = records.read_bytes()
        intact = hashlib.sha256(content).hexdigest() == document["records"]["sha256"]
    except OSError as error:
        raise HoldfastError(
            f"{error.filename} cannot be read ({error.strerror}); restore it, or run it again."
        ) from None
    except HoldfastError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _damaged(path) from None
    if not intact:
        raise HoldfastError(
            f"{records} does not match the checksum in {path.name}: it was cut short or edited; "
            "restore it, or run it again."
        )
    try:
        result = _first_schema(document, content, str(path)) if schema == 1 else _result(document, content, str(path))
        stored, again = result.summary["metrics"], means(result)
        contained = all(key in again and abs(stored[key]["mean"] - again[key]) <= 1e-9 for key in stored)
    except HoldfastError:
        raise
    except Exception:  # whatever a document of another shape leads to
        raise _damaged(path) from None
    if not contained:
        raise HoldfastError(f"{path} holds numbers that its records do not give; restore it, or run it again.")
    if not unchanged:
        raise HoldfastError(f"{path} does not match the checksum in it: it was edited; restore it, or run it again.")
    return result


def _damaged(path: Path) -> HoldfastError:
    return HoldfastError(f"{path} is not a result of holdfast, or is damaged; restore it, or run it again.")


def _from_the_future(path: Path, schema: int, version: str | None) -> HoldfastError:
    reads = f"holdfast {version} or newer" if version else "a newer holdfast"
    return HoldfastError(
        f"{path} has schema {schema}, this version reads the schemas 1 to {SCHEMA}; {reads} reads it: upgrade."
    )


def _result(document: dict[str, Any], content: bytes, where: str) -> RunResult:
    settings = document["train"]
    return RunResult(
        protocol=from_plain(Protocol, document["protocol"], where),
        summary=document["summary"],
        records=Records(unpacked(content)),
        settings=None if settings is None else from_plain(TrainConfig, settings, where),
        training=document["training"],
        log=document["log"],
        subject=document["subject"],
        environment=document["environment"],
        label=document["label"],
    )


def _first_schema(document: dict[str, Any], content: bytes, where: str) -> RunResult:
    rows: dict[str, list[Record]] = {"accuracy": [], "attribution": []}
    for line in gzip.decompress(content).decode().splitlines():
        row = json.loads(line)
        rows[row.pop("kind")].append(row)
    evaluation, training = from_plain(EvalConfig, {**document["evaluation"], "auto": None}, where), document["training"]
    settings = train_config(document["train"])
    there = set(rows["attribution"][0]) if rows["attribution"] else set()
    metrics: tuple[Metric, ...] = (
        KendallTau(),
        TopK(evaluation.ifia.k),
        Spearman(),
        Cosine(),
        Pearson(),
        *(m for m in (Cosine(magnitude=True), Pearson(magnitude=True)) if m.key in there),
        ZeroShare(),
    )
    return RunResult(
        protocol=protocol_of(evaluation, metrics),
        summary=document["summary"],
        records=rows,
        settings=settings,
        training=training,
        log=document["log"],
        subject={"model": settings.model, "data": f"{evaluation.dataset} ({evaluation.split})"},
        environment={key: training[key] for key in ("torch", "device") if key in training},
    )


def means(result: RunResult) -> dict[str, float]:
    """The mean of each quantity by its short name, made from the records alone."""
    assert isinstance(result.records, Records)
    frame = result.records.frame
    names = Names(frame)
    return {names.of(q): fmean(q.values.tolist()) for q in shown(frame, result.protocol.metrics)}


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
    """Raise when two results of one data set had another budget, and say what differs.

    What only one of them has (a metric, an attack) does not count.
    """
    first: dict[str, RunResult] = {}
    for result in results:
        other = first.setdefault(result.dataset, result)
        changed = protocol_differences(other.protocol, result.protocol, shared=True)
        if None not in (other.profile, result.profile) and other.profile != result.profile:
            changed.append(f"profile: {other.profile} -> {result.profile}")
        if changed:
            raise HoldfastError(
                f"{other.name} and {result.name} have other settings ({'; '.join(changed)}): a table compares rows "
                "of one budget only; keep them in folders of their own."
            )
