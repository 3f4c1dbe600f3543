"""``python -m bench.quadrature``: how near each rule and number of steps comes to the exact attribution.

On the pretrained networks (standard and adversarially trained) and the first images of the *validation* split
that they classify correctly; the reference is the midpoint rule with many steps.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import torch

import holdfast as hf
from bench.measure import environment
from holdfast.data.loader import to_unit_interval
from holdfast.gradient.points import Method
from holdfast.models.find import pretrained_names

STEPS = (3, 5, 10, 20, 50)
RULES: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Accuracy:
    """One rule on one network, means over images: 1 - cosine and Kendall of magnitudes to the reference, and
    ``|sum(IG) - (f(x) - f(0))|`` as a share of ``|f(x) - f(0)|``."""

    network: str
    rule: str
    n_steps: int
    one_minus_cosine: float
    kendall: float
    topk: float
    completeness: float


def measure(dataset: str, name: str, images: int, reference_steps: int, k: int = 100) -> list[Accuracy]:
    """Every rule and number of steps on one network."""
    model = hf.find_model(f"{dataset}/{name}").model
    data = hf.load_dataset(dataset, "val").first(20 * images)
    x, y = to_unit_interval(data.images), data.labels
    with torch.no_grad():
        right = (model(x).argmax(1) == y).nonzero()[:images, 0]
        x, y = x[right], y[right]
        rise = (model(x) - model(torch.zeros_like(x))).gather(1, y[:, None])[:, 0]
    exact = hf.integrated_gradients(model, x, y, n_steps=reference_steps)
    rows = []
    for rule in RULES:
        for n_steps in STEPS:
            ig = hf.integrated_gradients(model, x, y, n_steps=n_steps, method=rule)
            rows.append(
                Accuracy(
                    f"{dataset} {name}",
                    rule,
                    n_steps,
                    (1 - hf.cosine_similarity(ig, exact)).mean().item(),
                    hf.kendall_tau(ig.abs(), exact.abs()).mean().item(),
                    hf.topk_intersection(ig.abs(), exact.abs(), k).mean().item(),
                    ((ig.flatten(1).sum(1) - rise).abs() / rise.abs()).median().item(),
                )
            )
    return rows


def markdown(rows: list[Accuracy]) -> str:
    """One table a network: 1 - cosine / Kendall / top-k / completeness error."""
    lines = []
    for network in dict.fromkeys(row.network for row in rows):
        chosen = {(row.rule, row.n_steps): row for row in rows if row.network == network}
        lines += ["", f"**{network}**", "", f"| steps (cost {chr(215)} 2 F) | {' | '.join(RULES)} |"]
        lines.append("| ---: |" + " --- |" * len(RULES))
        for n in STEPS:
            cells = (chosen[rule, n] for rule in RULES)
            texts = (
                f"{c.one_minus_cosine:.1e} / {c.kendall:.3f} / {c.topk:.3f} / {100 * c.completeness:.1f} %"
                for c in cells
            )
            lines.append(f"| {n} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.quadrature", description="Accuracy of the path integral.")
    arguments.add_argument("--out", default="runs/bench/quadrature.json", help="JSON file; a table lands beside it")
    arguments.add_argument("--images", type=int, default=32)
    arguments.add_argument("--reference-steps", type=int, default=1000)
    options = arguments.parse_args()
    rows: list[Accuracy] = []
    for full in pretrained_names():
        dataset, _, name = full.partition("/")
        rows += measure(dataset, name, options.images, options.reference_steps)
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    found = {"environment": environment("cpu"), **vars(options), "rows": [asdict(row) for row in rows]}
    out.write_text(json.dumps(found, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
