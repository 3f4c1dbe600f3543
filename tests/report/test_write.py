"""The written tables against what a hand would write."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.errors import HoldfastError
from holdfast.metrics.stats import Interval
from holdfast.report import Column, Document, Row, Table, print_document
from holdfast.report.write import write_files


def test_markdown_is_as_written_by_hand(table: Table) -> None:
    assert table.to_markdown().splitlines() == [
        "# Table 2: robustness",
        "",
        "| Method | MNIST Top-100 (%) | paper | MNIST Kendall τ | paper | UCI digits Kendall τ |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| AT | 41.5 [40.0, 43.0] | 34.35 | −0.012 [−0.050, 0.020] | 0.1846 | 0.500 [0.400, 0.600] |",
        "| AT+IGR | **50.0** [40.0, 60.0] | 33.40 | – | 0.1582 | – |",
        "",
        "- The best of ours by each measure is bold, whether or not the intervals overlap.",
        "- Chance is 12.8 %.",
        "",
        "## Claims",
        "",
        "| Verdict | Statement | Evidence | Test |",
        "| --- | --- | --- | --- |",
        r"| **does not hold** | A \| B is greater | −0.1 \[−0.2, 0.0\] | paired |",
    ]


def test_differences_have_signs_and_no_best() -> None:
    columns = (
        Column("topk", "Top-8", "digits", True, signed=True),
        Column("topk", "paper", "digits", True, signed=True, beside=True, digits=2),
    )
    rows = tuple(Row(str(x), (Interval(x, x - 0.1, x + 0.1, 9), -0.0095)) for x in (0.1, -0.1))
    assert Table("gain", "Gain", columns, rows).to_markdown().splitlines() == [
        "# Gain (digits)",
        "",
        "| Method | Top-8 (points) | paper |",
        "| --- | ---: | ---: |",
        "| 0.1 | +10.0 [+0.0, +20.0] | −0.95 |",
        "| -0.1 | −10.0 [−20.0, +0.0] | −0.95 |",
    ]


def test_values_that_print_alike_share_the_mark_and_chance_has_none() -> None:
    rows = (Row("A", (0.50001,)), Row("B", (0.50002,)), Row("C", (0.2,)), Row("chance", (0.9,), "chance"))
    lines = Table("", "T", (Column("x", "X", better="high"),), rows).to_markdown().splitlines()
    assert lines[4:8] == ["| A | **0.500** |", "| B | **0.500** |", "| C | 0.200 |", "| chance | 0.900 |"]
    low = Table("", "T", (Column("x", "X", better="low"),), rows).to_markdown()
    assert "| C | **0.200** |" in low
    assert "**" not in Table("", "T", (Column("x", "X"),), rows).to_markdown()


def test_latex_is_as_written_by_hand(table: Table) -> None:
    text = table.to_latex()
    assert r"\caption{Table 2: robustness. The best of ours" in text
    assert r"\label{tab:table2}" in text
    assert r"\begin{tabular}{lrrrrr}" in text
    assert text.split(r"\toprule" + "\n")[1].splitlines()[:5] == [
        r" & \multicolumn{4}{c}{MNIST} & UCI digits \\",
        r"Method & Top-100 (\%) & paper & Kendall $\tau$ & paper & Kendall $\tau$ \\",
        r"\midrule",
        r"AT & 41.5 {\scriptsize [40.0, 43.0]} & 34.35 & $-$0.012 {\scriptsize [$-$0.050, 0.020]} & 0.1846 & "
        r"0.500 {\scriptsize [0.400, 0.600]} \\",
        r"AT+IGR & \textbf{50.0} {\scriptsize [40.0, 60.0]} & 33.40 & -- & 0.1582 & -- \\",
    ]


def test_csv_and_frame_have_every_number(table: Table) -> None:
    first, second = csv.DictReader(io.StringIO(table.to_csv()))
    assert first["MNIST topk"] == "0.415"
    assert (first["MNIST topk low"], first["MNIST topk high"], first["MNIST topk n"]) == ("0.4", "0.43", "100")
    assert first["MNIST topk paper"] == "0.3435"
    assert first["UCI digits kendall seeds"].startswith("2")
    assert (second["method"], second["MNIST kendall"]) == ("AT+IGR", "")
    assert table.to_frame()["MNIST topk"].tolist() == [0.415, 0.5]


def test_words(words: Table) -> None:
    assert words.to_markdown().splitlines()[4] == r"| TRADES | CE + β KL(p ‖ q\_j) \| 5 % |"
    assert r"TRADES & CE + $\beta$ KL(p $\Vert$ q\_j) $|$ 5 \% \\" in words.to_latex()
    assert words.to_csv().splitlines() == ["method,loss", "TRADES,CE + β KL(p ‖ q_j) | 5 %"]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(HoldfastError, match="row 'A' has 2 cells for 1 columns"):
        Table("", "T", (Column("x", "X"),), (Row("A", (1.0, 2.0)),))


def test_files(document: Document, tmp_path: Path) -> None:
    names = {path.name for path in write_files(document, tmp_path)}
    assert names == {
        *(f"{key}.{kind}" for key in ("table1", "table2") for kind in ("md", "tex", "csv")),
        *(f"{key}.{kind}" for key in ("curves", "pictures") for kind in ("md", "svg")),
    }
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "curves.md").read_text().splitlines()[2] == "![Two falling curves](curves.png)"


def shown(document: Document, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_document(document, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [150, 60])
def test_the_terminal_shows_tables_verdicts_and_what_is_left_out(document: Document, width: int) -> None:
    said = " ".join(shown(document, width).split())
    for text in ("41.5", "34.35", "[−0.050,", "0.020]", "does not hold", "tau grows", "They differ."):
        assert text in said
    assert "Loss: CE + β KL(p ‖ q_j) | 5 %" in said
    assert "left out: Figure 7: no weights." in said
    assert "warning: PGD-40 found fewer <errors> than PGD-20" in said


def test_a_wide_table_of_many_rows_is_printed_a_group_at_a_time(table: Table) -> None:
    many = replace(table, rows=table.rows * 3, claims=())
    document = Document("T", "", ())
    console = Console(width=62, file=io.StringIO(), color_system=None)
    from holdfast.report.terminal import print_table

    print_table(many, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("Table 2: robustness") == 2
    assert document.tables == []
