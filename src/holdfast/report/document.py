"""What is shown: tables, claims, figures and words in the sections of a document."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from holdfast.errors import HoldfastError
from holdfast.report.claim import Claim
from holdfast.report.table import Cell, Column, Table

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Tile:
    """A small picture as a ``data:`` URI with its caption, its description, and the strip of tiles it belongs to."""

    uri: str
    caption: str
    alt: str
    strip: str


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawing as bytes and text, with its caption, what it shows in words, and the claims that rest on it.

    ``tiles`` are shown in its place on a page, which they suit at any width: the first ``strips`` of them open.
    """

    kind: ClassVar[str] = "figure"
    key: str
    title: str
    caption: str
    alt: str
    png: bytes
    svg: str
    claims: tuple[Claim, ...] = ()
    tiles: tuple[Tile, ...] = ()
    strips: int = 4

    def to_markdown(self) -> str:
        """Title, picture by its file name, caption and claims."""
        from holdfast.report.write import figure_markdown

        return figure_markdown(self)


@dataclass(frozen=True)
class Words:
    """Paragraphs; ``listed`` makes them items of a list."""

    kind: ClassVar[str] = "words"
    paragraphs: tuple[str, ...]
    listed: bool = False


@dataclass(frozen=True)
class Facts:
    """Names with what is said of each."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """Commands, as they are typed."""

    kind: ClassVar[str] = "code"
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Claims:
    """Claims of one author: the first ``shown`` stand open, the others behind them."""

    kind: ClassVar[str] = "claims"
    claims: tuple[Claim, ...]
    shown: int = 3


@dataclass(frozen=True)
class Entry:
    """One row of a board: ``facets`` are the words that it is chosen by."""

    title: str
    about: str
    facets: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Board:
    """Many rows that a reader sorts by column and chooses by facet; at first those with the facets of the first row.

    >>> from dataclasses import replace
    >>> row = Entry("AT", "", ("MNIST", "worst"), (0.5,))
    >>> board = Board("b", ("Data set", "Attack"), (Column("kendall", "Kendall τ"),),
    ...     (row, replace(row, facets=("MNIST", "noise"))))
    >>> board.choices, [board.open(entry) for entry in board.entries]
    ([('Data set', ['MNIST']), ('Attack', ['worst', 'noise'])], [True, False])
    """

    kind: ClassVar[str] = "board"
    key: str
    facets: tuple[str, ...]
    columns: tuple[Column, ...]
    entries: tuple[Entry, ...]

    @property
    def choices(self) -> list[tuple[str, list[str]]]:
        """Each facet with the words that occur."""
        return [(name, list(dict.fromkeys(e.facets[i] for e in self.entries))) for i, name in enumerate(self.facets)]

    def open(self, entry: Entry) -> bool:
        """Whether a row is shown at first."""
        return entry.facets == self.entries[0].facets


Block = Table | Figure | Words | Facts | Code | Claims | Board


@dataclass(frozen=True)
class Section:
    """Blocks under a heading (none where it is empty); ``folded`` hides them until they are asked for."""

    title: str
    blocks: tuple[Block, ...]
    folded: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Document:
    """A title, the answer in one sentence, and the sections behind it.

    >>> document = Document("Two networks", "They cannot be told apart.", (Section("Why", (Words(("One seed.",)),)),))
    >>> "They cannot be told apart." in document.to_html()
    True
    """

    title: str
    answer: str
    sections: tuple[Section, ...] = ()
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def blocks(self) -> list[Block]:
        """Those of all sections."""
        return [block for section in self.sections for block in section.blocks]

    @property
    def tables(self) -> list[Table]:
        return [block for block in self.blocks if isinstance(block, Table)]

    @property
    def figures(self) -> list[Figure]:
        return [block for block in self.blocks if isinstance(block, Figure)]

    @property
    def claims(self) -> list[Claim]:
        """Every claim of tables, figures and sections, each once."""
        found = [claim for table in self.tables for claim in table.claims]
        found += [claim for figure in self.figures for claim in figure.claims]
        found += [claim for block in self.blocks if isinstance(block, Claims) for claim in block.claims]
        return list(dict.fromkeys(found))

    def to_frame(self) -> DataFrame:
        """The first table as a frame. Raises HoldfastError for a document without tables."""
        if not self.tables:
            raise HoldfastError(f"{self.title!r} has no table.")
        return self.tables[0].to_frame()

    def to_markdown(self) -> str:
        """Answer, tables, figures and claims."""
        from holdfast.report.write import document_markdown

        return document_markdown(self)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """The page as one HTML text that needs nothing else; written to ``path`` whole or not at all.

        Raises:
            HoldfastError: the file cannot be written.
        """
        from holdfast.report.page import render, write_page

        text = render(self)
        if path is not None:
            write_page(text, Path(path).expanduser())
        return text

    def _repr_html_(self) -> str:
        return self.to_html()
