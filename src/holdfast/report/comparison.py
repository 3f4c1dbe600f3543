"""Evaluated networks beside each other: the table, paired differences, pictures, curves and settings."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

import holdfast
from holdfast.errors import HoldfastError
from holdfast.metrics.stats import LEAST_IMAGES, Interval, Sample, contrast, mcnemar, mean_interval
from holdfast.palette import run_colours
from holdfast.report.claim import Claim, Effect, Verdict, judge
from holdfast.report.document import Claims, Code, Document, Facts, Section, Words
from holdfast.report.figures import Curve, curves_figure, figure_of
from holdfast.report.pictures import TIMES, ExampleView, attribution_figure, tiles
from holdfast.report.quantities import PREDICTION, QUANTITIES, attacks_of_all, heading, values_of
from holdfast.report.settings import settings_tables
from holdfast.report.table import Row, Table
from holdfast.report.words import listed, number, span
from holdfast.results.result import RunResult

NOTABLE_FAILURES = 0.05
SHOWN = 4
"""Claims that stand open."""
DRAWN = 1
"""Examples in the drawing; the page has all."""
STANDING: dict[Verdict, str] = {
    "holds": "is ahead of",
    "does not hold": "is behind",
    "cannot be told": "cannot be told from",
}
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


def _metrics(run: RunResult, attacks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every quantity that the records of a result have, worst cases over ``attacks``."""
    return {
        key: asdict(mean_interval(list(values.values()), quantity.bounds))
        for key, quantity in QUANTITIES.items()
        if (values := values_of(run, key, attacks))
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
    summaries = {title: {**run.summary, "metrics": _metrics(run, attacks)} for title, run in results.items()}
    table = results_table(summaries, dataset)
    k = table_k(results)
    claims = [c for pair in pairs for c in network_claims(*pair, results[pair[0]], results[pair[1]], attacks)]
    found = [Claims(tuple(claims), shown=SHOWN)] if claims else []
    sections = [_pictures(examples, results, seen)] if examples else []
    sections.append(Section("What was found", (table, Words(_caveats(results)), *found)))
    if pairs:
        gaps = differences_table(results, pairs, attacks)
        sections.append(Section("Paired differences", (gaps,), True, "image by image, with intervals"))
    curves = curves_of({title: run.log for title, run in results.items()})
    if curves:
        drawing = curves_figure(curves, run_colours(results))
        alt = f"Training curves of {listed(results)}: {listed(curves)}"
        caption = f"{listed(curves)} over the training steps."
        sections.append(Section("Training", (figure_of(drawing, "curves", "", caption, alt),), True))
    meanings = [(heading(c.key, k), QUANTITIES[c.key].meaning.format(k=k)) for c in table.columns]
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
        answer(summaries, k, pairs[-1] if pairs else None, claims),
        tuple(section for section in sections if section.blocks),
        (dataset,),
        warnings,
    )


def table_k(results: Mapping[str, RunResult]) -> int:
    """Features in the top-k intersection."""
    return int(next(iter(results.values())).summary["k"])


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


def _sample(first: RunResult, last: RunResult, key: str, attacks: Sequence[str]) -> Sample | None:
    sides = ((1.0, last), (-1.0, first))
    pair = [(sign, {0: values}) for sign, run in sides if (values := values_of(run, key, attacks))]
    return contrast(pair, QUANTITIES[key].bounds) if len(pair) == 2 else None


def differences_table(
    results: Mapping[str, RunResult], pairs: Sequence[tuple[str, str]], attacks: Sequence[str]
) -> Table:
    """A row a pair: the second less the first, image by image, with 95 % intervals."""
    k = table_k(results)
    samples = {key: [_sample(results[a], results[b], key, attacks) for a, b in pairs] for key in _COMPARED}
    cells = {
        key: [sample.interval() if sample else None for sample in found] for key, found in samples.items() if any(found)
    }
    columns = tuple(QUANTITIES[key].column(k, signed=True) for key in cells)
    rows = tuple(Row(f"{b} less {a}", tuple(row[i] for row in cells.values())) for i, (a, b) in enumerate(pairs))
    note = "Over the images that both have; intervals cover the choice of images, not training again."
    return Table("differences", "Paired differences", columns, rows, (note,), first="Pair")


def network_claims(base: str, title: str, first: RunResult, last: RunResult, attacks: Sequence[str]) -> list[Claim]:
    """Whether one network is ahead of another, image by image; of these two networks, not of their methods."""
    k, claims = last.summary["k"], []
    for key in _COMPARED:
        quantity, sample = QUANTITIES[key], _sample(first, last, key, attacks)
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


def answer(
    summaries: Mapping[str, Mapping[str, Any]], k: int, pair: tuple[str, str] | None, claims: Sequence[Claim]
) -> str:
    """What the numbers say in one sentence: the worst attack of all and the first one, and who is ahead of whom."""
    metrics = {title: summary["metrics"] for title, summary in summaries.items()}
    keys = [key for key in ("worst_topk", "topk") if all(key in found for found in metrics.values())]
    if not keys:
        return f"The attributions of {listed(metrics)} were not all measured under attack."
    shares = [[f"{number(found[key]['mean'], True, 0)} %" for found in metrics.values()] for key in keys]
    each = listed(f"{share} on {title}" for share, title in zip(shares[0], metrics, strict=True))
    under = {"worst_topk": "the worst of all attacks", "topk": "the attack of the protocol"}
    beside = "".join(f" ({listed(row)} under {under[key]})" for key, row in zip(keys[1:], shares[1:], strict=True))
    said = f"Of the {k} most important features {each} are still among them under {under[keys[0]]}{beside}"
    if pair is None:
        return f"{said}."
    base, title = pair
    wanted = [heading(keys[0].replace("topk", name), k) for name in ("topk", "kendall")]
    standing = {
        claim.effects[0].label: STANDING[claim.verdict]
        for claim in claims
        if claim.effects[0].label in wanted and claim.statement.endswith(f" than {base}")
        if claim.statement.startswith(f"{title} has ")
    }
    where = listed(f"{how} {base} in {name}" for name, how in standing.items())
    return f"{said}; of these networks {title} {where}." if where else f"{said}."


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
