"""``python -m bench.contest``: published attacks on attributions beside AutoIFIA, at as many forward passes.

Every rival gets as many steps or draws as the ensemble's forward passes of one metric pay for (a step of IFIA with 5
points and the score of its iterate: 41). All are scored by the same fine maps; an attack that lost the label counts 1.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks.attribution_attack import AttributionAttack, Found, Select
from holdfast.attacks.auto import coarse
from holdfast.attacks.base import project
from holdfast.attacks.goals import shares
from holdfast.attacks.worst import Worst, similarity
from holdfast.attribution.base import Attribution
from holdfast.data.image_data import to_unit_interval
from holdfast.models import SoftplusTwin
from holdfast.models.state import Model

METRICS: tuple[Select, ...] = ("topk", "kendall")
EXPLANATIONS: dict[str, Attribution] = {
    "ig": hf.IntegratedGradients(n_steps=50),
    "saliency": hf.Saliency(),
    "smoothgrad": hf.SmoothGrad(n_samples=50),
}


@dataclass(frozen=True)
class AdamTowardsMap(AttributionAttack):
    """The map of the next image by Adam on the twin, held to the logits (Dombrowski et al., 2019), kept in the ball."""

    eps: float
    steps: int
    k: int
    attribution: Attribution
    select: Select = "topk"
    rate: float = 0.01
    hold: float = 0.1

    def search(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, generator: torch.Generator
    ) -> Found:
        worst = Worst(model, images, labels, attribution, (self.select,), self.k)
        rows = torch.arange(len(images))
        target = shares(worst.clean).roll(-1, 0)
        with torch.no_grad():
            before = model(images).softmax(1)
        adv = images.clone().requires_grad_()
        adam = torch.optim.Adam([adv], lr=self.rate)
        for step in range(self.steps):
            twin = SoftplusTwin(model, 10 * 10 ** (step / self.steps))
            with torch.enable_grad():
                maps = shares(attribution.map(twin, adv, labels, create_graph=True, weights=False))
                away = (maps - target).square().sum() / target.square().sum()
                (adv.grad,) = torch.autograd.grad(away + self.hold * F.mse_loss(model(adv).softmax(1), before), adv)
            adam.step()
            with torch.no_grad():
                adv.copy_(project(adv, images, self.eps))
            now = adv.detach().clone()
            worst.take(now, rows, worst.values(now, rows), 0, torch.full_like(labels, step + 1))
        return worst.found(self.select)


@dataclass(frozen=True)
class UniformDraws(AttributionAttack):
    """The worst of uniform perturbations, as Captum's ``sensitivity_max`` draws them."""

    eps: float
    draws: int
    k: int
    attribution: Attribution
    select: Select = "topk"

    def search(
        self, model: Model, images: Tensor, labels: Tensor, attribution: Attribution, generator: torch.Generator
    ) -> Found:
        worst = Worst(model, images, labels, attribution, (self.select,), self.k)
        rows = torch.arange(len(images))
        for draw in range(self.draws):
            noise = torch.empty_like(images).uniform_(-self.eps, self.eps, generator=generator)
            adv = (images + noise).clamp(0, 1)
            worst.take(adv, rows, worst.values(adv, rows), 0, torch.full_like(labels, draw + 1))
        return worst.found(self.select)


Entry = Callable[[float, Select], AttributionAttack]
"""An attack for so many forward passes per image and a metric."""


def entries(eps: float, k: int, fine: Attribution) -> dict[str, Entry]:
    """Every attack of the contest; ``fine`` is what is scored in the end."""
    few = coarse(fine)
    score = 2.0 * few.points + 1

    def steps(passes: float) -> int:
        return max(int(passes / (6 * few.points + score)), 1)

    def ifia(goal: hf.Goal, alpha: float, beta: float | None = 30.0) -> Entry:
        return lambda passes, metric: hf.IFIA(
            eps, alpha, steps(passes), k, goal, few, surrogate_beta=beta, select=metric
        )

    def auto(passes: float, metric: Select) -> AttributionAttack:
        return hf.AutoIFIA(eps, k, "quick", metrics=(metric,), attribution=fine)

    return {
        "AutoIFIA": auto,
        "IFIA top-k (Ghorbani)": ifia(hf.TopKGoal(), eps / 15),
        "IFIA top-k (Chen, small steps)": ifia(hf.TopKGoal(), eps / 30),
        "IFIA kendall": ifia(hf.KendallGoal(), eps / 15),
        "mass centre (Ghorbani)": ifia(hf.MassCenterGoal(), eps / 15),
        "targeted (Ghorbani)": ifia(hf.TargetGoal("next"), eps / 15),
        "cosine on the network (Ivankay)": ifia(hf.CosineGoal(), eps / 15, None),
        "targeted by Adam (Dombrowski)": lambda passes, metric: AdamTowardsMap(eps, steps(passes), k, few, metric),
        "random signs": lambda passes, metric: hf.RandomSigns(eps, max(int(passes / score), 1), k, few, metric),
        "uniform (Captum sensitivity)": lambda passes, metric: UniformDraws(
            eps, max(int(passes / score), 1), k, few, metric
        ),
    }


@dataclass(frozen=True)
class Line:
    """One attack on one network and explanation by one metric: mean, seconds, images on which it beat AutoIFIA."""

    network: str
    explanation: str
    metric: str
    attack: str
    mean: float
    seconds: float
    better_on: int


def contest(network: str, explanation: str, images: int, eps: float, k: int) -> Iterator[Line]:
    """All attacks on the first correctly classified test images of a shipped network, ``data/name``."""
    dataset, name = network.split("/")
    net: nn.Module = hf.load_model(name, dataset=dataset).eval()
    data = hf.load_dataset(dataset, "test")
    x, y = to_unit_interval(data.images[: 3 * images]), data.labels[: 3 * images]
    with torch.no_grad():
        right = (net(x).argmax(1) == y).nonzero()[:images, 0]
    x, y, fine = x[right], y[right], EXPLANATIONS[explanation]
    clean = fine(net, x, y)
    for metric in METRICS:
        ours: Tensor | None = None
        passes = hf.AutoIFIA(eps, k, "quick", metrics=(metric,), attribution=fine).cost
        for attack, entry in entries(eps, k, fine).items():
            start = time.perf_counter()
            adv = entry(passes, metric)(net, x, y, generator=torch.Generator().manual_seed(0))
            took = time.perf_counter() - start
            with torch.no_grad():
                lost = net(adv).argmax(1) != y
            found = similarity(metric, fine(net, adv, y), clean, k).masked_fill(lost, 1.0)
            ours = found if ours is None else ours
            better = int((found < ours - 1e-6).sum())
            yield Line(network, explanation, metric, attack, float(found.mean()), took, better)


def plot(lines: list[Line], path: Path) -> None:
    """Worst case against seconds, a panel per network, explanation and metric."""
    from matplotlib.figure import Figure

    panels = sorted({(line.network, line.explanation, line.metric) for line in lines})
    figure = Figure(figsize=(4 * len(panels), 3.5), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for line in lines:
            if (line.network, line.explanation, line.metric) == panel:
                axes.plot(line.seconds, line.mean, "o", label=line.attack)
        axes.set(title=" ".join(panel), xlabel="seconds", ylabel="mean worst case (lower is stronger)")
    axes.legend(fontsize="xx-small")
    figure.savefig(path)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--networks", nargs="+", default=["mnist/trades-igr"], help="data/name of shipped networks")
    arguments.add_argument("--explanations", nargs="+", default=["ig"], choices=[*EXPLANATIONS])
    arguments.add_argument("--images", type=int, default=24)
    arguments.add_argument("--eps", type=float, default=0.3)
    arguments.add_argument("--k", type=int, default=100)
    arguments.add_argument("--out", type=Path, default=Path("contest.json"))
    given = arguments.parse_args()
    lines: list[Line] = []
    for network in given.networks:
        for explanation in given.explanations:
            for line in contest(network, explanation, given.images, given.eps, given.k):
                lines.append(line)
                where = f"{line.network} {line.explanation} {line.metric}"
                print(
                    f"{where:32} {line.attack:34} {line.mean:7.3f} {line.seconds:6.0f} s  {line.better_on}", flush=True
                )
                given.out.write_text(json.dumps([asdict(one) for one in lines], indent=1))
    plot(lines, given.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
