"""Evaluated networks beside each other: what was found by each attribution, pictures, curves and settings."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

import holdfast
from holdfast.palette import run_colours
from holdfast.report.document import Claims, Code, Document, Facts, Section, Words
from holdfast.report.explained import explained, table_k
from holdfast.report.figures import Curve, curves_figure, figure_of
from holdfast.report.pictures import TIMES, ExampleView, attribution_figure, tiles
from holdfast.report.quantities import QUANTITIES, attacks_of_all, heading
from holdfast.report.settings import settings_tables
from holdfast.report.words import listed
from holdfast.results.result import RunResult

SHOWN = 4
"""Claims that stand open."""
DRAWN = 1
"""Examples in the drawing; the page has all."""
_CURVES = {
    "natural": "validation accuracy (clean)",
    "adversarial": "validation accuracy (adversarial)",
    "cosine": "validation cos(IG(x), IG(x̃))",
}


def compare_results(
    results: Mapping[str, RunResult],
    *,
    dataset: str,
    pairs: Sequence[tuple[str, str]] | None = None,
    examples: Sequence[ExampleView] = (),
    seen: str = "",
    commands: Sequence[str] = (),
    notes: Sequence[str] = (),
    device: str = "cpu",
) -> Document:
    """A page for evaluated networks, compared image by image.

    Args:
        results: by title.
        dataset: what the images are called.
        pairs: titles (baseline, network) whose difference is tested; every other against the first by default. The
            answer is about the last pair.
        examples: pictured test images, each attacked on every network.
        seen: what can be seen in the pictures.
        commands: what makes it again.
        notes: what a reader must know besides.
    """
    first, *others = results
    pairs = [(first, other) for other in others] if pairs is None else pairs
    attacks = attacks_of_all([*results.values()])
    found = explained(results, dataset, pairs, attacks)
    k, columns = table_k(results), found[0].table.columns
    sections = [_pictures(examples, results, seen)] if examples else []
    for one in found:
        claims = [Claims(tuple(one.claims), shown=SHOWN)] if one.claims else []
        sections.append(Section(f"What was found{one.of}", (one.table, Words(one.caveats), *claims)))
    if pairs:
        gaps = tuple(one.gaps for one in found)
        sections.append(Section("Paired differences", gaps, True, "image by image, with intervals"))
    curves = curves_of({title: run.log for title, run in results.items()})
    if curves:
        drawing = curves_figure(curves, run_colours(results))
        alt = f"Training curves of {listed(results)}: {listed(curves)}"
        caption = f"{listed(curves)} over the training steps."
        sections.append(Section("Training", (figure_of(drawing, "curves", "", caption, alt),), True))
    meanings = [(heading(c.key, k), QUANTITIES[c.key].meaning.format(k=k)) for c in columns]
    over = f"The worst of all attacks is taken over {listed(attacks)}."
    trained = [run for run in results.values() if run.settings is not None]
    sections += [
        Section("How to read the numbers", (Facts(tuple(meanings)), Words((over, *notes), listed=True)), True),
        Section("Settings", tuple(settings_tables(trained)), True, "with where each value comes from"),
        Section("Make it again", (Code(tuple(commands)), Facts(environment(device))), True),
    ]
    warnings = tuple(f"{name}: {text}" for name, run in results.items() for text in run.summary["warnings"])
    return Document(
        listed(results),
        " ".join(one.answer for one in found),
        tuple(section for section in sections if section.blocks),
        (dataset,),
        warnings,
    )


def _pictures(examples: Sequence[ExampleView], results: Mapping[str, RunResult], seen: str) -> Section:
    k = table_k(results)
    drawing = attribution_figure(examples[:DRAWN], list(results), k, run_colours(results))
    caption = (
        f"{seen} Difference: red where a pixel grew, blue where it shrank, {TIMES} times as large as it is. Each "
        "attribution is divided by its own 99th percentile."
    ).strip()
    alt = f"Test images with their attributions before and after the attack, a row each for {listed(results)}"
    drawn = figure_of(drawing, "attributions", "", caption, alt, dpi=110)
    return Section("One image", (replace(drawn, tiles=tiles(examples, list(results), k), strips=len(results)),))


def curves_of(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Curve]]:
    """Training curves by title, one line a run, from the lines of each run's log."""
    curves: dict[str, list[Curve]] = {}
    for title, log in logs.items():
        for kind in ("train", "validation"):
            chosen = [line for line in log if line["kind"] == kind]
            for name in (name for name in (chosen[0] if chosen else {}) if name not in ("kind", "step", "epoch")):
                panel = _CURVES[name] if kind == "validation" else "loss" if name == "loss" else f"loss: {name}"
                points = [(line["step"], line[name]) for line in chosen if name in line]
                steps, values = zip(*points, strict=True)
                curves.setdefault(panel, []).append(Curve(title, list(steps), list(values)))
    return curves


def environment(device: str) -> tuple[tuple[str, str], ...]:
    """Versions, and what it runs on."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"
    versions = {"holdfast": holdfast.__version__, "torch": torch.__version__, "python": platform.python_version()}
    return (*versions.items(), ("device", name))
