"""Every stored result in one table that a reader sorts, by data set, explanation and attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from holdfast.errors import HoldfastError
from holdfast.evaluate.protocol import NATURAL, OTHER_IMAGE, usual_settings
from holdfast.evaluate.summary import WORST, Quantity, shown
from holdfast.metrics.stats import Interval, mean_interval
from holdfast.report.document import Board, Code, Document, Entry, Section, Words
from holdfast.report.settings import by_dataset
from holdfast.report.table import Column
from holdfast.report.words import counted, dataset_title, listed
from holdfast.results.result import RunResult
from holdfast.results.wide import Records

COLUMNS = (
    Column("kendall", "Kendall τ", better="high"),
    Column("topk", "Top-k", percent=True, better="high"),
    Column("natural", "Accuracy", percent=True),
)
FACETS = ("Data set", "Explanation", "Attack")
NEAR = 0.05
"""Accuracy below the best of a data set from which on a network is not called the one that holds best."""
HOW = (
    "A row is a network: what is left of its explanations under one attack, or under the worst of all attacks for each "
    "image. A higher number may come from a weaker attack, so compare rows of the same attacks, radius and k alone.",
    "To enter a network: evaluate it, export the result, and open a pull request with its two files. They hold the "
    "numbers of every image with a checksum, and every mean here is made from them again.",
)
SUBMIT = (
    "holdfast evaluate my_models.py:make_net --dataset mnist --weights net.pt --export results/submitted",
    "holdfast leaderboard results/laptop results/submitted",
)


def leaderboard(results: Sequence[RunResult], commands: Sequence[str] = ()) -> Document:
    """The page of some results.

    Raises:
        HoldfastError: no results, or none with attacked explanations.
    """
    entries = [entry for runs in by_dataset(results).values() for run in runs for entry in entries_of(run)]
    if not entries:
        raise HoldfastError("no result holds attacked explanations; give exported results of holdfast evaluate.")
    sets = list(dict.fromkeys(entry.facets[0] for entry in entries))
    over = {_worst_of(result): len(result.protocol.attacks) for result in results}
    entries.sort(key=lambda e: (sets.index(e.facets[0]), e.facets[1], -over.get(e.facets[2], 0), -_mean(e)))
    return Document(
        "Leaderboard of explanations under attack",
        _answer(entries, over),
        (
            Section("", (Board("leaderboard", FACETS, COLUMNS, tuple(entries)), Words(HOW[:1]))),
            Section("Enter a network", (Words(HOW[1:]), Code(SUBMIT)), True),
            Section("Make it again", (Code(tuple(commands)),), True),
        ),
        (counted(len(results), "network"), listed(sets)),
    )


def entries_of(result: RunResult) -> Iterator[Entry]:
    """A row for every explanation and attack, the worst of all included."""
    assert isinstance(result.records, Records)
    found = [q for q in shown(result.records.frame, result.protocol.metrics) if _key(q)]
    means = {(q.attribution, q.attack, _key(q)): _interval(q) for q in found}
    natural = means.get(("", NATURAL, "natural"))
    usual = usual_settings(result.protocol)
    about = [f"{'ε' if name == 'eps' else name} {value:.4g}" for name, value in usual.items()]
    about += [f"profile {result.profile}"] if result.profile else []
    seed = "" if result.settings is None else f", seed {result.seed}"
    attacked = (q for q in found if q.attribution and q.attack != OTHER_IMAGE)
    for attribution, attack in dict.fromkeys((q.attribution, q.attack) for q in attacked):
        name = _worst_of(result) if attack == WORST else attack
        kendall, topk = (means.get((attribution, attack, key)) for key in ("kendall", "topk"))
        where = (dataset_title(result.dataset), attribution, name)
        yield Entry(f"{result.title}{seed}", ", ".join(about), where, (kendall, topk, natural))


def _worst_of(result: RunResult) -> str:
    """What the worst case over its attacks is called."""
    return f"{WORST} of {listed(result.protocol.attacks)}"


def _key(quantity: Quantity) -> str:
    if not quantity.attribution:
        return "natural" if quantity.attack == NATURAL else ""
    if quantity.metric == "kendall":
        return "kendall"
    return "topk" if quantity.metric.startswith("top_") else ""


def _interval(quantity: Quantity) -> Interval:
    return mean_interval(quantity.values.tolist(), (-1.0, 1.0) if quantity.metric == "kendall" else (0.0, 1.0))


def _mean(entry: Entry) -> float:
    first = entry.cells[0]
    return first.mean if isinstance(first, Interval) else -2.0


def _answer(entries: Sequence[Entry], over: Mapping[str, int]) -> str:
    """The network that holds best on each data set under the worst of most attacks, of those that classify well.

    ``over``: the number of attacks behind each worst case, by its name.
    """
    said = []
    for dataset, group in groupby(entries, key=lambda e: e.facets[0]):
        worst = [entry for entry in group if entry.facets[2] in over]
        if worst:
            most = [entry for entry in worst if over[entry.facets[2]] == over[worst[0].facets[2]]]
            top = max(map(_accuracy, most))
            best = max((entry for entry in most if _accuracy(entry) >= top - NEAR), key=_mean)
            kendall, _, natural = (c.written(v) for c, v in zip(COLUMNS, best.cells, strict=True))
            said.append(f"{best.title} on {dataset} (Kendall τ {kendall} at an accuracy of {natural} %)")
    near = f"of the networks within {100 * NEAR:.0f} points of the best accuracy"
    return f"Under the worst of all attacks the explanations of {listed(said)} hold best, {near}." if said else ""


def _accuracy(entry: Entry) -> float:
    natural = entry.cells[2]
    return natural.mean if isinstance(natural, Interval) else 0.0
