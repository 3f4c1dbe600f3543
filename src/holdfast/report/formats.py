"""The table as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re

from holdfast.report.tables import Cell, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "–": "--",
    "’": "'",
    "τ": r"$\tau$",
    "∞": r"$_\infty$",
}


def escape_latex(text: str) -> str:
    r"""``text`` for use in a LaTeX paragraph.

    >>> print(escape_latex("a_b & 5 %"))
    a\_b \& 5 \%
    """
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    r"""``text`` for use in a cell of a Markdown table.

    >>> print(escape_markdown("a_b | <c>"))
    a\_b \| \<c>
    """
    return re.sub(r"([\\`*_\[\]<|&~])", r"\\\1", " ".join(text.split()))


def to_markdown(table: Table) -> str:
    """A GitHub-flavoured Markdown table, best values bold, followed by the caption."""

    def cell(item: Cell) -> str:
        text = f"**{item.text}**" if item.best else item.text
        return f"{text} {item.interval}".strip()

    lines = [
        ["Model", *(escape_markdown(column.full_heading) for column in table.columns)],
        ["---", *("---:" for _ in table.columns)],
        *([escape_markdown(line.name), *map(cell, line.cells)] for line in table.lines),
    ]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{body}\n\n{escape_markdown(table.caption)}\n"


def to_latex(table: Table, label: str = "tab:holdfast") -> str:
    """A ``table*`` in booktabs style, best values bold, intervals in small print below their means.

    The document needs ``\\usepackage{booktabs}``.
    """
    spans, first = [], 2
    for _, width in table.groups:
        spans.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    groups = [rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(name)}}}" for name, width in table.groups]
    headings = [
        escape_latex(column.heading + (f" ({column.metric.unit})" if column.metric.unit else ""))
        for column in table.columns
    ]
    body: list[str] = []
    for line in table.lines:
        if line.chance:
            body.append(r"\midrule")
        texts = [
            rf"\textbf{{{escape_latex(cell.text)}}}" if cell.best else escape_latex(cell.text) for cell in line.cells
        ]
        body.append(_latex_row([escape_latex(line.name), *texts]))
        if any(cell.interval for cell in line.cells):
            # Braces keep "[" at the start of a row from being read as the argument of the "\\" before it.
            small = [rf"{{\scriptsize {escape_latex(c.interval)}}}" if c.interval else "" for c in line.cells]
            body.append(_latex_row(["", *small]))
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{escape_latex(table.caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            _latex_row(["", *groups]),
            "".join(spans),
            _latex_row(["Model", *headings]),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def to_csv(table: Table) -> str:
    """The numbers at full precision: per metric its mean, interval and n; shares in [0, 1], missing empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    keys = [column.metric.key for column in table.columns]
    writer.writerow(["name", "run", *(f"{key}{part}" for key in keys for part in ("", "_low", "_high", "_n"))])
    for line in table.lines:
        numbers = [x for cell in line.cells for x in (cell.value, cell.low, cell.high, cell.n)]
        writer.writerow([line.name, line.run, *numbers])
    return out.getvalue()
