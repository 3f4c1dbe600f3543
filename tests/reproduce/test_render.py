"""The written tables against what a hand would write."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from holdfast.reproduce.model import (
    LeftOut,
    PaperCell,
    PaperColumn,
    PaperRow,
    PaperTable,
    Reproduction,
    Statement,
    TextTable,
)
from holdfast.reproduce.render import text_to_csv, text_to_latex, text_to_markdown, to_csv, to_latex, to_markdown
from holdfast.reproduce.terminal import print_reproduction
from holdfast.theory import Claim

CLAIM = Claim("A | B is greater", "does not hold", "−0.1 [−0.2, 0.0]", "paired")


@pytest.fixture
def table() -> PaperTable:
    columns = (
        PaperColumn("topk", "Top-100", "mnist", True),
        PaperColumn("kendall", "Kendall τ", "mnist", False),
        PaperColumn("kendall", "Kendall τ", "digits", False),
    )
    rows = (
        PaperRow(
            "AT",
            "at",
            (
                PaperCell(0.415, 0.4, 0.43, 100, 1, 0.3435),
                PaperCell(-0.0123, -0.05, 0.02, 100, 1, 0.1846),
                PaperCell(0.5, 0.4, 0.6, 30, 2),
            ),
            ("mnist-at-0",),
        ),
        PaperRow("AT+IGR", "at-igr", (PaperCell(0.5, 0.4, 0.6, 90, 1, 0.334), PaperCell(paper=0.1582), PaperCell())),
    )
    return PaperTable("table2", "Table 2: robustness", columns, rows, (CLAIM,), ("Chance is 12.8 %.",))


def test_markdown_is_as_written_by_hand(table: PaperTable) -> None:
    assert to_markdown(table).splitlines() == [
        "# Table 2: robustness",
        "",
        "| Method | MNIST Top-100 (%) | paper | MNIST Kendall τ | paper | UCI optical digits Kendall τ |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| AT | 41.5 [40.0, 43.0] | 34.35 | −0.012 [−0.050, 0.020] | 0.1846 | 0.500 [0.400, 0.600] |",
        "| AT+IGR | **50.0** [40.0, 60.0] | 33.40 | – | 0.1582 | – |",
        "",
        "- The largest of ours in each column is bold, whether or not the intervals overlap.",
        "- Chance is 12.8 %.",
        "",
        "## Claims",
        "",
        "| Verdict | Statement | Evidence | Test |",
        "| --- | --- | --- | --- |",
        r"| **does not hold** | A \| B is greater | −0.1 \[−0.2, 0.0\] | paired |",
    ]


def test_differences_have_signs_and_no_best() -> None:
    columns = (PaperColumn("topk", "Top-8", "digits", True, signed=True),)
    rows = tuple(PaperRow(str(x), "at", (PaperCell(x, x, x, 9, 1, -0.0095),)) for x in (0.1, -0.1))
    text = to_markdown(PaperTable("gain", "Gain", columns, rows))
    assert text.splitlines()[:6] == [
        "# Gain (UCI optical digits)",
        "",
        "| Method | Top-8 (points) | paper |",
        "| --- | ---: | ---: |",
        "| 0.1 | +10.0 [+10.0, +10.0] | −0.95 |",
        "| -0.1 | −10.0 [−10.0, −10.0] | −0.95 |",
    ]


def test_latex_is_as_written_by_hand(table: PaperTable) -> None:
    text = to_latex(table)
    assert r"\begin{tabular}{lrrrrr}" in text
    assert r"\caption{Table 2: robustness. The largest" in text
    body = text.split(r"\toprule" + "\n")[1].splitlines()
    assert body[:8] == [
        r" & \multicolumn{4}{c}{MNIST} & \multicolumn{1}{c}{UCI optical digits} \\",
        r"\cmidrule(lr){2-5}\cmidrule(lr){6-6}",
        r"Method & Top-100 (\%) & paper & Kendall $\tau$ & paper & Kendall $\tau$ \\",
        r"\midrule",
        r"AT & 41.5 & 34.35 & $-$0.012 & 0.1846 & 0.500 \\",
        r" & {\scriptsize [40.0, 43.0]} &  & {\scriptsize [$-$0.050, 0.020]} &  & {\scriptsize [0.400, 0.600]} \\",
        r"AT+IGR & \textbf{50.0} & 33.40 & -- & 0.1582 & -- \\",
        r" & {\scriptsize [40.0, 60.0]} &  &  &  &  \\",
    ]


def test_csv_has_every_number(table: PaperTable) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert len(rows) == 6
    assert rows[0] == {
        "method": "at", "title": "AT", "dataset": "mnist", "quantity": "topk", "ours": "0.415", "low": "0.4",
        "high": "0.43", "images": "100", "seeds": "1", "paper": "0.3435",
    }  # fmt: skip
    assert (rows[5]["ours"], rows[5]["paper"]) == ("", "")


WORDS = TextTable("table1", "Losses", ("Method", "Loss"), (("TRADES", "CE + β KL(p ‖ q_j) | 5 %"),), ("F.",))


def test_words() -> None:
    assert text_to_markdown(WORDS).splitlines()[4] == r"| TRADES | CE + β KL(p ‖ q\_j) \| 5 % |"
    assert r"TRADES & CE + $\beta$ KL(p $\Vert$ q\_j) $|$ 5 \% \\" in text_to_latex(WORDS)
    assert text_to_csv(WORDS).splitlines() == ["Method,Loss", "TRADES,CE + β KL(p ‖ q_j) | 5 %"]


def shown(reproduction: Reproduction, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_reproduction(reproduction, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_tables_verdicts_and_what_is_left_out(table: PaperTable) -> None:
    other = Claim("tau grows", "holds", "0 of 9", "exact")
    reproduction = Reproduction(
        "laptop", ("mnist", "digits"), (0,), (table,), texts=(WORDS,),
        statements=(Statement("theorem1", "Theorem 1", (other,)),),
        left_out=(LeftOut("figure7", "Figure 7", "no weights."),),
    )  # fmt: skip
    wide = shown(reproduction, 150)
    assert "MNIST" in wide
    assert "(UCI optical digits)" not in wide
    assert "41.5" in wide
    assert "34.35" in wide
    assert "does not hold" in wide
    assert "Theorem 1" in wide
    assert "  Loss: CE + β KL(p ‖ q_j) | 5 %" in wide
    assert "left out: Figure 7: no weights." in wide
    narrow = " ".join(shown(reproduction, 60).split())
    assert "Table 2: robustness (MNIST)" in narrow
    assert "Table 2: robustness (UCI optical digits)" in narrow
