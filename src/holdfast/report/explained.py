"""What was found of evaluated networks by one attribution: the table, paired differences, claims and the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.metrics.stats import LEAST_IMAGES, Interval, Sample, contrast, mcnemar, mean_interval
from holdfast.report.claim import Claim, Effect, Verdict, judge
from holdfast.report.quantities import PREDICTION, QUANTITIES, heading, values_of
from holdfast.report.table import Row, Table
from holdfast.report.words import listed, number, span
from holdfast.results.result import RunResult

NOTABLE_FAILURES = 0.05
STANDING: dict[Verdict, str] = {
    "holds": "is ahead of",
    "does not hold": "is behind",
    "cannot be told": "cannot be told from",
}
_COMPARED = ("worst_topk", "worst_kendall", "topk", "kendall", "natural", "pgd20")


@dataclass(frozen=True)
class Explained:
    """What was found of one attribution; ``of`` names it where there are several. Predictions are with the first."""

    of: str
    table: Table
    gaps: Table
    claims: list[Claim]
    caveats: tuple[str, ...]
    answer: str


def explained(
    results: Mapping[str, RunResult], dataset: str, pairs: Sequence[tuple[str, str]], attacks: Sequence[str]
) -> list[Explained]:
    """A table, the paired differences, claims and a sentence for each attribution that all results have."""
    first, *others = results.values()
    shared = [name for name in first.explanations if all(name in other.explanations for other in others)]
    if first.explanations and not shared:
        raise HoldfastError(
            f"{listed(results)} have no explanation in common; evaluate them with the same --attribution."
        )
    several, found = len(shared) > 1, []
    for place, explanation in enumerate(shared or [""]):
        own = {title: run.explained_by(explanation) for title, run in results.items()} if several else results
        tail, of = (f"-{place}", f": {explanation}") if several else ("", "")
        left_out = PREDICTION if place else ()
        summaries = {title: {**run.summary, "metrics": _metrics(run, attacks, left_out)} for title, run in own.items()}
        keys = [key for key in _COMPARED if key not in left_out]
        claims = [claim for a, b in pairs for claim in network_claims(a, b, own[a], own[b], attacks, keys)]
        found.append(
            Explained(
                of,
                results_table(summaries, dataset, f"table{tail}", of),
                differences_table(own, pairs, attacks, keys, tail, of),
                claims,
                _caveats(summaries),
                answer(summaries, table_k(own), pairs[-1] if pairs else None, claims, explanation if several else ""),
            )
        )
    return found


def results_table(summaries: Mapping[str, Mapping[str, Any]], dataset: str, key: str = "table", of: str = "") -> Table:
    """A row a network from the ``summary.json`` of its evaluation, and the chance levels; the last is highlighted.

    ``of`` is added to the title.

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
    return Table(key, f"{listed(summaries)}{of}", columns, tuple(rows), tuple(notes), first="Model")


def _interval(value: Mapping[str, Any]) -> Interval:
    return Interval(value["mean"], value["low"], value["high"], value["n"])


def _metrics(run: RunResult, attacks: Sequence[str], left_out: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Every quantity that the records of a result have but those ``left_out``, worst cases over ``attacks``."""
    return {
        key: asdict(mean_interval(list(values.values()), quantity.bounds))
        for key, quantity in QUANTITIES.items()
        if key not in left_out and (values := values_of(run, key, attacks))
    }


def _sizes(found: Mapping[str, Mapping[str, Interval]]) -> str:
    counts = {
        of: [v.n for row in found.values() for name, v in row.items() if (name in PREDICTION) == of]
        for of in (True, False)
    }
    words = {True: "n = {}", False: "attributions of {}"}
    return ", ".join(words[of].format(span(n)) for of, n in counts.items() if n)


def table_k(results: Mapping[str, RunResult]) -> int:
    """Features in the top-k intersection."""
    return int(next(iter(results.values())).summary["k"])


def difference_of(first: RunResult, last: RunResult, key: str, attacks: Sequence[str]) -> Sample | None:
    """A quantity of ``last`` less that of ``first``, image by image; None where one lacks it."""
    sides = ((1.0, last), (-1.0, first))
    pair = [(sign, {0: values}) for sign, run in sides if (values := values_of(run, key, attacks))]
    return contrast(pair, QUANTITIES[key].bounds) if len(pair) == 2 else None


def differences_table(
    results: Mapping[str, RunResult],
    pairs: Sequence[tuple[str, str]],
    attacks: Sequence[str],
    keys: Sequence[str],
    tail: str,
    of: str,
) -> Table:
    """A row a pair: the second less the first in each quantity, image by image, with 95 % intervals."""
    k = table_k(results)
    samples = {key: [difference_of(results[a], results[b], key, attacks) for a, b in pairs] for key in keys}
    cells = {
        key: [sample.interval() if sample else None for sample in found] for key, found in samples.items() if any(found)
    }
    columns = tuple(QUANTITIES[key].column(k, signed=True) for key in cells)
    rows = tuple(Row(f"{b} less {a}", tuple(row[i] for row in cells.values())) for i, (a, b) in enumerate(pairs))
    note = "Over the images that both have; intervals cover the choice of images, not training again."
    return Table(f"differences{tail}", f"Paired differences{of}", columns, rows, (note,), first="Pair")


def network_claims(
    base: str, title: str, first: RunResult, last: RunResult, attacks: Sequence[str], keys: Sequence[str]
) -> list[Claim]:
    """Whether one network is ahead of another, image by image; of these two networks, not of their methods."""
    k, claims = last.summary["k"], []
    for key in keys:
        quantity, sample = QUANTITIES[key], difference_of(first, last, key, attacks)
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
    summaries: Mapping[str, Mapping[str, Any]],
    k: int,
    pair: tuple[str, str] | None,
    claims: Sequence[Claim],
    explanation: str = "",
) -> str:
    """What the numbers say in one sentence: the worst attack of all and the first one, and who is ahead of whom.

    With an ``explanation``, of several: shorter, under the worst attack alone.
    """
    metrics = {title: summary["metrics"] for title, summary in summaries.items()}
    keys = [key for key in ("worst_topk", "topk") if all(key in found for found in metrics.values())]
    if not keys:
        return f"The attributions of {listed(metrics)} were not all measured under attack."
    shares = [[f"{number(found[key]['mean'], True, 0)} %" for found in metrics.values()] for key in keys]
    each = listed(f"{share} on {title}" for share, title in zip(shares[0], metrics, strict=True))
    under = {"worst_topk": "the worst of all attacks", "topk": "the attack of the protocol"}
    beside = "".join(f" ({listed(row)} under {under[key]})" for key, row in zip(keys[1:], shares[1:], strict=True))
    if explanation:
        said = f"By {explanation} {each} of the {k} most important features are left under {under[keys[0]]}"
    else:
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
    where = listed(f"{how} {base} in {name}" for name, how in standing.items() if not explanation or name == wanted[0])
    return f"{said}; of these networks {title} {where}." if where else f"{said}."


def _caveats(summaries: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    rates = {t: summary["metrics"].get("failure_rate", {}).get("mean", 0.0) for t, summary in summaries.items()}
    if max(rates.values()) < NOTABLE_FAILURES:
        return ()
    shares = listed(f"{number(rate, True, 1)} % of the images of {title}" for title, rate in rates.items())
    return (f"The attack on the attribution found nothing on {shares}; these count as unchanged.",)
