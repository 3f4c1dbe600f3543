"""Results by the path of whatever holds them, and stored as two files: ``NAME.json`` and ``NAME.parquet``.

The first holds subject, protocol, training, summary and checksum, the second the records.
A result lasts: what it holds must be contained in what its records give today, so that one more metric, attack or
defaulted setting takes nothing from it. Results of the first schema (``NAME.records.gz``, one line per image) are read
as well; written again, they are of this one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.evaluate.protocol import Protocol, protocol_differences, read_protocol
from holdfast.evaluate.records import packed, read_records, unpacked
from holdfast.evaluate.subject import read_json
from holdfast.files import make_folder, write_atomically
from holdfast.part_json import SCHEMA, from_plain, to_plain
from holdfast.parts import differences
from holdfast.recipes import METHODS
from holdfast.results.first_schema import first_schema
from holdfast.results.result import RunResult, means
from holdfast.results.wide import Records
from holdfast.sealed import is_intact, parsed, sealed
from holdfast.train.config import TrainConfig
from holdfast.train.folder import RunFolder, load_config, read_training


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


def export_run(result: RunResult, out: str | Path) -> Path:
    """Write the two files of a result under ``out``; the same result gives the same bytes.

    Slashes and colons of its name, as in ``mnist/at`` and ``hf:owner/net``, are hyphens in those of the files.

    Raises:
        HoldfastError: when ``out`` holds a result of that name with other settings.
    """
    out = Path(out).expanduser()
    make_folder(out)
    path = out / (re.sub(r"[/\\:]+", "-", result.name.strip("/")) + ".json")
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


def load_result(path: str | Path) -> RunResult:
    """Read a result of any schema and check its records against the checksum, and its summary against its records.

    Raises:
        HoldfastError: a file is missing, cut short or edited, or of a schema from the future.
    """
    path = Path(path).expanduser()
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
        read = first_schema if schema == 1 else _second_schema
        result = read(document, content, str(path))
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


def _second_schema(document: Mapping[str, Any], content: bytes, where: str) -> RunResult:
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


def load_results(folder: str | Path, *, methods: Sequence[str] | None = None) -> list[RunResult]:
    """Every result under ``folder``, ordered by data set, method and seed.

    Raises:
        HoldfastError: no such folder, a damaged file, or results of one data set that were evaluated differently.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise HoldfastError(f"{folder} is not a folder; give one that --export wrote to.")
    found = [load_result(path) for path in sorted(folder.glob("*.json"))]
    chosen = [r for r in found if methods is None or r.method in methods]
    refuse_unlike(chosen, in_tables=True)
    order = list(METHODS)
    return sorted(chosen, key=lambda r: (r.dataset, order.index(r.method) if r.method in order else 99, r.seed))


def refuse_unlike(results: Iterable[RunResult], *, in_tables: bool = False) -> None:
    """Raise unless all were evaluated alike on one data set; one more attack or metric of some does not matter.

    Args:
        results: what is to stand side by side.
        in_tables: whether each data set has a table of its own, whose rows were trained under one profile, too.
    """
    first: dict[str, RunResult] = {}
    for result in results:
        other = first.setdefault(result.dataset if in_tables else "", result)
        changed = protocol_differences(other.protocol, result.protocol, shared=True)
        if in_tables and None not in (other.profile, result.profile) and other.profile != result.profile:
            changed.append(f"profile: {other.profile} -> {result.profile}")
        if changed and in_tables:
            raise HoldfastError(
                f"{other.name} and {result.name} have other settings ({'; '.join(changed)}): a table compares rows "
                "of one budget only; keep them in folders of their own."
            )
        if changed:
            raise HoldfastError(
                f"{other.name} and {result.name} were evaluated differently ({'; '.join(changed)}); their numbers do "
                "not compare: evaluate both alike."
            )


SUMMARY = "summary.json"


def results_at(path: str | Path) -> list[RunResult]:
    """The results at a path; those of a folder of exported files in the order of their names.

    Raises:
        HoldfastError: nothing there, a run without an evaluation or with several, or a damaged file.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return [load_result(path)]
    if not path.is_dir():
        raise HoldfastError(f"{path} does not exist; give a run, its evaluation, or a file that --export wrote.")
    if (path / SUMMARY).is_file():
        return [_evaluation(path)]
    if RunFolder(path).config.is_file():
        evaluations = sorted(file.parent for file in path.glob(f"*/{SUMMARY}"))
        if not evaluations:
            raise HoldfastError(f"{path} is not evaluated; first: holdfast evaluate {path}")
        if len(evaluations) > 1:
            names = ", ".join(map(str, evaluations))
            raise HoldfastError(f"{path} has {len(evaluations)} evaluations; name one of them: {names}.")
        return [read_run(path, evaluations[0])]
    found = [load_result(file) for file in sorted(path.glob("*.json")) if file.with_suffix(".parquet").is_file()]
    if not found:
        raise HoldfastError(
            f"{path} is no run and holds no exported results; make one: holdfast evaluate RUN --export."
        )
    return found


def _evaluation(folder: Path) -> RunResult:
    if RunFolder(folder.parent).config.is_file():
        return read_run(folder.parent, folder)
    found = read_evaluation(folder)
    return replace(found, label=str(found.subject.get("model", folder.name)))


def titled(results: Iterable[tuple[str, RunResult]]) -> dict[str, RunResult]:
    """Results, each given with where it lies, by a title of each.

    That is the method, where others are called so too with its seed, then with its place, then with a number.
    """
    places, found = map(list, zip(*results, strict=True))
    names = [run.title for run in found]
    seeds = [f", seed {run.seed}" if run.settings else "" for run in found]
    for more in (seeds, [f" ({place})" for place in places], [f" ({i})" for i, _ in enumerate(found, 1)]):
        names = [f"{n}{m}" if names.count(n) > 1 else n for n, m in zip(names, more, strict=True)]
    return dict(zip(names, found, strict=True))
