"""Cells, gains and notes of the tables from made-up results."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.metrics.stats import Interval, exact_share
from holdfast.paper.tables import activation_table, table2, table3
from holdfast.recipes import TABLE2, TABLE3, TITLES
from holdfast.report.table import Cell, Table
from holdfast.report.words import dataset_title

from .conftest import MakeResult, MakeStudy


def cell(table: Table, method: str, key: str, dataset: str = "mnist", beside: bool = False) -> Cell:
    place = [(c.key, c.group, c.beside) for c in table.columns].index((key, dataset_title(dataset), beside))
    (row,) = (row for row in table.rows if row.title.split(" less ")[0] == TITLES[method])
    return row.cells[place]


def paper(table: Table, method: str, key: str) -> Cell:
    return cell(table, method, key, beside=True)


def ours(table: Table, method: str, key: str) -> Interval:
    found = cell(table, method, key)
    assert isinstance(found, Interval)
    return found


def named(tables: list[Table]) -> dict[str, Table]:
    return {table.key: table for table in tables}


def test_table2_has_the_papers_rows_and_numbers_whatever_was_run(study: MakeStudy, result: MakeResult) -> None:
    tables = named(table2(study(result("trades-igr", kendall=0.6, topk=0.7))))
    assert [row.title for row in tables["table2"].rows] == [TITLES[method] for method in TABLE2]
    found = ours(tables["table2"], "trades-igr", "kendall")
    assert (found.mean, found.n, found.seeds) == (pytest.approx(0.6), 40, 1)
    assert paper(tables["table2"], "trades-igr", "kendall") == 0.4537
    assert (cell(tables["table2"], "ssr", "topk"), paper(tables["table2"], "ssr", "topk")) == (None, 0.3877)
    assert [c.heading for c in tables["table2"].columns] == ["Top-100", "paper", "Kendall τ", "paper"]
    assert "table2-more" not in tables
    assert any(note.startswith("Not run on MNIST: Standard, IG-NORM") for note in tables["table2"].notes)


def test_one_seed_has_the_interval_of_its_evaluation(study: MakeStudy, result: MakeResult) -> None:
    run = result("at", kendall=np.linspace(0, 1, 40))
    found = ours(named(table2(study(run)))["table2"], "at", "kendall")
    metric = run.summary["metrics"]["kendall"]
    assert (found.mean, found.low, found.high) == (metric["mean"], metric["low"], metric["high"])


def test_several_seeds_are_averaged(study: MakeStudy, result: MakeResult) -> None:
    runs = [result("at", seed=seed, kendall=0.2 + 0.1 * seed) for seed in range(3)]
    table = named(table2(study(*runs)))["table2"]
    found = ours(table, "at", "kendall")
    assert (found.mean, found.n, found.seeds) == (pytest.approx(0.3), 40, 3)
    half = 4.3027 * 0.1 / np.sqrt(3)
    assert found.high is not None
    assert found.high - found.mean == pytest.approx(half, abs=0.01), "Student's t of three means 0.1 apart"
    assert any("seeds (Student's t), the same images for every seed" in note for note in table.notes)


def test_the_worst_of_three_attacks_is_taken_image_by_image(study: MakeStudy, result: MakeResult) -> None:
    run = result(
        "at",
        kendall=[0.9, 0.3] * 20,
        rank_kendall=[0.1, 0.8] * 20,
        random_kendall=0.5,
        correct={"prediction": 0.93},
        succeeded=[True, True, True, False] * 10,
    )
    table = named(table2(study(run)))["table2-worst"]
    assert ours(table, "at", "worst_kendall").mean == pytest.approx(0.2)
    assert [c.key for c in table.columns if c.beside] == ["natural"]
    assert ours(table, "at", "natural").mean == pytest.approx(0.93)
    assert (ours(table, "at", "natural").low, ours(table, "at", "natural").high) == pytest.approx(exact_share(93, 100))
    assert paper(table, "at", "natural") == 0.9943
    assert ours(table, "at", "failure_rate").mean == pytest.approx(0.25)


def test_gains_pair_the_images_that_both_rows_attacked(study: MakeStudy, result: MakeResult) -> None:
    base = result("mart", kendall=[0.1] * 10 + [0.4] * 30, images=range(40))
    with_igr = result("mart-igr", kendall=[0.5] * 30 + [0.9] * 10, images=range(10, 50))
    gains = named(table2(study(base, with_igr)))["table2-gain"]
    found = ours(gains, "mart-igr", "kendall")
    assert (found.mean, found.n, found.seeds) == (pytest.approx(0.1), 30, 1)
    assert paper(gains, "mart-igr", "kendall") == 0.0593
    assert (cell(gains, "at-igr", "kendall"), paper(gains, "at-igr", "kendall")) == (None, -0.0264)
    assert all(column.signed for column in gains.columns)
    assert [row.title for row in gains.rows] == ["AT+IGR less AT", "TRADES+IGR less TRADES", "MART+IGR less MART"]


def test_rows_beyond_the_paper_stand_apart(study: MakeStudy, result: MakeResult) -> None:
    tables = named(table2(study(result("at"), result("lga", kendall=0.3), result("at-igr-own"))))
    assert [row.title for row in tables["table2-more"].rows] == ["LGA", "AT+IGR (Eq. 5)"]
    assert ours(tables["table2-more"], "lga", "kendall").mean == pytest.approx(0.3)
    assert [row.title for row in tables["table2"].rows] == [TITLES[method] for method in TABLE2]


def test_table3(study: MakeStudy, result: MakeResult) -> None:
    base = result("at", correct={"prediction": 0.98, "fgsm": 0.5})
    with_igr = result("at-igr", correct={"prediction": 0.97, "fgsm": 0.6, "cw_inf": 0.1})
    table, gains = table3(study(base, with_igr))
    assert [row.title for row in table.rows] == [TITLES[method] for method in TABLE3]
    assert [c.key for c in table.columns if not c.beside] == ["natural", "fgsm", "pgd20", "pgd40", "cw_inf"]
    assert "pgd40" not in [c.key for c in table.columns if c.beside]
    assert ours(table, "at", "fgsm").mean == pytest.approx(0.5)
    assert paper(table, "at", "fgsm") == 0.9939
    assert ours(gains, "at-igr", "fgsm").mean == pytest.approx(0.1)
    assert ours(gains, "at-igr", "fgsm").n == 100
    assert ours(gains, "at-igr", "cw_inf").mean == pytest.approx(-0.9)


def test_the_notes_name_the_profile_the_chance_and_the_warnings(study: MakeStudy, result: MakeResult) -> None:
    table = named(table2(study(result("at"))))["table2"]
    notes = "\n".join(table.notes)
    assert "Chance is 12.8 % of top-100 on MNIST (784 features)" in notes
    assert "optim.epochs: 90 -> 4" in notes
    assert "evaluation.ifia.steps: 200 -> 40" in notes
    assert "Self-check in 1 of 1 evaluation, for example mnist-at-0: only 40 correctly classified images" in notes


def test_lossy_images_are_named(study: MakeStudy, result: MakeResult) -> None:
    run = result("at", "cifar10", profile="fast")
    said = "CIFAR-10 here is CIFAR-10 (JPEG): a re-encoding of the original images."
    for images, named_so in (("JPEG", True), ("PNG", False), (None, False)):
        run.training["images"] = images
        notes = named(table2(study(run, profile="fast")))["table2"].notes
        assert (said in notes) is named_so


def test_the_digits_have_no_numbers_of_the_paper(study: MakeStudy, result: MakeResult) -> None:
    table = named(table2(study(result("at", "digits", profile="smoke"), profile="smoke")))["table2"]
    assert not any(column.beside for column in table.columns)
    assert "The paper has no numbers for UCI optical digits." in table.notes
    assert any(note.startswith("The profile smoke shows that everything runs") for note in table.notes)
    assert table.columns[0].heading == "Top-8"


def test_records_without_a_quantity_leave_its_cells_empty(study: MakeStudy, result: MakeResult) -> None:
    run = result("at")
    for row in run.records["attribution"]:
        del row["activation"]
    del run.summary["metrics"]["activation"]
    table = activation_table(study(run))
    assert (cell(table, "at", "activation"), paper(table, "at", "activation")) == (None, 0.4)
    assert ours(activation_table(study(run, result("at", seed=1))), "at", "activation").seeds == 1
