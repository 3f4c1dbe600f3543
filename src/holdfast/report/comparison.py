"""Evaluated networks beside each other: the table, what the last has over the first, pictures, curves and settings."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

import holdfast
from holdfast.errors import HoldfastError
from holdfast.metrics.stats import LEAST_IMAGES, Interval, contrast, mcnemar, mean_interval
from holdfast.palette import run_colours
from holdfast.report.claim import Claim, Effect, judge
from holdfast.report.document import Claims, Code, Document, Facts, Figure, Row, Section, Table, Words
from holdfast.report.figures import Curve, curves_figure, figure_of
from holdfast.report.pictures import ExampleView, attribution_figure, tiles
from holdfast.report.quantities import ATTACKED, PREDICTION, QUANTITIES, WORST, heading, values_of
from holdfast.report.settings import settings_tables
from holdfast.report.words import listed, number, span
from holdfast.results.store import RunResult

NOTABLE_FAILURES = 0.05
_COMPARED = ("worst_topk", "worst_kendall", "topk", "kendall", "natural", "pgd20")
_CURVES = {
    "natural": "validation accuracy (clean)",
    "adversarial": "validation accuracy (adversarial)",
    "cosine": "validation cos(IG(x), IG(x̃))",
}


def results_table(summaries: Mapping[str, Mapping[str, Any]], dataset: str, key: str = "table") -> Table:
    """A row a network from the ``summary.json`` of its evaluation, and the chance levels; the last is highlighted.

    Raises HoldfastError for no networks.
    """
    if not summaries:
        raise HoldfastError("a table needs at least one evaluated network; evaluate a model first.")
    last, k = list(summaries)[-1], next(iter(summaries.values()))["k"]
    found = {
        title: {name: _interval(value) for name, value in summary["metrics"].items()}
        for title, summary in summaries.items()
    }
    keys = [name for name in QUANTITIES if name != "activation" and any(name in row for row in found.values())]
    style = "highlight" if len(found) > 1 else ""
    rows = [Row(t, tuple(map(row.get, keys)), style if t == last else "") for t, row in found.items()]
    levels: Mapping[str, float] = summaries[last]["chance"]
    chance = tuple(levels.get(name.rpartition("_")[2]) if name not in PREDICTION else None for name in keys)
    if any(level is not None for level in chance):
        rows.append(Row("chance", chance, "chance"))
    notes = [
        f"Means over images of {dataset} with 95 % intervals ({_sizes(found)}), exact for shares; they cover the "
        "choice of images, not what training again from another seed would change.",
        f"Top-{k} is taken over {summaries[last]['n_features']} features. Chance is what two unrelated attributions "
        "score. An image on which the attack on the attribution found nothing counts as unchanged (1.0).",
    ]
    columns = tuple(QUANTITIES[name].column(k) for name in keys)
    return Table(key, listed(summaries), columns, tuple(rows), tuple(notes), first="Model")


def _interval(value: Mapping[str, Any]) -> Interval:
    return Interval(value["mean"], value["low"], value["high"], value["n"])


def _metrics(run: RunResult) -> dict[str, dict[str, Any]]:
    """Every quantity that the records of a result have."""
    return {
        key: asdict(mean_interval(list(values.values()), quantity.bounds))
        for key, quantity in QUANTITIES.items()
        if (values := values_of(run, key))
    }


def _sizes(found: Mapping[str, Mapping[str, Interval]]) -> str:
    accuracy, attacked = (
        span(v.n for row in found.values() for name, v in row.items() if (name in PREDICTION) == of) or "0"
        for of in (True, False)
    )
    return f"n = {accuracy}, attributions of {attacked}"


def compare_results(
    results: Mapping[str, RunResult],
    *,
    dataset: str,
    examples: Sequence[ExampleView] = (),
    commands: Sequence[str] = (),
    notes: Sequence[str] = (),
    device: str = "cpu",
) -> Document:
    """A page for evaluated networks: the last against the first, image by image.

    Args:
        results: by title; the first is the baseline.
        dataset: what the images are called.
        examples: pictured test images, each attacked on every network.
        commands: what makes it again.
        notes: what a reader must know besides.
    """
    summaries = {title: {**run.summary, "metrics": _metrics(run)} for title, run in results.items()}
    table = results_table(summaries, dataset)
    (base, first), *_, (title, last) = [*results.items()] * 2
    claims = network_claims(base, first, title, last) if len(results) > 1 else []
    found = [Claims(tuple(claims), shown=len(claims))] if claims else []
    sections = [Section("What was found", (*found, Words(_caveats(results)), table))]
    if examples:
        sections.append(Section("Attributions before and after the attack", (_pictures(examples, results),)))
    curves = curves_of({title: run.log for title, run in results.items()})
    if curves:
        drawing = curves_figure(curves, run_colours(results))
        alt = f"Training curves of {listed(results)}: {listed(curves)}"
        caption = f"{listed(curves)} over the training steps."
        sections.append(Section("Training", (figure_of(drawing, "curves", "", caption, alt),), True))
    k = last.summary["k"]
    meanings = [(heading(c.key, k), QUANTITIES[c.key].meaning.format(k=k)) for c in table.columns]
    sections += [
        Section("How to read the numbers", (Facts(tuple(meanings)), Words(tuple(notes), listed=True)), True),
        Section("Settings", tuple(settings_tables(list(results.values()))), True, "with where each value comes from"),
        Section("Make it again", (Code(tuple(commands)), Facts(environment(device))), True),
    ]
    warnings = tuple(f"{name}: {text}" for name, run in results.items() for text in run.summary["warnings"])
    return Document(listed(results), answer(base, first, title, last, claims), tuple(sections), (dataset,), warnings)


def _pictures(examples: Sequence[ExampleView], results: Mapping[str, RunResult]) -> Figure:
    k = next(iter(results.values())).summary["k"]
    drawing = attribution_figure(examples, list(results), k, run_colours(results))
    caption = (
        f"Kendall's τ and the share of the top {k} features that is left stand below each attacked attribution. Each "
        "map is divided by its own 99th percentile."
    )
    alt = f"{len(examples)} test images with their attributions before and after the attack, for {listed(results)}"
    found = figure_of(drawing, "attributions", "", caption, alt, dpi=110)
    return Figure(found.key, "", caption, alt, found.png, found.svg, tiles=tiles(examples, list(results), k))


def network_claims(base: str, first: RunResult, title: str, last: RunResult) -> list[Claim]:
    """Whether one network is ahead of another, image by image; of these two networks, not of their methods."""
    k, claims = last.summary["k"], []
    for key in _COMPARED:
        pair = [(sign, {0: values}) for sign, run in ((1.0, last), (-1.0, first)) if (values := values_of(run, key))]
        quantity = QUANTITIES[key]
        sample = contrast(pair, quantity.bounds) if len(pair) == 2 else None
        if sample is None:
            continue
        found, ends = sample.interval(), sample.ends()
        name = heading(key, k) + (" accuracy" if key in PREDICTION else "")
        test = (
            f"paired over {sample.images} images; holds if the 95 % interval lies above 0, does not hold if below; "
            f"fewer than {LEAST_IMAGES} images decide nothing. It is of these two networks, not of their methods"
        )
        if key in PREDICTION:
            test += f". McNemar's exact p = {mcnemar(sample.values[0].tolist()):.2g}"
        effect = Effect(name, found, quantity.percent, ends and ends[1], sample.images >= LEAST_IMAGES)
        claims.append(judge(f"{title} has the higher {name} than {base}", [effect], test=test))
    return claims


def answer(base: str, first: RunResult, title: str, last: RunResult, claims: Sequence[Claim]) -> str:
    """What the numbers say in one sentence, from the strongest attack that was run."""
    if not claims:
        return f"Only {title} was evaluated; there is nothing to compare it with."
    names = {heading(key, last.summary["k"]): key for key in QUANTITIES}
    by_key = {names[claim.effects[0].label]: claim for claim in claims if claim.effects[0].label in names}
    worst, plain = ("worst_topk", "worst_kendall"), ("topk", "kendall")
    strongest = [key for key in (worst if worst[0] in by_key else plain) if key in by_key]
    if not strongest:
        return f"The attributions of {base} and {title} were not both measured under attack on the same images."
    verdicts = {by_key[key].verdict for key in strongest} - {"cannot be told"}
    opening = {
        (): f"Under attack the attributions of {title} and {base} cannot be told apart here",
        ("holds",): f"{title} holds its attributions under attack better than {base}",
        ("does not hold",): f"{title} holds its attributions under attack worse than {base}",
    }.get(tuple(verdicts), f"Top-k and Kendall’s τ disagree on whether {title} is ahead of {base}")
    group = QUANTITIES[strongest[0]].group
    where = {WORST: "the strongest of all attacks on each image", ATTACKED: "the attack of the protocol"}[group]
    said = [_numbers(key, first, last) for key in strongest]
    natural = f"; natural accuracy {_numbers('natural', first, last, named=False)}"
    return f"{opening}: under {where} {listed(said)}{natural}."


def _numbers(key: str, first: RunResult, last: RunResult, named: bool = True) -> str:
    quantity = QUANTITIES[key]
    unit = " %" if quantity.percent else ""
    after, before = (number(run.summary["metrics"][key]["mean"], quantity.percent, 1) for run in (last, first))
    name = f"{quantity.heading.format(k=last.summary['k'])} is " if named else ""
    return f"{name}{after}{unit} against {before}{unit}"


def _caveats(results: Mapping[str, RunResult]) -> tuple[str, ...]:
    rates = {t: run.summary["metrics"].get("failure_rate", {}).get("mean", 0.0) for t, run in results.items()}
    if max(rates.values()) < NOTABLE_FAILURES:
        return ()
    shares = listed(f"{number(rate, True, 1)} % of the images of {title}" for title, rate in rates.items())
    return (f"The attack on the attribution found nothing on {shares}; these count as unchanged.",)


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
