"""Tables, claims and documents as data frames, Markdown and LaTeX, and as files in a folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from pandas import DataFrame, MultiIndex

from holdfast.files import make_folder, writable, write_atomically
from holdfast.metrics.stats import Interval
from holdfast.report.claim import Claim
from holdfast.report.document import Document, Figure
from holdfast.report.table import Cell, Column, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "{}&%$#_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "–": "--",
    "’": "'",
    "τ": r"$\tau$",
    "∞": r"$_\infty$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "γ": r"$\gamma$",
    "ε": r"$\varepsilon$",
    "‖": r"$\Vert$",
    "₁": "$_1$",
    "₂": "$_2$",
    "²": "$^2$",
    "ᵀ": r"$^\top$",
    "ξ": r"$\xi$",
    "∇": r"$\nabla$",
    "≠": r"$\neq$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "∈": r"$\in$",
    "|": r"$|$",
    "\N{COMBINING TILDE}": r"$\tilde{\ }$",
}


def escape_latex(text: str) -> str:
    r"""``text`` for use in a LaTeX paragraph, mathematical signs in math mode.

    >>> print(escape_latex("β KL(p(x) ‖ p(x̃)), a_b & 5 %"))
    $\beta$ KL(p(x) $\Vert$ p($\tilde{x}$)), a\_b \& 5 \%
    """
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    tilde = composed.split("x\N{COMBINING TILDE}")
    return r"$\tilde{x}$".join("".join(_LATEX.get(sign, sign) for sign in part) for part in tilde)


def escape_markdown(text: str) -> str:
    r"""``text`` as itself in a paragraph, a heading or a cell of Markdown, whatever markup it looks like.

    >>> print(escape_markdown("a_b | <c>"))
    a\_b \| \<c>
    """
    return re.sub(r"([\\`*_\[\]<|&~])", r"\\\1", " ".join(text.split()))


def frame_of(table: Table) -> DataFrame:
    """The table as a data frame, one line a row; see `Table.to_frame`."""
    several = len(table.groups) > 1
    lines = []
    for row in table.rows:
        line: dict[str, object] = {table.first.lower(): row.title}
        for column, cell in zip(table.columns, row.cells, strict=True):
            name = f"{column.group} {column.key}" if several else column.key
            name += " paper" if column.beside else ""
            if not isinstance(cell, Interval):
                line[name] = cell
                continue
            line |= {name: cell.mean, f"{name} low": cell.low, f"{name} high": cell.high}
            line |= {f"{name} n": cell.n, f"{name} seeds": cell.seeds}
        lines.append(line)
    return DataFrame(lines)


def table_markdown(table: Table) -> str:
    """The table under its title, with notes and claims."""
    several = len(table.groups) > 1
    title = table.title + (f" ({table.groups[0][0]})" if not several and table.groups[0][0] else "")

    def heading(column: Column) -> str:
        return escape_markdown(f"{column.group} {column.titled}" if several and not column.beside else column.titled)

    def cell(i: int, cell: Cell, chance: bool) -> str:
        column = table.columns[i]
        text = column.written(cell)
        if isinstance(cell, str):
            return escape_markdown(text)
        marked = f"**{text}**" if text == table.best(i) and not chance else text
        return f"{marked} {column.bounds(cell)}".strip()

    rows = [
        [escape_markdown(row.title), *(cell(i, c, row.style == "chance") for i, c in enumerate(row.cells))]
        for row in table.rows
    ]
    heads = [escape_markdown(table.first), *map(heading, table.columns)]
    lines = _markdown_lines(heads, rows, "---" if table.wordy else "---:")
    notes = [*(f"- {escape_markdown(note)}" for note in table.said), ""] if table.said else []
    return "\n".join([f"# {escape_markdown(title)}", "", *lines, "", *notes, *claims_markdown(table.claims)])


def claims_markdown(claims: Sequence[Claim]) -> list[str]:
    """The claims as lines of a section; none for no claims."""
    if not claims:
        return []
    rows = [[f"**{c.verdict}**", *map(escape_markdown, (c.statement, c.said, c.test))] for c in claims]
    return ["## Claims", "", *_markdown_lines(["Verdict", "Statement", "Evidence", "Test"], rows, "---"), ""]


def figure_markdown(figure: Figure) -> str:
    """A figure with its caption and claims."""
    alt, title, caption = map(escape_markdown, (figure.alt or figure.title, figure.title, figure.caption))
    picture = f"![{alt}]({figure.key}.png)"
    return "\n".join([f"# {title}", "", picture, "", caption, "", *claims_markdown(figure.claims)])


def document_markdown(document: Document) -> str:
    """Title, answer, tables and figures, and what else is claimed."""
    placed = {claim for table in document.tables for claim in table.claims}
    placed |= {claim for figure in document.figures for claim in figure.claims}
    others = [claim for claim in document.claims if claim not in placed]
    title, answer, *warnings = map(escape_markdown, (document.title, document.answer, *document.warnings))
    parts = [f"# {title}\n\n{answer}\n"]
    parts += ["\n".join(f"- {text}" for text in warnings) + "\n"] if warnings else []
    parts += [f"#{table.to_markdown()}" for table in document.tables]
    parts += [f"#{figure.to_markdown()}" for figure in document.figures]
    return "\n".join([*parts, *claims_markdown(others)])


def _markdown_lines(headings: Sequence[str], rows: Iterable[Sequence[str]], rule: str) -> list[str]:
    lines = [headings, ["---", *([rule] * (len(headings) - 1))], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def table_latex(table: Table) -> str:
    """The table through pandas' Styler: groups above their columns, intervals in small print behind the means."""

    def cell(i: int, cell: Cell, chance: bool) -> str:
        column = table.columns[i]
        text, ends = column.written(cell), column.bounds(cell)
        best = text == table.best(i) and not chance
        shown = rf"\textbf{{{escape_latex(text)}}}" if best else escape_latex(text)
        return shown + (rf" {{\scriptsize {escape_latex(ends)}}}" if ends else "")

    heads = [("", escape_latex(table.first)), *((escape_latex(c.group), escape_latex(c.titled)) for c in table.columns)]
    grouped = any(group for group, _ in heads)
    rows = [
        [escape_latex(row.title), *(cell(i, c, row.style == "chance") for i, c in enumerate(row.cells))]
        for row in table.rows
    ]
    width = 0.92 / len(heads)
    layout = rf"p{{{width:.3f}\textwidth}}" * len(heads) if table.wordy else "l" + "r" * len(table.columns)
    columns = MultiIndex.from_tuples(heads) if grouped else [heading for _, heading in heads]
    return str(
        DataFrame(rows, columns=columns)
        .style.hide(axis="index")
        .to_latex(
            column_format=layout,
            caption=escape_latex(" ".join([f"{table.title}.", *table.said])),
            label=f"tab:{table.key}",
            position_float="centering",
            hrules=True,
            multicol_align="c",
            environment="table*",
        )
    )


def write_files(document: Document, out: Path) -> list[Path]:
    """Write each table as Markdown, LaTeX and CSV, each figure as PNG, SVG and Markdown under ``out``; the paths.

    Raises:
        HoldfastError: a file that cannot be written.
    """
    make_folder(out)
    texts: dict[str, str] = {}
    for table in document.tables:
        if table.key:
            texts |= {f"{table.key}.md": table.to_markdown(), f"{table.key}.tex": table.to_latex()}
            texts[f"{table.key}.csv"] = table.to_csv()
    for figure in document.figures:
        texts |= {f"{figure.key}.md": figure.to_markdown(), f"{figure.key}.svg": figure.svg}
        with writable(out / f"{figure.key}.png"):
            (out / f"{figure.key}.png").write_bytes(figure.png)
    for name, content in texts.items():
        write_atomically(out / name, content)
    return [out / name for name in texts]


def write_report(document: Document, out: Path) -> Path:
    """Write ``report.html``, the tables that stand open as ``table.md`` and each figure as PNG; the page's path."""
    make_folder(out)
    tables = [b for s in document.sections if not s.folded for b in s.blocks if isinstance(b, Table)]
    if tables:
        write_atomically(out / "table.md", "\n".join(table.to_markdown() for table in tables))
    for figure in document.figures:
        with writable(out / f"{figure.key}.png"):
            (out / f"{figure.key}.png").write_bytes(figure.png)
    document.to_html(out / "report.html")
    return out / "report.html"
