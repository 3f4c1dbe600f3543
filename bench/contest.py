"""Published attacks on attributions beside AutoIFIA, at as many forward passes: what is run, and how it is scored.

AutoIFIA attacks top-k and Kendall's tau in one run. Every rival may try as many images as that run's forward passes pay
for, each with the map it needs to score it, and its best for each of the two is kept. All are scored by the same maps
in the end, with more points than an attack follows; an image that lost its label counts 1. AutoIFIA's larger budgets
run beside them, at more passes than theirs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import holdfast as hf
from bench.measure import environment
from bench.rivals import RIVALS, Rival, Task
from holdfast.attacks.auto import coarse
from holdfast.attacks.auto_members import Budget
from holdfast.attacks.worst import Compared, Worst, similarity
from holdfast.attribution.base import Attribution
from holdfast.data.loader import to_unit_interval
from holdfast.evaluate.subject import fingerprint
from holdfast.files import write_atomically
from holdfast.models.find import card_of, find_model
from holdfast.models.libraries import FoundModel
from holdfast.models.state import Model
from holdfast.recipes import title
from holdfast.train.folder import load_config

OURS, DEFAULT, THOROUGH = "AutoIFIA, quick", "AutoIFIA, standard", "AutoIFIA, thorough"
BUDGETS: dict[str, Budget] = {OURS: "quick", DEFAULT: "standard", THOROUGH: "thorough"}
METRICS: tuple[Compared, ...] = ("topk", "kendall")
EXPLANATIONS: dict[str, Attribution] = {
    "saliency": hf.Saliency(),
    "integrated gradients": hf.IntegratedGradients(n_steps=20),
    "SmoothGrad": hf.SmoothGrad(n_samples=4),
    "Grad-CAM": hf.GradCAM(),
}
NETWORKS = (
    "mnist/standard",
    "mnist/trades-igr",
    "fashion_mnist/standard",
    "fashion_mnist/trades-igr",
    "cifar10/at",
    "cifar10/at-igr",
)
CHECKPOINTS = 8
Record = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """How many images, the size of the top-k set, and the seed of all random numbers."""

    images: int = 10
    k: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Network:
    """A network with what it is called and the ball it was trained for."""

    title: str
    found: FoundModel
    eps: float


def network_of(spec: str) -> Network:
    """A network of the zoo, or the folder of a finished run."""
    folder = Path(spec)
    if folder.is_dir():
        config = load_config(folder / "config.json")
        data = config.data.name
        name = f"{data} {title(config.recipe.removeprefix(f'{data}-'))} seed {config.seed} ({config.profile} profile)"
        return Network(name, find_model(spec), config.validation.eps)
    card = card_of(spec)
    data, eps = card["train"]["data"]["name"], card["evaluation"]["eps"]
    own = "" if spec.startswith(f"{data}/") else f"ε = {eps:g} "
    return Network(f"{data} {own}{card['title']} seed {card['train']['seed']} (zoo)", find_model(spec), eps)


def contest(
    out: Path, specs: Sequence[str], explanations: Sequence[str], attacks: Sequence[str], setting: Setting
) -> Iterator[Record]:
    """Run what ``out`` does not hold yet, explanation by explanation, and store each record as soon as it is there.

    ``attacks`` are titles of `BUDGETS` and names of `RIVALS`.
    """
    records: list[Record] = json.loads(out.read_text()) if out.is_file() else []
    there = {_key(record) for record in records}
    networks = [network_of(spec) for spec in specs]
    for explanation in explanations:
        for network in networks:
            images, labels = images_of(network, setting, EXPLANATIONS[explanation])
            for attack in attacks:
                made = _head(network, explanation, attack, setting)
                if _key(made) in there:
                    continue
                for record in _run(network, EXPLANATIONS[explanation], attack, images, labels, setting):
                    records.append(made | record)
                    yield records[-1]
                write_atomically(out, json.dumps(records, indent=0) + "\n")


def _head(network: Network, explanation: str, attack: str, setting: Setting) -> Record:
    return {
        "network": network.title,
        "weights": fingerprint(network.found.model)[:16],
        "explanation": explanation,
        "points": EXPLANATIONS[explanation].points,
        "attack": attack if attack in BUDGETS else RIVALS[attack].title,
        "eps": network.eps,
        **vars(setting),
    }


def _key(record: Record) -> tuple[Any, ...]:
    return tuple(record[n] for n in ("weights", "explanation", "points", "attack", "eps", "images", "k", "seed"))


def images_of(network: Network, setting: Setting, explanation: Attribution) -> tuple[Tensor, Tensor]:
    """The first test images that the network gets right, of Grad-CAM's maps those with a top k above 0."""
    data, model = hf.load_dataset(str(network.found.dataset), "test"), network.found.model
    x, y = to_unit_interval(data.images[: 100 * setting.images]), data.labels[: 100 * setting.images]
    with torch.no_grad():
        right = model(x).argmax(1) == y
    if isinstance(explanation, hf.GradCAM):
        right &= (explanation(model, x, y).flatten(1) > 0).sum(1) >= setting.k
    rows = right.nonzero()[: setting.images, 0]
    return x[rows], y[rows]


def _run(
    network: Network, fine: Attribution, attack: str, images: Tensor, labels: Tensor, setting: Setting
) -> Iterator[Record]:
    model = network.found.model
    budget = BUDGETS.get(attack, BUDGETS[OURS])
    auto = hf.AutoIFIA(network.eps, setting.k, budget, metrics=METRICS, attribution=fine)
    generator = torch.Generator().manual_seed(setting.seed)
    start, cpu = time.perf_counter(), time.process_time()
    if attack in BUDGETS:
        passes, curves, adversarial = auto.cost, *ours(auto, model, images, labels, generator)
    else:
        rival, few = RIVALS[attack], coarse(fine)
        tries = max(int(auto.cost / rival.cost(few)), 1)
        passes = tries * rival.cost(few)
        task = Task(model, images, labels, few, network.eps, setting.k, tries, generator)
        curves, adversarial = kept(rival, task)
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    clean = fine(model, images, labels)
    for metric in METRICS:
        adv = adversarial[metric]
        with torch.no_grad():
            lost = model(adv).argmax(1) != labels
        found = similarity(metric, fine(model, adv, labels), clean, setting.k).masked_fill(lost, 1.0)
        yield {
            "metric": metric,
            "scores": [round(float(score), 5) for score in found],
            "curve": [[round(cost), round(mean, 5)] for cost, mean in curves[metric]],
            "passes": round(passes),
            **{name: round(value, 1) for name, value in took.items()},
            "holdfast": hf.__version__,
            **environment("cpu"),
        }


Curve = list[tuple[float, float]]


def ours(
    auto: hf.AutoIFIA, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[dict[str, Curve], dict[str, Tensor]]:
    """The means after each member with what it had cost, and the worst images."""
    found = auto.run(model, images, labels, generator=generator)
    costs = auto.costs(auto.attribution)
    curves = {
        m: [(sum(costs[: i + 1]), float(mean)) for i, mean in enumerate(one.history)]
        for m, one in found.by_metric.items()
    }
    return curves, {m: one.adv_images for m, one in found.by_metric.items()}


def kept(rival: Rival, task: Task) -> tuple[dict[str, Curve], dict[str, Tensor]]:
    """The same of a rival: its best image of each metric by its own maps, of those that keep the label."""
    worst = Worst(task.model, task.images, task.labels, task.attribution, METRICS, task.k)
    rows = torch.arange(len(task.images))
    curves: dict[str, Curve] = {m: [] for m in METRICS}
    every = max(task.tries // CHECKPOINTS, 1)
    for number, adv in enumerate(islice(rival.attempts(task), task.tries), start=1):
        worst.take(adv, rows, worst.values(adv, rows), 0, torch.full_like(rows, number))
        if number % every == 0:
            for m, score in worst.score.items():
                curves[m].append((number * rival.cost(task.attribution), float(score.mean())))
    return curves, dict(worst.images)
