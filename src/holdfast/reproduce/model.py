"""What a reproduction consists of; every rendering (terminal, Markdown, LaTeX, CSV, page) is made from this."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from holdfast.results import RunResult
from holdfast.theory.claim import Claim


@dataclass(frozen=True)
class PaperColumn:
    """One quantity on one data set. ``percent`` prints shares as per cent; ``signed`` marks a difference."""

    key: str
    heading: str
    dataset: str
    percent: bool
    signed: bool = False


@dataclass(frozen=True)
class PaperCell:
    """The published number beside ours: mean over seeds and images with its 95 % interval; shares in [0, 1].

    ``n`` counts the images of a seed (of the one with the fewest). ``ours`` is None where nothing was run,
    ``paper`` where the paper prints nothing.
    """

    ours: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    seeds: int = 0
    paper: float | None = None


@dataclass(frozen=True)
class PaperRow:
    """One method; ``runs`` names the results behind its cells."""

    title: str
    method: str
    cells: tuple[PaperCell, ...]
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper, or one of ours beside it, with the claims that rest on it."""

    key: str
    title: str
    columns: tuple[PaperColumn, ...]
    rows: tuple[PaperRow, ...]
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextTable:
    """A table of words: the losses of the methods."""

    key: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperFigure:
    """A figure written as ``png`` and ``svg``, with its caption and the claims that rest on it."""

    key: str
    title: str
    caption: str
    png: Path
    svg: Path
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Statement:
    """A theorem or proposition with what becomes of each part of it."""

    key: str
    title: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class LeftOut:
    """What could not be made, and why."""

    key: str
    title: str
    reason: str


@dataclass(frozen=True)
class Reproduction:
    """Everything that one ``holdfast reproduce`` made."""

    profile: str
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    tables: tuple[PaperTable, ...] = ()
    figures: tuple[PaperFigure, ...] = ()
    statements: tuple[Statement, ...] = ()
    results: tuple[RunResult, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    texts: tuple[TextTable, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
