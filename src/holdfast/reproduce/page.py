"""The whole reproduction as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from holdfast.files import make_folder, write_atomically
from holdfast.report.images import data_uri
from holdfast.reproduce.model import PaperFigure, Reproduction, TextTable
from holdfast.reproduce.sections.claims import Claims, gather_claims
from holdfast.reproduce.sections.curves import CurveSet, curve_sets
from holdfast.reproduce.sections.head import Head, build_head
from holdfast.reproduce.sections.runs import ShownRecipe, ShownWarning, build_recipes, warnings_of
from holdfast.reproduce.sections.settings import SettingsSet, settings_sets
from holdfast.reproduce.sections.tables import ShownTable, show_table
from holdfast.reproduce.sections.words import Anchors, Link, clauses, short_title

SVG_LIMIT = 400_000
"""Bytes above which a figure is shown as PNG."""


@dataclass(frozen=True)
class Picture:
    """A figure with its place on the page; ``uri`` is None where neither of its files exists."""

    source: PaperFigure
    anchor: str
    uri: str | None


@dataclass(frozen=True)
class Page:
    """Everything that the template places."""

    reproduction: Reproduction
    head: Head
    claims: Claims
    texts: Sequence[tuple[str, TextTable]]
    tables: Sequence[ShownTable]
    figures: Sequence[Picture]
    curves: Sequence[CurveSet]
    settings: Sequence[SettingsSet]
    recipes: Sequence[ShownRecipe]
    warnings: Sequence[ShownWarning]

    @property
    def common_notes(self) -> list[str]:
        """Notes that stand below every one of several tables."""
        first, *others = [table.source.notes for table in self.tables] or [()]
        return [note for note in first if others and all(note in notes for notes in others)]

    @property
    def contents(self) -> list[Link]:
        """The sections that have something to show, with what lies in them."""
        statements = [Link(short_title(g.title), g.anchor) for g in self.claims.groups if g.is_statement]
        tables = [Link(short_title(text.title), anchor) for anchor, text in self.texts]
        tables += [Link(short_title(table.source.title), table.anchor) for table in self.tables]
        sections = [
            ("Verdicts", "verdicts", statements, self.claims.groups),
            ("Tables", "tables", tables, tables),
            ("Figures", "figures", [Link(short_title(f.source.title), f.anchor) for f in self.figures], self.figures),
            ("Left out", "left-out", [], self.reproduction.left_out),
            ("Training", "training", [Link(c.title, c.anchor) for c in self.curves], self.curves),
            ("Settings", "settings", [Link(s.title, s.anchor) for s in self.settings], self.settings),
            ("Self-checks", "self-checks", [], self.warnings),
            ("How to reproduce", "reproduce", [], self.reproduction.commands or self.recipes),
            ("Environment", "environment", [], self.reproduction.environment),
        ]
        return [Link(title, anchor, parts) for title, anchor, parts, content in sections if content]


def build_page(reproduction: Reproduction) -> Page:
    """What each section of the page shows."""
    anchors = Anchors()
    recipes = build_recipes(reproduction, anchors)
    how = {recipe.method: (recipe.title, recipe.anchor) for recipe in recipes}
    how |= {run.name: how[run.method] for run in reproduction.results}
    texts = [(anchors.take("table", text.key), text) for text in reproduction.texts]
    tables = [show_table(table, anchors.take("table", table.key), how) for table in reproduction.tables]
    figures = [Picture(f, anchors.take("figure", f.key), picture_uri(f)) for f in reproduction.figures]
    return Page(
        reproduction=reproduction,
        head=build_head(reproduction),
        claims=gather_claims(reproduction, [t.anchor for t in tables], [f.anchor for f in figures], anchors),
        texts=texts,
        tables=tables,
        figures=figures,
        curves=curve_sets(reproduction.results, anchors),
        settings=settings_sets(reproduction.results, anchors),
        recipes=recipes,
        warnings=warnings_of(reproduction.results),
    )


def picture_uri(figure: PaperFigure) -> str | None:
    """A figure as a data URI: its SVG unless that is large or missing, else its PNG; None without either."""
    if figure.svg.is_file() and (figure.svg.stat().st_size <= SVG_LIMIT or not figure.png.is_file()):
        return data_uri(figure.svg.read_text(encoding="utf-8"))
    return data_uri(figure.png.read_bytes()) if figure.png.is_file() else None


def render_page(reproduction: Reproduction) -> str:
    """The page as HTML text: style and figures inline, no script, nothing fetched from elsewhere.

    >>> "Nothing has been run yet" in render_page(Reproduction("laptop", ("mnist",), (0,)))
    True
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("holdfast.reproduce"), PackageLoader("holdfast.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clauses"] = clauses
    return environment.get_template("page.html.j2").render(page=build_page(reproduction))


def write_page(reproduction: Reproduction, out: Path) -> Path:
    """Write ``out/index.html``, making its folder; an older page stays until the new one is whole.

    Returns the path. Raises HoldfastError where the file cannot be written.
    """
    make_folder(out)
    write_atomically(out / "index.html", render_page(reproduction))
    return out / "index.html"
