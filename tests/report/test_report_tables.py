"""The table and its renderings against what a hand would write."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from holdfast.errors import HoldfastError
from holdfast.report import (
    Chance,
    Comparison,
    Estimate,
    Row,
    Table,
    build_table,
    print_table,
    to_csv,
    to_latex,
    to_markdown,
)


def small(names: tuple[str, str] = ("A", "B")) -> Comparison:
    rows = [
        Row(names[0], "a", {"natural": Estimate(0.978, 0.961, 0.992, 360)}),
        Row(
            names[1],
            "b",
            {"natural": Estimate(0.95, 0.93, 0.97, 360), "kendall": Estimate(-0.0123, -0.05, 0.02, 50)},
        ),
    ]
    return Comparison("t", "digits", rows, Chance(0.125, 0.0), k=8, n_features=64)


def best(table: Table) -> dict[str, list[bool]]:
    return {column.metric.key: [line.cells[i].best for line in table.lines] for i, column in enumerate(table.columns)}


def test_markdown_is_as_written_by_hand() -> None:
    assert to_markdown(build_table(small())).splitlines()[:5] == [
        "| Model | Natural (%) | Kendall τ |",
        "| --- | ---: | ---: |",
        "| A | **97.8** [96.1, 99.2] | – |",
        "| B | 95.0 [93.0, 97.0] | −0.012 [−0.050, 0.020] |",
        "| chance | – | 0.000 |",
    ]


def test_latex_is_as_written_by_hand() -> None:
    body = to_latex(build_table(small())).split(r"\toprule" + "\n")[1].splitlines()
    assert body == [
        r" & \multicolumn{1}{c}{Accuracy} & \multicolumn{1}{c}{Attribution under attack} \\",
        r"\cmidrule(lr){2-2}\cmidrule(lr){3-3}",
        r"Model & Natural (\%) & Kendall $\tau$ \\",
        r"\midrule",
        r"A & \textbf{97.8} & -- \\",
        r" & {\scriptsize [96.1, 99.2]} &  \\",
        r"B & 95.0 & $-$0.012 \\",
        r" & {\scriptsize [93.0, 97.0]} & {\scriptsize [$-$0.050, 0.020]} \\",
        r"\midrule",
        r"chance & -- & 0.000 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]


def test_csv_keeps_full_precision_and_leaves_missing_values_empty() -> None:
    records = list(csv.DictReader(io.StringIO(to_csv(build_table(small())))))
    assert [record["name"] for record in records] == ["A", "B", "chance"]
    assert records[0]["natural"] == "0.978"
    assert records[0]["kendall"] == records[0]["kendall_n"] == ""
    assert records[1]["kendall_low"] == "-0.05"
    assert records[1]["kendall_n"] == "50"


def test_names_are_escaped() -> None:
    table = build_table(small(("a_b & 5% <x>", "c|d")))
    assert r"a\_b \& 5\% \textless{}x\textgreater{} & \textbf{97.8}" in to_latex(table)
    markdown = to_markdown(table)
    assert r"| a\_b \& 5% \<x> |" in markdown
    assert r"| c\|d |" in markdown


def test_latex_rows_never_begin_with_a_bracket(comparison: Comparison) -> None:
    assert not any(line.lstrip(" &").startswith("[") for line in to_latex(build_table(comparison)).splitlines())


def test_best_marks(comparison: Comparison) -> None:
    marks = best(build_table(comparison))
    assert marks["kendall"] == [False, True, False]
    assert marks["natural"] == [True, False, False]
    assert marks["pgd20"] == [False, False, False], "all print alike"
    assert marks["failure_rate"] == [False, False, False], "not a merit"


def test_a_failure_rate_is_never_marked() -> None:
    rows = [Row(n, n, {"failure_rate": Estimate(v, v, v, 9)}) for n, v in (("A", 0.1), ("B", 0.5))]
    table = build_table(Comparison("t", "d", rows, Chance(0.1, 0.0), k=1, n_features=9))
    assert best(table)["failure_rate"] == [False, False]


def test_values_that_print_alike_share_the_mark() -> None:
    values = {"A": 0.90001, "B": 0.90002, "C": 0.8}
    rows = [Row(n, n, {"natural": Estimate(v, v, v, 9)}) for n, v in values.items()]
    table = build_table(Comparison("t", "d", rows, Chance(0.1, 0.0), k=1, n_features=9))
    assert best(table)["natural"] == [True, True, False]


def test_caption_states_sizes_and_what_the_mark_means(comparison: Comparison) -> None:
    caption = build_table(comparison).caption
    assert "n = 360 for accuracy, n = 200 for attribution under attack and under noise" in caption
    assert "best mean of each column is marked, whether or not the intervals overlap" in caption
    assert "Top-8 is taken over 64 features" in caption


def test_columns_that_no_row_has_are_left_out() -> None:
    assert [column.metric.key for column in build_table(small()).columns] == ["natural", "kendall"]


@pytest.mark.parametrize("width", [80, 240])
def test_terminal_shows_every_number_whole(comparison: Comparison, width: int) -> None:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_table(comparison, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert all(part in text for part in ("0.655", "[0.625, 0.685]", "97.8", "chance", "warning: PGD-40"))
    assert "<errors>" in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Estimate(float("nan"), 0, 1, 5), "not finite"),
        (lambda: Estimate(0.5, 0.6, 0.4, 5), "upside down"),
        (lambda: Estimate(0.5, 0.4, 0.6, 0), "at least 1"),
        (lambda: Row("A", "a", {"kendal": Estimate(0.5, 0.4, 0.6, 5)}), "did you mean kendall"),
        (lambda: Comparison("t", "d", [], Chance(0, 0), 1, 4), "at least one row"),
        (lambda: Comparison("t", "d", [Row("A", "a", {})] * 2, Chance(0, 0), 1, 4), "two rows are called"),
        (lambda: Comparison("t", "d", [Row("A", "a", {})], Chance(0, 0), 5, 4), "must lie in 1..4"),
    ],
)
def test_wrong_inputs_say_what_is_wrong(make: object, message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        make()  # type: ignore[operator]
