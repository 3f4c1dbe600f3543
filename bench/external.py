"""Explanations without a gradient: what the block search adds to transfer, from the history of one run of AutoIFIA."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from captum.attr import DeepLift, Occlusion
from torch import Tensor

import holdfast as hf
from bench.contest import METRICS, Record, Setting, images_of, network_of
from bench.measure import environment
from holdfast.attacks.auto import SEARCH
from holdfast.files import write_atomically
from holdfast.models.state import Model
from holdfast.report.table import Column, Row, Table

WINDOW = 4


class CaptumOcclusion:
    """Captum's occlusion of squares of ``WINDOW`` pixels, side by side."""

    def __init__(self, model: Any) -> None:
        self.explainer = Occlusion(model)

    def attribute(self, x: Tensor, target: Tensor) -> Tensor:
        window = (x.shape[1], WINDOW, WINDOW)
        found: Tensor = self.explainer.attribute(x, target=target, sliding_window_shapes=window, strides=window)
        return found


def smoothed_gradient(model: Model, x: Tensor, target: Tensor) -> Tensor:
    """A plain function: the input gradient's magnitude, averaged over 3 x 3 pixels."""
    return F.avg_pool2d(hf.Saliency()(model, x, target).abs(), 3, stride=1, padding=1)


EXPLAINED: dict[str, Callable[..., Any]] = {
    "Captum Occlusion": CaptumOcclusion,
    "Captum DeepLift": DeepLift,
    "plain function": smoothed_gradient,
}
TABLE = ("explanation", "network", "metric")
SCORED = ("signs", "transfer", "searched")


def external(out: Path, specs: Sequence[str], setting: Setting) -> list[Record]:
    """The mean similarity left before the block search and after it, per network, explanation and metric."""
    records: list[Record] = []
    for network in map(network_of, specs):
        images, labels = images_of(network, setting, hf.Saliency())
        for name, fn in EXPLAINED.items():
            attacked = hf.External(fn)
            auto = hf.AutoIFIA(network.eps, setting.k, "quick", metrics=METRICS, attribution=attacked)
            found = auto.run(network.found.model, images, labels, generator=torch.Generator().manual_seed(setting.seed))
            before = next(i for i, member in enumerate(found.members) if member.startswith(SEARCH))
            for metric, one in found.by_metric.items():
                made = dict(zip(TABLE, (name, network.title, metric), strict=True))
                means = {"signs": 0, "transfer": before - 1, "searched": -1}
                scores = {key: round(float(one.history[at]), 5) for key, at in means.items()}
                won = sum(found.members[int(w)].startswith(SEARCH) for w in found.winner[metric] if w >= 0)
                spent = {"maps": round(found.maps, 1), "queries": auto.queries(attacked), "won": won}
                records.append(made | scores | spent | vars(setting) | environment("cpu"))
                print(records[-1], flush=True)
            write_atomically(out, json.dumps(records, indent=0) + "\n")
    return records


def table_of(records: list[Record]) -> Table:
    """A row per explanation, network and metric."""
    heads = (
        ("signs", "random signs"),
        ("transfer", "and transfer"),
        ("searched", "and block search"),
        ("won", "images won by the search"),
        ("maps", "maps asked for per image"),
    )
    columns = tuple(Column(key, text) for key, text in heads)
    rows = tuple(
        Row(
            f"{r['explanation']}, {r['network']}, {r['metric']}",
            tuple(r[key] if key in SCORED else f"{r[key]:.0f}" for key, _ in heads),
        )
        for r in records
    )
    one = records[0]
    notes = (
        f"The mean over the first {one['images']} test images that a network gets right of what is left after each "
        f"stage of AutoIFIA, quick: random signs, then members on integrated gradients and on saliency, then "
        f"{one['queries']} queries of the block search, half of them for each metric. Each stage starts from what is "
        "there, so that it cannot rise, and each costs more maps.",
        f"Made by python -m bench contest --external; torch {one['torch']}, {one['device']}, {one['date']}.",
    )
    return Table("external", "Explanations without a gradient", columns, rows, notes, first="Explanation")
