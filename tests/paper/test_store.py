"""Results on disk: of every schema, the same bytes again, and nothing cut short, edited or mixed gets through."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import holdfast as hf
from holdfast import HoldfastError
from holdfast.evaluate import protocol_of
from holdfast.evaluate.records import packed, unpacked
from holdfast.metrics import Cosine, LensTopK
from holdfast.results import RunResult, export_run, load_result, load_results, result_of
from holdfast.results.store import read_run, results_at
from holdfast.results.wide import Records
from holdfast.sealed import unsealed

RESULTS = Path(__file__).parents[2] / "results"
COMMITTED = RESULTS / "laptop-1"
"""The results of the first edition, moved from the first schema to the second."""
FIRST_SCHEMA = Path(__file__).parent / "schema1"
"""Two results as the first release wrote them."""
NAME = "mnist-at-0"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    for suffix in (".json", ".parquet"):
        shutil.copy(COMMITTED / f"{NAME}{suffix}", tmp_path)
    return tmp_path / f"{NAME}.json"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    for suffix in (".json", ".records.gz"):
        shutil.copy(FIRST_SCHEMA / f"{NAME}{suffix}", tmp_path)
    return tmp_path / f"{NAME}.json"


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = unsealed(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def test_written_again_it_is_the_same(stored: Path, tmp_path: Path) -> None:
    again = export_run(load_result(stored), tmp_path / "again")
    for suffix in (".json", ".parquet"):
        assert again.with_suffix(suffix).read_bytes() == stored.with_suffix(suffix).read_bytes()


@pytest.mark.parametrize(
    ("folder", "rows"), [("laptop-1", ("mnist", "fashion_mnist")), ("laptop", ("mnist", "cifar10"))]
)
def test_every_committed_result_is_whole(folder: str, rows: tuple[str, str]) -> None:
    found = load_results(RESULTS / folder)
    assert len(found) == len(list((RESULTS / folder).glob("*.json"))) >= 48
    assert {(r.dataset, r.method) for r in found} >= {(dataset, "at-igr") for dataset in rows}
    assert all(len(r.column("kendall")) == r.summary["metrics"]["kendall"]["n"] for r in found)


@pytest.mark.parametrize("name", [NAME, "fashion_mnist-ssr-0"])
def test_the_first_schema_gives_the_same_result(name: str) -> None:
    """Every setting, record and mean, to the last digit."""
    document = json.loads((FIRST_SCHEMA / f"{name}.json").read_text())
    lines = gzip.decompress((FIRST_SCHEMA / f"{name}.records.gz").read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    old, new = load_result(FIRST_SCHEMA / f"{name}.json"), load_result(COMMITTED / f"{name}.json")
    for result in (old, new):
        assert result.summary == document["summary"]
        assert (result.log, result.training) == (document["log"], document["training"])
        assert (result.name, result.seed, result.profile) == (name, 0, "laptop")
        assert result.evaluation.ifia.steps == document["evaluation"]["ifia"]["steps"]
        assert result.evaluation.pgd_alpha == document["evaluation"]["pgd_alpha"]
        for kind in ("accuracy", "attribution"):
            own = [{key: value for key, value in row.items() if key != "kind"} for row in rows if row["kind"] == kind]
            assert result.records[kind] == own
        for column in ("kendall", "topk", "random_kendall", "rank_topk", "cosine"):
            mean = fmean(row[column] for row in rows if row["kind"] == "attribution")
            assert fmean(result.column(column)) == mean
            if column in document["summary"]["metrics"]:
                assert float(np.mean(result.column(column))) == document["summary"]["metrics"][column]["mean"]
    assert old.settings == new.settings
    assert old.protocol == new.protocol


def test_both_schemas_stand_in_one_table(first: Path) -> None:
    for suffix in (".json", ".parquet"):
        shutil.copy(COMMITTED / f"mnist-trades-0{suffix}", first.parent)
    assert [r.method for r in load_results(first.parent)] == ["at", "trades"]


def test_migration_is_export(first: Path) -> None:
    export_run(load_result(first), first.parent)
    for suffix in (".json", ".parquet"):
        assert first.with_suffix(suffix).read_bytes() == (COMMITTED / f"{NAME}{suffix}").read_bytes()


@pytest.mark.parametrize("schema", [3, 17])
def test_a_schema_from_the_future(schema: int, stored: Path) -> None:
    edit(stored, lambda d: d.update(schema=schema, environment={"holdfast": "2.5.0"}, records="elsewhere"))
    words = rf"has schema {schema}, this version reads the schemas 1 to 2; holdfast 2.5.0 or newer reads it: upgrade"
    with pytest.raises(HoldfastError, match=words):
        load_result(stored)


def test_stored_numbers_are_contained_in_what_the_records_give(stored: Path) -> None:
    """Numbers that a later version would add are not asked for; those that are there must be right."""
    edit(stored, lambda d: [d["summary"]["metrics"].pop(key) for key in ("cosine", "worst_topk", "activation")])
    assert "cosine" not in load_result(stored).summary["metrics"]
    edit(stored, lambda d: d["summary"]["metrics"].update(unheard_of={"mean": 0.5, "low": 0.4, "high": 0.6, "n": 100}))
    with pytest.raises(HoldfastError, match="holds numbers that its records do not give"):
        load_result(stored)


def test_one_more_metric_and_one_more_attack_stand_beside_old_results(stored: Path) -> None:
    old = load_result(stored)
    assert isinstance(old.records, Records)
    more = replace(
        old.protocol,
        metrics=(*old.protocol.metrics, LensTopK(100)),
        attacks={**old.protocol.attacks, "mine": hf.IFIA(eps=0.3, alpha=0.1, steps=2, k=10)},
        predictions={**old.protocol.predictions, "pgd7": hf.PGD(0.3, 0.1, 7)},
    )
    table = old.records.table
    table = table.append_column("lens_recall_100", pa.nulls(table.num_rows, pa.float64()))
    assert old.settings is not None
    other = replace(
        old, protocol=more, records=Records(table), settings=replace(old.settings, recipe="mnist-trades", seed=1)
    )
    export_run(other, stored.parent)
    assert [r.method for r in load_results(stored.parent)] == ["at", "trades"]
    export_run(replace(old, protocol=more, records=Records(table)), stored.parent)
    assert load_result(stored).protocol == more


def test_a_defaulted_setting_that_is_new_changes_nothing(stored: Path) -> None:
    """A result that was written before a field was there."""
    before = load_result(stored)
    edit(stored, lambda d: [d["protocol"]["attacks"]["ifia"].pop("random_start"), d["protocol"].pop("seed")])
    edit(stored, lambda d: d["train"]["optim"].pop("weight_decay"))
    after = load_result(stored)
    assert (after.protocol, after.settings) == (before.protocol, before.settings)


def test_records_cut_short(stored: Path, first: Path) -> None:
    for records in (stored.with_suffix(".parquet"), first.with_suffix(".records.gz")):
        records.write_bytes(records.read_bytes()[:-40])
    for path in (stored, COMMITTED.parent / "x.json"):
        with pytest.raises(HoldfastError, match=r"does not match the checksum|cannot be read"):
            load_result(path)


def test_records_edited(stored: Path) -> None:
    records = stored.with_suffix(".parquet")
    table = unpacked(records.read_bytes())
    column = table.column_names.index("kendall")
    values = [None if v is None else v + 0.001 for v in table["kendall"].to_pylist()]
    records.write_bytes(packed(table.set_column(column, "kendall", pa.array(values, pa.float64()))))
    with pytest.raises(HoldfastError, match=r"does not match the checksum .* cut short or edited"):
        load_result(stored)


@pytest.mark.parametrize("key", ["kendall", "natural", "worst_topk", "failure_rate"])
def test_numbers_edited(key: str, stored: Path) -> None:
    edit(stored, lambda d: d["summary"]["metrics"][key].update(mean=0.9))
    with pytest.raises(HoldfastError, match="holds numbers that its records do not give"):
        load_result(stored)


def test_missing_damaged_and_foreign_files(stored: Path) -> None:
    stored.with_suffix(".parquet").unlink()
    with pytest.raises(HoldfastError, match=r"parquet cannot be read .*restore it, or run it again"):
        load_result(stored)
    for text in ('{"hello": 1}', "{", "[]", "3", '{"schema": 2}', '{"records": {"file": 3}}'):
        stored.write_text(text)
        with pytest.raises(HoldfastError, match="is not a result of holdfast"):
            load_result(stored)


@pytest.mark.parametrize("key", ["protocol", "summary", "train", "training", "log", "label", "subject", "environment"])
def test_a_part_of_it_is_missing(key: str, stored: Path) -> None:
    edit(stored, lambda d: d.pop(key))
    with pytest.raises(HoldfastError, match="is not a result of holdfast"):
        load_result(stored)


def test_other_settings_are_not_written_over(stored: Path) -> None:
    result = load_result(stored)
    before = stored.read_bytes()
    other = replace(result, settings=replace(result.train, val_size=7))
    with pytest.raises(HoldfastError, match=r"other settings \(val_size: 200 -> 7\)"):
        export_run(other, stored.parent)
    assert stored.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda r: replace(r, protocol=replace(r.protocol, seed=3)), "seed: 0 -> 3"),
        (
            lambda r: replace(r, protocol=protocol_of(replace(r.evaluation, pgd_alpha=0.2), r.protocol.metrics)),
            "predictions.pgd20.alpha: 0.03 -> 0.2",
        ),
        (lambda r: replace(r, settings=replace(r.train, profile="fast")), "profile: laptop -> fast"),
    ],
)
def test_a_table_of_two_budgets_is_refused(stored: Path, changed: Callable[[RunResult], RunResult], words: str) -> None:
    other = changed(load_result(stored))
    export_run(replace(other, settings=replace(other.train, recipe="mnist-trades")), stored.parent)
    with pytest.raises(HoldfastError, match=rf"other settings .*{words}.*one budget only"):
        load_results(stored.parent)


def test_an_unfinished_run_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="the run is not finished"):
        read_run(tmp_path, tmp_path / "eval")


def test_anybodys_model_is_a_result(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    images = torch.rand(12, 1, 6, 6, generator=generator)
    evaluated = hf.evaluate(
        net, (images, net(images).argmax(1)), eps=0.1, attacks={"noise": "random-signs"}, n_attribution=5
    )
    assert evaluated is not None
    path = export_run(result_of(evaluated, "my net"), tmp_path)
    (result,) = load_results(tmp_path)
    assert path.name == "my net.json"
    named = export_run(result_of(evaluated, "hf:owner/net"), tmp_path / "named")
    assert (named.name, load_results(named.parent)[0].name) == ("hf-owner-net.json", "hf:owner/net")
    assert (result.name, result.title, result.method, result.dataset) == ("my net", "my net", "my net", "tensors")
    assert len(result.column("kendall")) == 5
    assert result.column("prediction", "accuracy") == net(images).argmax(1).tolist()
    assert result.protocol == evaluated.protocol
    assert result.subject["network"] == evaluated.subject["network"]
    with pytest.raises(HoldfastError, match="my net is a model that was not trained here"):
        _ = result.train
    with pytest.raises(HoldfastError, match="not of the paper's protocol"):
        _ = result.evaluation


def test_the_first_schema_without_magnitudes(first: Path) -> None:
    """Older records lack two columns; their metrics are not made up."""
    records = first.with_suffix(".records.gz")
    rows = [json.loads(line) for line in gzip.decompress(records.read_bytes()).decode().splitlines()]
    for row in rows:
        for key in ("magnitude_cosine", "magnitude_pearson"):
            row.pop(key, None)
    packed_rows = gzip.compress(("\n".join(map(json.dumps, rows)) + "\n").encode(), mtime=0)
    records.write_bytes(packed_rows)

    def change(document: dict[str, Any]) -> None:
        document["records"]["sha256"] = hashlib.sha256(packed_rows).hexdigest()
        for key in ("magnitude_cosine", "magnitude_pearson"):
            del document["summary"]["metrics"][key]

    edit(first, change)
    result = load_result(first)
    assert Cosine(magnitude=True) not in result.protocol.metrics
    assert "magnitude_cosine" not in result.records["attribution"][0]


def test_paths_may_be_strings_and_a_missing_folder_is_named(tmp_path: Path, stored: Path) -> None:
    result = load_result(str(stored))
    assert results_at(str(stored))[0].name == result.name
    assert load_results(str(stored.parent))[0].name == result.name
    assert export_run(result, str(tmp_path / "again")).read_bytes() == stored.read_bytes()
    with pytest.raises(HoldfastError, match=r"nowhere is not a folder"):
        load_results(tmp_path / "nowhere")
