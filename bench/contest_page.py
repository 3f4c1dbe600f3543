"""``python -m bench contest``: run what is missing of the contest, and write its page from the stored records."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from math import prod
from operator import itemgetter
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from matplotlib.figure import Figure as Drawing

from bench.contest import BUDGETS, DEFAULT, EXPLANATIONS, NETWORKS, OURS, THOROUGH, Record, Setting, contest
from bench.external import external
from bench.external import table_of as table_of_external
from bench.rivals import RIVALS
from holdfast.attacks.worst import chance
from holdfast.data.catalogue import KNOWN
from holdfast.files import make_folder, write_atomically
from holdfast.metrics.stats import mean_interval
from holdfast.palette import COLOURS, MUTED
from holdfast.report.document import Block, Document, Figure, Section
from holdfast.report.figures import figure_of
from holdfast.report.quantities import QUANTITIES
from holdfast.report.table import Column, Row, Table

ROUNDING = 1e-4
CELL = itemgetter("explanation", "network", "metric")
"""Of a record: where attacks are compared."""
HEADINGS = {"topk": "top-100", "kendall": "Kendall τ"}
LARGER = {
    DEFAULT: "Under the default budget, which evaluations use, AutoIFIA has {times:.1f} times the passes of a rival, "
    "and one is lower, above chance, on {lower:.1%}.",
    THOROUGH: "Under the thorough one, which ends with three of the rivals as they are, it has {times:.1f} times the "
    "passes, and one is lower, above chance, on {lower:.1%}.",
}
"""Of the budgets above the quick one, what the page says of each."""
TITLE = "Published attacks on attributions beside AutoIFIA"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench contest", description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), help="of the zoo, or folders of finished runs")
    parser.add_argument("--explanations", nargs="+", default=list(EXPLANATIONS), choices=list(EXPLANATIONS))
    attacks = [*BUDGETS, *RIVALS]
    parser.add_argument("--attacks", nargs="+", default=attacks, choices=attacks)
    parser.add_argument("--images", type=int, default=Setting.images)
    parser.add_argument("--out", type=Path, default=Path("results/contest.json"), help="records, kept and added to")
    parser.add_argument("--external", action="store_true", help="the explanations without a gradient anew, alone")
    parser.add_argument("--page", type=Path, default=Path("docs/contest.md"), help="with a picture in images beside it")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    make_folder(given.out.parent)
    beside = given.out.with_stem(f"{given.out.stem}-external")
    if given.external:
        external(beside, given.networks, Setting(given.images))
        return
    for record in contest(given.out, given.networks, given.explanations, given.attacks, Setting(given.images)):
        where = f"{record['explanation']}, {record['network']}, {record['metric']}"
        print(f"{where:75} {record['attack']:36} {mean(record['scores']):.3f} {record['seconds']:6.0f} s", flush=True)
    without = json.loads(beside.read_text()) if beside.is_file() else []
    write(document_of(json.loads(given.out.read_text()), without), given.page)


def write(document: Document, page: Path) -> None:
    """The document as Markdown, with its figure as ``images/KEY.png`` beside it."""
    make_folder(page.parent / "images")
    text = document.to_markdown()
    for figure in document.figures:
        (page.parent / "images" / f"{figure.key}.png").write_bytes(figure.png)
        text = text.replace(f"({figure.key}.png)", f"(images/{figure.key}.png)")
    write_atomically(page, text)


def document_of(records: list[Record], without: list[Record]) -> Document:
    """The contest's tables and plot, and the table of explanations ``without`` a gradient."""
    equal = [r for r in records if r["attack"] == OURS or r["attack"] not in BUDGETS]
    cells = {CELL(r) for r in _only(equal, OURS)}
    lowest = sum(_is_lowest(equal, cell) for cell in cells)
    higher = Counter(r["attack"] for r in equal if r["attack"] != OURS for beaten in _beaten(equal, r) if beaten)
    images = sum(len(r["scores"]) for r in _only(equal, OURS))
    published = [r for r in records if r["attack"] in BUDGETS or not r["attack"].endswith("(ours)")]
    answer = (
        f"At equal cost AutoIFIA has the lowest mean in {lowest} of {len(cells)} cells "
        "(network, explanation and metric). "
        f"A rival is lower by more than {ROUNDING:g} on {_share(equal):.1%} of {images} images and metrics"
        + (f": {', '.join(f'{name} {n}' for name, n in higher.most_common())}." if higher else ".")
        + " AutoIFIA stops at chance (k of all features, τ 0): "
        f"on {_share(equal, stopped=False):.1%} a rival is lower and AutoIFIA still above chance, on "
        f"{_share(published, stopped=False):.1%} one that was published."
    )
    budgets = [ours for ours in BUDGETS if _only(records, ours)]
    faced = {CELL(r) for r in records if r["attack"] not in BUDGETS}
    compared = [r for r in records if CELL(r) in faced and all(_own(records, r, ours) for ours in budgets)]
    first, *rest = dict.fromkeys(r["explanation"] for r in equal)
    parts: list[Block] = []
    for ours, sentence in LARGER.items():
        if ours in budgets and compared:
            lower = _share(compared, ours, stopped=False)
            answer += " " + sentence.format(times=_times(compared, ours), lower=lower)
    if compared and len(budgets) > 1:
        parts.append(table_of_budgets(compared, budgets))
    parts += [figure_of_costs(equal), table_of(equal, first, _notes(records))]
    parts += [table_of(equal, name) for name in rest]
    if without:
        parts.append(table_of_external(without))
    return Document(TITLE, answer, (Section("", tuple(parts)),))


def _own(records: list[Record], record: Record, ours: str) -> Record | None:
    same = ("weights", "explanation", "points", "metric", "images", "k", "seed", "eps")
    return next((r for r in records if r["attack"] == ours and all(r[n] == record[n] for n in same)), None)


def _beaten(records: list[Record], record: Record, ours: str = OURS, *, stopped: bool = True) -> list[bool]:
    """Per image, whether AutoIFIA is above this record; not where it ``stopped`` at chance, unless these count too."""
    own = _own(records, record, ours)
    pairs = zip(own["scores"], record["scores"], strict=True) if own else ()
    features = prod(KNOWN[record["network"].split()[0]].shape)
    least = -1.0 if stopped else chance(record["metric"], features, record["k"])
    return [a > b + ROUNDING and a > least for a, b in pairs]


def _share(records: list[Record], ours: str = OURS, *, stopped: bool = True) -> float:
    """Of images and metrics on which any rival is lower."""
    anywhere: dict[tuple[str, ...], np.ndarray] = {}
    for r in records:
        if r["attack"] not in BUDGETS and (beaten := _beaten(records, r, ours, stopped=stopped)):
            cell = CELL(r)
            anywhere[cell] = anywhere.get(cell, np.zeros(len(beaten), bool)) | np.array(beaten)
    return float(np.concatenate(list(anywhere.values())).mean()) if anywhere else 0.0


def _times(records: list[Record], ours: str) -> float:
    """Passes of a budget over those of the quick one, the mean over records."""
    pairs = [(r, _own(records, r, OURS)) for r in _only(records, ours)]
    return mean(r["passes"] / quick["passes"] for r, quick in pairs if quick)


def _only(records: list[Record], attack: str) -> list[Record]:
    return [r for r in records if r["attack"] == attack]


def _is_lowest(records: list[Record], cell: tuple[str, str, str]) -> bool:
    here = [r for r in records if CELL(r) == cell]
    return min(here, key=lambda r: mean(r["scores"]))["attack"] == OURS


def table_of(records: list[Record], explanation: str, notes: tuple[str, ...] = ()) -> Table:
    """A row per attack, a column per network and metric."""
    there = {r["network"] for r in records if r["explanation"] == explanation}
    networks = [network for network in dict.fromkeys(r["network"] for r in records) if network in there]
    columns = [
        Column(f"{network} {metric}", heading, network, better="low")
        for network in networks
        for metric, heading in HEADINGS.items()
    ]
    by_place = {(r["attack"], r["network"], r["metric"]): r for r in records if r["explanation"] == explanation}
    rows = []
    for attack in (OURS, *(rival.title for rival in RIVALS.values())):
        found = [by_place.get((attack, n, m)) for n in networks for m in HEADINGS]
        if any(found):
            cells = tuple(mean_interval(r["scores"], QUANTITIES[r["metric"]].bounds) if r else None for r in found)
            rows.append(Row(attack, cells, "highlight" if attack == OURS else ""))
    title = f"{explanation[0].upper()}{explanation[1:]}: worst case at equal cost"
    key = f"contest-{explanation.replace(' ', '-').lower()}"
    return Table(key, title, tuple(columns), tuple(rows), notes, first="Attack")


def table_of_budgets(records: list[Record], budgets: list[str]) -> Table:
    """A row per explanation and metric, over networks: each budget, the best rival, and on how many it is lower."""
    rows = []
    for explanation in dict.fromkeys(r["explanation"] for r in records):
        for metric, heading in HEADINGS.items():
            here = [r for r in records if (r["explanation"], r["metric"]) == (explanation, metric)]
            rivals = [r for r in here if r["attack"] not in BUDGETS]
            networks = dict.fromkeys(r["network"] for r in rivals)
            least = [np.min([r["scores"] for r in rivals if r["network"] == one], axis=0) for one in networks]
            means = (np.mean(least), *(np.mean([r["scores"] for r in _only(here, ours)]) for ours in budgets))
            shares = (f"{_share(here, ours, stopped=False):.0%}" for ours in budgets)
            rows.append(Row(f"{explanation}, {heading}", (*(float(m) for m in means), *shares)))
    columns = (
        Column("rivals", "lowest of all rivals, per image"),
        *(Column(ours, ours) for ours in budgets),
        *(Column(f"{ours} lower", f"a rival lower than {BUDGETS[ours]}") for ours in budgets),
    )
    notes = (
        "Means over networks and images. Each rival has the passes of the quick budget, so that all of them together "
        f"have {len(RIVALS)} times as many; a rival counts as lower where AutoIFIA is above chance.",
    )
    return Table("budgets", "Worst case by budget", columns, tuple(rows), notes, first="Explanation")


def _notes(records: list[Record]) -> tuple[str, ...]:
    made = sorted({(r["holdfast"], r["torch"], r["device"], r["date"]) for r in records})
    return (
        f"In this table and the next ones: the mean over the first {records[0]['images']} test images that a network "
        "gets right and its 95 % interval; lower is stronger. ε is that of the network's training; k is 100; a lost "
        "label counts 1. Grad-CAM's maps with fewer than k positive features, as most on MNIST, are passed over.",
        "At equal cost every attack has the forward passes of AutoIFIA's quick budget for both metrics; a rival's best "
        "image is kept for each metric. Steps are followed with 5 points (IG), scores are made with the points of the "
        "records. On SmoothGrad AutoIFIA's annealed members draw new noisy copies at each step; rivals follow one set, "
        "as they were published.",
        "Made by python -m bench contest; records in results/contest.json: "
        + "; ".join(f"holdfast {h}, torch {t}, {device}, {day}" for h, t, device, day in made)
        + ".",
    )


def figure_of_costs(records: list[Record]) -> Figure:
    """The mean over networks so far against forward passes per image, a panel per explanation and metric."""
    explanations = list(dict.fromkeys(r["explanation"] for r in records))
    drawing = Drawing(figsize=(3.6 * len(explanations) + 2.4, 5.6), layout="constrained")
    panels = drawing.subplots(2, len(explanations), squeeze=False)
    titles = [OURS, *(rival.title for rival in RIVALS.values())]
    for across, explanation in enumerate(explanations):
        for down, (metric, heading) in enumerate(HEADINGS.items()):
            axes = panels[down][across]
            for number, attack in enumerate(titles):
                curves = [
                    r["curve"]
                    for r in records
                    if (r["explanation"], r["metric"], r["attack"]) == (explanation, metric, attack)
                ]
                if curves:
                    passes, means = np.mean(np.array(curves), axis=0).T
                    colour = COLOURS[0] if attack == OURS else [*COLOURS[1:], MUTED, "black"][(number - 1) % 7]
                    style = {"marker": "o", "linewidth": 2.2} if attack == OURS else {"marker": ".", "linewidth": 0.9}
                    axes.plot(passes, means, color=colour, label=attack, ls="--" if number > 7 else "-", **style)
            axes.set_title(f"{explanation}, {heading}", loc="left", fontsize=9)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    drawing.supxlabel("forward passes per image", fontsize=9)
    drawing.supylabel("mean similarity left (lower is stronger)", fontsize=9)
    drawing.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right center", fontsize=7, frameon=False)
    caption = (
        "Mean over networks and images of the worst case found so far, by each attack's own scores while it runs: "
        "AutoIFIA after each member, a rival at eighths of its tries."
    )
    return figure_of(drawing, "contest", "Worst case against cost", caption)
