"""The page of a comparison: the verdict, the differences, both curves, and the images that differ least and most."""

from __future__ import annotations

import shlex

from matplotlib.figure import Figure as Drawing

from holdfast.audit.command import lines_of
from holdfast.audit.compare import AuditComparison
from holdfast.audit.page import name_axes, strip_of, strips, trace
from holdfast.audit.result import AuditResult
from holdfast.metrics.stats import Interval
from holdfast.palette import run_colours
from holdfast.report.document import Block, Code, Document, Facts, Figure, Section, Tile, Words
from holdfast.report.figures import figure_of
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import in_levels


def comparison_document(found: AuditComparison) -> Document:
    """The comparison as a document."""
    first, second = found.first, found.second
    a, b = found.names
    sections = [
        Section("The same images under both", _pictures(found)),
        Section("How far, at which radius", tuple(_curves(found, e) for e in found.explanations)),
        Section("Paired differences", (_table(found),)),
        Section("Each by itself", (Words((f"{a}: {first.verdict()}", f"{b}: {second.verdict()}")),)),
        Section("What was checked", _checked(found)),
        Section("Settings", tuple(Facts(tuple(r.environment.items())) for r in (first, second)), True),
        Section("Make it again", (Code(_lines(found)),), True),
    ]
    facts = [first.data]
    if first.accuracy is not None and second.accuracy is not None:
        facts.append(f"accuracy {first.accuracy:.0%} ({a}) and {second.accuracy:.0%} ({b})")
    return Document(f"{b} beside {a}", found.verdict(), tuple(sections), tuple(facts))


def _lines(found: AuditComparison) -> tuple[str, ...]:
    """What makes both audits and compares them."""
    both = found.first, found.second
    made = [line for r in both for line in lines_of(r.asked, r.settings, r.folder)]
    folders = [str(r.folder) for r in both if r.folder is not None]
    return (*made, shlex.join(["holdfast", "audit", "--compare", *folders])) if len(folders) == 2 else tuple(made)


def _checked(found: AuditComparison) -> tuple[Block, ...]:
    said = [f"{name}: {flag}" for name, r in zip(found.names, (found.first, found.second), strict=True)
            for flag in r.flags]  # fmt: skip
    return (Words(tuple(said) or ("The self-checks of both attacks found nothing odd.",), listed=True),)


def _pictures(found: AuditComparison) -> tuple[Block, ...]:
    """The image with the median difference in the first shared explanation, under both."""
    explanation, eps = found.explanations[0], found.reference
    columns = [r.per_image(explanation, "attack", r.topk, eps) for r in (found.first, found.second)]
    gap = (columns[1] - columns[0]).dropna().sort_values()
    tiles: list[Tile] = []
    for index in [int(gap.index[len(gap) // 2])] if len(gap) else []:
        for name, result in zip(found.names, (found.first, found.second), strict=True):
            tiles += _strip(result, explanation, index, eps, name)
    if not tiles:
        return (Words(("Pictures are shown where both audits are kept in folders.",)),)
    where = f"{found.first.label(explanation)} at a radius of {in_levels(eps)}"
    return (strips(tiles, f"The image with the median difference, {where}."),)


def _strip(result: AuditResult, explanation: str, index: int, eps: float, name: str) -> list[Tile]:
    rows = result.rows(explanation, "attack", eps)
    rows = rows[rows["index"] == index]
    return strip_of(result, rows.iloc[0], name) if len(rows) else []


def _curves(found: AuditComparison, explanation: str) -> Figure:
    drawing = Drawing(figsize=(6.4, 3.8), layout="constrained")
    axis = drawing.subplots()
    for (name, colour), result in zip(run_colours(found.names).items(), (found.first, found.second), strict=True):
        trace(axis, result, explanation, found.eps, name, colour)
    name_axes(drawing, found.first)
    label = found.first.label(explanation)
    caption = f"{label}: means over images; the band is the 95 % interval of the attack."
    alt = f"Share of the most important features of {label} left under both models, against the radius"
    return figure_of(drawing, f"curves-{found.explanations.index(explanation)}", "", caption, alt)


def _table(found: AuditComparison) -> Table:
    a, b = found.names
    metric, eps = found.first.topk, found.reference
    columns = (
        Column("first", f"Top-{found.first.settings.k} under attack, {a}", percent=True),
        Column("second", b, percent=True),
        Column("attack", "difference", percent=True, signed=True),
        Column("noise", "difference under noise", percent=True, signed=True),
        Column("kendall", "Kendall τ, difference", signed=True),
        Column("cosine", "Cosine, difference", signed=True),
    )
    rows = []
    for explanation in found.explanations:
        cells: tuple[Interval | None, ...] = (
            *(mean if mean.n else None for mean in found.means(explanation, "attack", metric, eps)),
            found.difference(explanation, "attack", metric, eps),
            found.difference(explanation, "noise", metric, eps),
            found.difference(explanation, "attack", "kendall", eps),
            found.difference(explanation, "attack", "cosine", eps),
        )
        rows.append(Row(found.first.label(explanation), cells))
    title = f"{b} less {a} at a radius of {in_levels(eps)}, paired by image"
    return Table("differences", title, columns, tuple(rows), first="Explanation")
