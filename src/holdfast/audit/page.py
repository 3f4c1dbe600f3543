"""The page of an audit: the verdict, the picture, the curves, what holds best, the flags, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from holdfast.audit.command import lines_of
from holdfast.audit.result import AuditResult
from holdfast.audit.store import pictures_of
from holdfast.palette import DASHES, INK, MUTED, run_colours
from holdfast.report.document import Block, Code, Document, Facts, Figure, Section, Tile, Words
from holdfast.report.figures import figure_of, plain
from holdfast.report.pictures import TIMES, difference, overlay, picture
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import counted, in_levels

DIFFERENCE = f"The difference is shown {TIMES} times as large as it is: white (in colour images grey) is none."


def document_of(result: AuditResult) -> Document:
    """The audit as a document."""
    sections = [
        Section("What an attacker can do", _pictures(result)),
        Section("How far, at which radius", (curves(result),)),
        Section("Which explanation holds best", (_table(result), Words((_meaning(result),)))),
        *_classes(result),
        Section("Is the map true to the network?", (_faithful(result), Words((FAITHFUL,)))),
    ]
    guaranteed = _certificate(result)
    if guaranteed:
        sections.append(Section("What is guaranteed", guaranteed))
    steps = tuple(result.next_steps())
    if steps:
        sections.append(Section("What to do", (Words(steps, listed=True),)))
    checked = (*result.flags,) or ("The self-checks of the attack found nothing odd.",)
    sections += [
        Section("What was checked", (Words(tuple(checked), listed=True), *_notes(result))),
        Section("Settings", (Facts(_settings(result)), Facts(tuple(result.environment.items()))), True),
        Section("Make it again", (Code(lines_of(result.asked, result.settings, result.folder)),), True),
    ]
    facts = [counted(result.images, "image"), result.data]
    if result.accuracy is not None:
        facts.append(f"accuracy on them {result.accuracy:.0%}")
    return Document(f"Audit of {result.title}", result.verdict(), tuple(sections), tuple(facts), _unfinished(result))


def _unfinished(result: AuditResult) -> tuple[str, ...]:
    if result.images >= result.wanted:
        return ()
    done = f"{result.images} of {counted(result.wanted, 'image')}"
    return (
        f"This page is of {done}: the audit was at work when it was written, or stopped at its time limit; the same "
        "command goes on.",
    )


def _pictures(result: AuditResult) -> tuple[Block, ...]:
    """The image that suffers most, the median and the one that suffers least, for the explanation that holds worst, and
    the median for the one that holds best."""
    worst, best = result.worst, result.best
    rows = _attacked(result, worst)
    if not len(rows) or result.folder is None:
        return (Words(("Pictures are made where the audit is kept in a folder (--out).",)),)
    places = {"worst": 0, "median": len(rows) // 2, "best": len(rows) - 1}
    if len(rows) < len(places):
        places = dict(zip(("worst", "best") if len(rows) == 2 else ("the one image",), range(len(rows)), strict=True))
    tiles: list[Tile] = []
    for name, place in places.items():
        tiles += strip_of(result, rows.iloc[place], f"{result.label(worst)}, {name}")
    if best != worst:
        kept = _attacked(result, best)
        tiles += strip_of(result, kept.iloc[len(kept) // 2], f"{result.label(best)}, median")
    return (strips(tiles, f"At a radius of {in_levels(result.reference)}, where the prediction stays."),)


def _attacked(result: AuditResult, explanation: str) -> pd.DataFrame:
    """The records of the attack at the reference radius, the image that suffers most first."""
    return result.rows(explanation, "attack", result.reference).sort_values(result.topk)


def strips(tiles: Sequence[Tile], words: str) -> Figure:
    """Strips of pictures as one figure, with what they show and how the difference is to be read."""
    words = f"{words} {DIFFERENCE}"
    blank = figure_of(Drawing(figsize=(1, 1)), "pictures", "", words, words)
    return Figure("pictures", "", words, words, blank.png, blank.svg, tiles=tuple(tiles))


def strip_of(result: AuditResult, row: pd.Series, name: str) -> list[Tile]:
    """The pictures of one record of an attack at the reference radius; none where they were not kept."""
    folder, index, prediction = result.folder, int(row["index"]), int(row["prediction"])
    found = folder and pictures_of(folder, index, row["attribution"], prediction)
    if not found:
        return []
    kept = f"{100 * float(row[result.topk]):.0f} % of the top {result.settings.k} left"
    strip = f"{name}: image {index}, predicted {result.class_name(prediction)}, {kept}"
    cells = {
        "image": found["image"],
        "map before": overlay(found["image"], found["clean"]),
        "attacked": found["attacked"],
        f"change × {TIMES}": difference(found["image"], found["attacked"]),
        "map after": overlay(found["attacked"], found["after"]),
    }
    return [Tile(picture(a), caption, f"{caption} of {strip}", strip) for caption, a in cells.items()]


def curves(result: AuditResult) -> Figure:
    """Share of the top features left against the radius: attack, noise, certificate and chance."""
    drawing = Drawing(figsize=(6.4, 4.2), layout="constrained")
    axis = drawing.subplots()
    for explanation, colour in run_colours(result.measured).items():
        trace(axis, result, explanation, result.settings.eps, result.label(explanation), colour)
    certified = result.records[result.records["what"] == "certificate"]
    certified = certified[certified["eps"].notna()] if len(certified) else certified
    if len(certified):
        least = certified.groupby("eps")["topk"].mean()
        axis.plot(
            [255 * float(e) for e in least.index], least.to_numpy(), ":", color=INK, label="voted map, guaranteed"
        )
    axis.axhline(result.chance, color=MUTED, linewidth=0.8)
    axis.annotate(
        "chance", (255 * result.settings.eps[-1], result.chance), fontsize=8, color=MUTED, ha="right", va="bottom"
    )
    name_axes(drawing, result)
    caption = "Means over images; the band is the 95 % interval of the attack."
    if result.settings.budget == "light":
        caption += (
            f" The light budget attacks {in_levels(result.reference)} by one short climb and starts the other radii "
            "from what it found there: a stronger attack may leave less than is shown."
        )
    alt = "Share of the most important features that is left, against the radius of the perturbation"
    return figure_of(drawing, "curves", "", caption, alt)


def trace(axis: Axes, result: AuditResult, explanation: str, radii: Sequence[float], name: str, colour: str) -> None:
    """Draw the share of an explanation's top features that attack and noise leave, with the attack's interval."""
    levels = [0.0, *(255 * eps for eps in radii)]
    for what, dash in (("attack", DASHES[0]), ("noise", DASHES[1])):
        found = [result.mean(explanation, what, result.topk, eps) for eps in radii]
        means = [1.0, *(f.mean for f in found)]
        axis.plot(levels, means, dash, color=colour, marker="o", markersize=3, label=f"{name}, {what}")
        if what == "attack" and all(f.low is not None for f in found):
            ends = [1, *(f.low for f in found)], [1, *(f.high for f in found)]
            axis.fill_between(levels, *ends, color=colour, alpha=0.15)  # type: ignore[arg-type]


def name_axes(drawing: Drawing, result: AuditResult) -> None:
    """Say what the axes of such curves are, with a legend below them."""
    (axis,) = drawing.axes
    axis.set_ylim(0, 1.03)
    axis.set_xlabel("radius, 1/255 of the pixel range", fontsize=9, color=INK)
    axis.set_ylabel(f"share of the top {result.settings.k} left", fontsize=9, color=INK)
    if axis.get_legend_handles_labels()[1]:
        drawing.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    plain(axis)


def _table(result: AuditResult) -> Table:
    eps = result.reference
    radius = in_levels(eps)
    columns = (
        Column("attack", f"Top-{result.settings.k} under attack", percent=True, better="high"),
        Column("noise", "under noise", percent=True),
        Column("another", "of another image", percent=True),
        Column("kendall", "Kendall τ under attack", better="high"),
        Column("cosine", "Cosine", better="high"),
        Column("lens", "LENS top-k", percent=True, better="high"),
        Column("half", "half gone at (1/255)"),
        Column("blank", "blank maps", percent=True),
    )
    lens = next((c for c in result.records.columns if c.startswith("lens")), None)
    rows = []
    for explanation in result.explanations:
        half = result.half_gone(explanation)
        compared = [("attack", result.topk), ("noise", result.topk), ("attack", "kendall"), ("attack", "cosine")]
        compared += [("attack", lens)] if lens is not None else []
        found = [result.mean(explanation, what, metric, eps) for what, metric in compared]
        found.insert(2, result.another(explanation))
        cells = (
            *(mean if mean.n else None for mean in found),
            *([None] if lens is None else []),
            None if half is None else 255 * half,
            result.blank(explanation),
        )
        rows.append(Row(result.label(explanation), cells))
    return Table("explanations", f"Explanations at a radius of {radius}", columns, tuple(rows), first="Explanation")


def _meaning(result: AuditResult) -> str:
    return (
        f"Top-{result.settings.k}: the share of the {result.settings.k} most important features (a tenth of all unless "
        "said otherwise) that are still among them. Of another image: the share that the map of the next image "
        "of another class has among its own without any attack; what an attack leaves counts above that alone. "
        "Kendall τ compares the order of all features, LENS counts a feature as kept when its neighbour is. "
        "Half gone: the median radius at which half of the top features are "
        "replaced, linear between those tried (– beyond all of them)."
    )


SHOWN = 5
"""Classes in the table of the worst ones."""


def _classes(result: AuditResult) -> tuple[Section, ...]:
    """The predicted classes whose maps move most, where there are at least two."""
    found = result.by_class(result.best)
    if len(found) < 2:
        return ()
    columns = (Column("kept", f"Top-{result.settings.k} under attack", percent=True), Column("n", "images", digits=-2))
    rows = tuple(Row(result.class_name(c), (share, float(share.n))) for c, share in list(found.items())[:SHOWN])
    radius = in_levels(result.reference)
    title = f"{result.label(result.best)} by predicted class, at a radius of {radius}"
    note = f"The {len(rows)} worst of {len(found)} classes." if len(rows) < len(found) else ""
    table = Table("classes", title, columns, rows, notes=(note,) if note else (), first="Predicted class")
    return (Section("Which classes are worst", (table,)),)


FAITHFUL = (
    "Deletion: area under the prediction's probability as features are blackened, the most important first (lower is "
    "better, beside a random order); insertion the other way round. Infidelity: the part of the logit's change under "
    "noise that the map does not explain (0 is best, 1 none). Randomised: rank correlation with the map of the network "
    "whose last layer is drawn anew (near 1 the map says nothing about the network)."
)


def _faithful(result: AuditResult) -> Table:
    names = {
        "deletion": "Deletion", "deletion_random": "random order", "insertion": "Insertion",
        "insertion_random": "random order", "infidelity": "Infidelity", "randomised": "Randomised",
    }  # fmt: skip
    columns = tuple(Column(key, heading) for key, heading in names.items())
    rows = []
    for explanation in result.explanations:
        maps = result.rows(explanation, "map")
        cells = []
        for key in names:
            values = maps[key].astype(float).dropna() if key in maps else []
            cells.append(float(np.mean(values)) if len(values) else None)
        rows.append(Row(result.label(explanation), tuple(cells)))
    return Table("faithfulness", "", columns, tuple(rows), first="Explanation")


def _certificate(result: AuditResult) -> tuple[Block, ...]:
    rows = result.records[result.records["what"] == "certificate"]
    if not len(rows):
        return ()
    found = rows.groupby("radius")["topk"].mean()
    chosen = [r for r in (0.05, 0.1, 0.2, 0.5) if any(np.isclose(found.index.astype(float), r))]
    if not any(found[r] >= 0.005 for r in found.index):
        return (
            Words(("Nothing: the voted map's certificate, which was computed, leaves 0 % at every radius tried.",)),
        )
    said = [
        f"{100 * float(found[np.isclose(found.index.astype(float), r)].iloc[0]):.0f} % within {r:g}" for r in chosen
    ]
    return (
        Words(
            (
                "The voted map (how often a feature is among the largest of the gradient under Gaussian noise) is an "
                f"explanation with a guarantee: of its top {result.settings.k} no perturbation of an L2 length (pixels "
                f"in [0, 1]) up to the one named can leave less than {', '.join(said)} (means over images; each holds "
                "with probability 99.9 % over the noise). It is about this map alone, not about those above.",
            )
        ),
    )


def _notes(result: AuditResult) -> tuple[Block, ...]:
    return (Words(result.notes, listed=True),) if result.notes else ()


def _settings(result: AuditResult) -> tuple[tuple[str, str], ...]:
    s = result.settings
    radii = ", ".join(in_levels(e) for e in s.eps)
    return (
        ("explanations", ", ".join(result.explanations)),
        ("radii (Linf)", radii),
        ("important features", str(s.k)),
        ("budget of the attack", s.budget),
        ("draws of noise", str(s.draws)),
        ("seed", str(s.seed)),
    )
