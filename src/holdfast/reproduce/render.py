"""Tables and claims as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence

from holdfast.report.formats import escape_latex, escape_markdown
from holdfast.reproduce.grid import Grid, GridCell, grid_of
from holdfast.reproduce.model import PaperTable, TextTable
from holdfast.theory.claim import Claim

BEST = "The largest of ours in each column is bold, whether or not the intervals overlap."
_LATEX = {
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "γ": r"$\gamma$",
    "ε": r"$\varepsilon$",
    "‖": r"$\Vert$",
    "‖₁": r"$\Vert_1$",
    "‖₂": r"$\Vert_2$",
    "‖²": r"$\Vert^2$",
    "x̃": r"$\tilde{x}$",
    "ᵀ": r"$^\top$",
    "ξ": r"$\xi$",
    "∇": r"$\nabla$",
    "≠": r"$\neq$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "∈": r"$\in$",
    "|": r"$|$",
}


def latex_text(text: str) -> str:
    r"""``text`` for use in a LaTeX paragraph, mathematical signs in math mode.

    >>> print(latex_text("β KL(p(x) ‖ p(x̃)), 5 %"))
    $\beta$ KL(p(x) $\Vert$ p($\tilde{x}$)), 5 \%
    """
    escaped = escape_latex(unicodedata.normalize("NFC", text))
    for sign in sorted(_LATEX, key=len, reverse=True):
        escaped = escaped.replace(sign, _LATEX[sign])
    return escaped


def to_markdown(table: PaperTable) -> str:
    """The table with its notes and claims, under its title."""
    grid = grid_of(table)
    several = len(grid.groups) > 1

    def written(cell: GridCell) -> str:
        text = f"**{cell.text}**" if cell.best else cell.text
        return f"{text} {cell.interval}".strip()

    headings = [
        escape_markdown(f"{c.dataset} {c.heading}" if several and not c.of_paper else c.heading) for c in grid.columns
    ]
    rows = [[escape_markdown(title), *map(written, cells)] for title, cells in grid.rows]
    lines = _markdown_lines(["Method", *headings], rows, "---:")
    notes = [*([BEST] if _has_best(grid) else []), *table.notes]
    title = table.title if several else f"{table.title} ({grid.groups[0][0]})"
    return "\n".join([f"# {title}", "", *lines, "", *_bullets(notes), *claims_markdown(table.claims)])


def text_to_markdown(table: TextTable) -> str:
    """A table of words with its notes, under its title."""
    rows = [list(map(escape_markdown, row)) for row in table.rows]
    lines = _markdown_lines(table.headings, rows, "---")
    return "\n".join([f"# {table.title}", "", *lines, "", *_bullets(table.notes)])


def claims_markdown(claims: Sequence[Claim]) -> list[str]:
    """The claims as lines of a section; none for no claims."""
    if not claims:
        return []
    rows = [
        [f"**{c.verdict}**", escape_markdown(c.statement), escape_markdown(c.evidence), escape_markdown(c.test)]
        for c in claims
    ]
    return ["## Claims", "", *_markdown_lines(["Verdict", "Statement", "Evidence", "Test"], rows, "---"), ""]


def _markdown_lines(headings: Sequence[str], rows: Iterable[Sequence[str]], rule: str) -> list[str]:
    lines = [headings, ["---", *([rule] * (len(headings) - 1))], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _bullets(notes: Sequence[str]) -> list[str]:
    return [*(f"- {escape_markdown(note)}" for note in notes), ""]


def _has_best(grid: Grid) -> bool:
    return any(cell.best for _, cells in grid.rows for cell in cells)


def to_latex(table: PaperTable) -> str:
    """A ``table*`` in booktabs style, data sets above their columns, intervals in small print below the means.

    The document needs ``\\usepackage{booktabs}``.
    """
    grid = grid_of(table)
    groups, spans, first = [], [], 2
    for name, width in grid.groups:
        groups.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(name)}}}")
        spans.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    body = [
        _latex_row(["", *groups]),
        "".join(spans),
        _latex_row(["Method", *(latex_text(column.heading) for column in grid.columns)]),
        r"\midrule",
    ]
    for title, cells in grid.rows:
        texts = [rf"\textbf{{{latex_text(c.text)}}}" if c.best else latex_text(c.text) for c in cells]
        body.append(_latex_row([latex_text(title), *texts]))
        if any(cell.interval for cell in cells):
            # Braces keep "[" at the start of a row from being read as the argument of the "\\" before it.
            small = [rf"{{\scriptsize {latex_text(c.interval)}}}" if c.interval else "" for c in cells]
            body.append(_latex_row(["", *small]))
    notes = [*([BEST] if _has_best(grid) else []), *table.notes]
    return _latex_table(table.key, " ".join([f"{table.title}.", *notes]), "l" + "r" * len(grid.columns), body)


def text_to_latex(table: TextTable) -> str:
    """A ``table*`` of paragraphs in booktabs style; the document needs ``\\usepackage{booktabs}``."""
    width = 0.92 / len(table.headings)
    body = [_latex_row(map(latex_text, table.headings)), r"\midrule"]
    body += [_latex_row(map(latex_text, row)) for row in table.rows]
    columns = rf"p{{{width:.3f}\textwidth}}" * len(table.headings)
    return _latex_table(table.key, " ".join([f"{table.title}.", *table.notes]), columns, body, size=r"\footnotesize")


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_table(key: str, caption: str, columns: str, body: Sequence[str], size: str = r"\small") -> str:
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            size,
            rf"\caption{{{latex_text(caption)}}}",
            rf"\label{{tab:{key}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def to_csv(table: PaperTable) -> str:
    """One line a cell at full precision: ours with interval, images and seeds, the paper's; shares in [0, 1]."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["method", "title", "dataset", "quantity", "ours", "low", "high", "images", "seeds", "paper"])
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            numbers = [cell.ours, cell.low, cell.high, cell.n, cell.seeds, cell.paper]
            key = f"{column.key}_gain" if column.signed else column.key
            writer.writerow([row.method, row.title, column.dataset, key, *numbers])
    return out.getvalue()


def text_to_csv(table: TextTable) -> str:
    """A table of words."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([table.headings, *table.rows])
    return out.getvalue()
