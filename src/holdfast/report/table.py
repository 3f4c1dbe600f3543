"""Tables: rows of cells with their columns, notes and claims. Every writer starts from these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from holdfast.errors import HoldfastError
from holdfast.metrics.stats import Interval
from holdfast.report.claim import Claim
from holdfast.report.words import interval, number

if TYPE_CHECKING:
    from pandas import DataFrame

Cell = Interval | float | str | None
"""A measured mean, a bare number (shares in [0, 1]), a word, or nothing."""
MISSING = "–"
BEST = "The best of ours by each measure is bold, whether or not the intervals overlap."


@dataclass(frozen=True)
class Column:
    """One quantity. ``group`` is what stands above it, for example a data set.

    ``percent`` prints shares as per cent; ``signed`` marks a difference; ``better`` says which end is marked as best.
    ``beside`` marks numbers that belong to the column before it: the paper's.
    """

    key: str
    heading: str
    group: str = ""
    percent: bool = False
    signed: bool = False
    better: Literal["high", "low"] | None = None
    beside: bool = False
    digits: int = 1

    @property
    def titled(self) -> str:
        """The heading with its unit."""
        unit = " (points)" if self.signed else " (%)"
        return self.heading + (unit if self.percent and not self.beside else "")

    def written(self, cell: Cell) -> str:
        """The number or word of a cell, without its interval."""
        if cell is None:
            return MISSING
        if isinstance(cell, str):
            return cell
        mean = cell.mean if isinstance(cell, Interval) else cell
        return number(mean, self.percent, self.digits, self.signed)

    def bounds(self, cell: Cell) -> str:
        """The interval of a cell in brackets; empty where it has none."""
        if not isinstance(cell, Interval) or cell.low is None or cell.high is None:
            return ""
        return interval(cell.low, cell.high, self.percent, self.digits, self.signed)


@dataclass(frozen=True)
class Row:
    """One row: ``style`` is "highlight", "chance" or empty."""

    title: str
    cells: tuple[Cell, ...]
    style: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells with their columns, what stands below, and the claims that rest on it.

    Raises HoldfastError for a row that has not one cell a column.

    >>> table = Table("t", "Two networks", (Column("kendall", "Kendall τ", better="high"),),
    ...     (Row("AT", (Interval(0.5, 0.4, 0.6, 100),)), Row("TRADES", (0.625,))))
    >>> print(table.to_markdown())
    # Two networks
    <BLANKLINE>
    | Method | Kendall τ |
    | --- | ---: |
    | AT | 0.500 [0.400, 0.600] |
    | TRADES | **0.625** |
    <BLANKLINE>
    - The best of ours by each measure is bold, whether or not the intervals overlap.
    <BLANKLINE>
    >>> table.to_frame()["kendall"].tolist()
    [0.5, 0.625]
    """

    kind: ClassVar[str] = "table"
    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    first: str = "Method"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise HoldfastError(f"row {row.title!r} has {len(row.cells)} cells for {len(self.columns)} columns.")

    @property
    def groups(self) -> list[tuple[str, int]]:
        """What stands above the columns, with how many each spans."""
        names = [column.group for column in self.columns]
        return [(name, names.count(name)) for name in dict.fromkeys(names)]

    @property
    def wordy(self) -> bool:
        """Whether it holds sentences rather than numbers."""
        return any(isinstance(cell, str) for row in self.rows for cell in row.cells)

    def of_group(self, name: str) -> Table:
        """The columns of one group alone."""
        kept = [i for i, column in enumerate(self.columns) if column.group == name]
        rows = tuple(replace(row, cells=tuple(row.cells[i] for i in kept)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=rows)

    def best(self, i: int) -> str | None:
        """How the best of a column is printed, where there is more than one number to choose from."""
        column = self.columns[i]
        cells = [row.cells[i] for row in self.rows if row.style != "chance"]
        means = [c.mean if isinstance(c, Interval) else c for c in cells if not isinstance(c, str | None)]
        if column.better is None or len({column.written(mean) for mean in means}) < 2:
            return None
        return column.written(max(means) if column.better == "high" else min(means))

    @property
    def said(self) -> list[str]:
        """The notes, with what the marks mean."""
        marked = any(self.best(i) is not None for i in range(len(self.columns)))
        return [*([BEST] if marked else []), *self.notes]

    def to_frame(self) -> DataFrame:
        """One line a row: means by ``group key`` (or ``key``), with ``low``, ``high``, ``n`` and ``seeds`` of each."""
        from holdfast.report.write import frame_of

        return frame_of(self)

    def to_markdown(self) -> str:
        """The table with title, notes and claims."""
        from holdfast.report.write import table_markdown

        return table_markdown(self)

    def to_latex(self) -> str:
        """A ``table*`` in booktabs style; the document needs ``\\usepackage{booktabs}``."""
        from holdfast.report.write import table_latex

        return table_latex(self)

    def to_csv(self) -> str:
        """`to_frame` as text, at full precision."""
        return str(self.to_frame().to_csv(index=False, lineterminator="\n"))

    def _repr_html_(self) -> str:
        from holdfast.report.document import Document, Section
        from holdfast.report.page import render

        return render(Document(self.title, "", (Section("", (self,)),)))
