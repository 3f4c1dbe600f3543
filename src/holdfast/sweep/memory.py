"""Whether a plan fits the memory, estimated before anything starts.

The estimate of a run is ``data + 4 * weights + activations``: its splits as uint8; weights, gradients and two
moments of Adam; and what autograd keeps of one image (measured on a small batch) times the larger of

* ``2.5 * images``: a plain step with its adversarial images, and
* ``4.5 * path points``: the graph of an attribution that is differentiated.

The factors fit SmallCNN (2.5 and at most 4.7, measured); ResNet-18 needs 2.0 and 3.5, so that there the estimate
is two thirds too high. Methods without a path count as two or three points an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from holdfast.config import EvalConfig, TrainConfig
from holdfast.data import load_dataset
from holdfast.data.catalogue import SPLITS
from holdfast.errors import HoldfastError
from holdfast.gradient.memory import free_bytes, kept_bytes
from holdfast.models.resolve import build_model
from holdfast.sweep.plan import Run

AN_IMAGE, A_POINT = 2.5, 4.5
PROCESS = 600 * 2**20
"""What a process holds before it has data: the libraries, and on a GPU the context."""
FLOAT = 4


@dataclass(frozen=True)
class DataFacts:
    """What a data set takes, without its images."""

    bytes: int
    shape: tuple[int, int, int]
    num_classes: int


@dataclass(frozen=True)
class Need:
    """Bytes that a run takes at its peak beside its process, and where the peak is."""

    run: Run
    bytes: int
    peak: str

    @property
    def total(self) -> int:
        return self.bytes + PROCESS


def data_facts(names: Iterable[str], data_dir: str | None = None) -> dict[str, DataFacts]:
    """Load every split once (so that a missing data set is found now, and decoded once) and note its size."""
    facts = {}
    for name in names:
        splits = [load_dataset(name, split, data_dir=data_dir) for split in SPLITS]
        facts[name] = DataFacts(sum(s.images.nbytes for s in splits), splits[0].shape, splits[0].num_classes)
    return facts


def need_of(run: Run, data: DataFacts) -> Need:
    """The estimate for one run."""
    weights, an_image = _network_bytes(run.train.model, data.shape, data.num_classes)
    peaks = {
        "training": max(AN_IMAGE * run.train.optim.batch_size, A_POINT * training_points(run.train)),
        "the attribution attack of the evaluation": A_POINT * evaluation_points(run.evaluation),
    }
    peak = max(peaks, key=lambda name: peaks[name])
    return Need(run, int(data.bytes + 4 * weights + peaks[peak] * an_image), peak)


@lru_cache
def _network_bytes(model: str, shape: tuple[int, int, int], num_classes: int) -> tuple[int, int]:
    with torch.random.fork_rng(devices=[]):
        network = build_model(model, shape, num_classes)
        with torch.enable_grad():
            an_image = kept_bytes(lambda n: network(torch.zeros(n, *shape, requires_grad=True)), network)
    return FLOAT * sum(p.numel() for p in network.parameters()), an_image


def training_points(config: TrainConfig) -> int:
    """Path points of which a training step holds the graph."""
    path, rows = path_points(config), config.igr.internal_batch_size
    return max(path if rows is None else min(path, rows), _fixed_points(config))


def path_points(config: TrainConfig) -> int:
    """Those that ``igr.internal_batch_size`` can bound."""
    objective, batch = config.objective, config.optim.batch_size
    maps = {"ig-norm": 1, "ig-sum-norm": 1, "advaat": 2}.get(objective.name, 0)
    points = max(maps * objective.n_steps, objective.attack_n_steps if maps else 0)
    if config.igr.lam:
        points = max(points, 2 * config.igr.n_steps)
    return batch * points


def _fixed_points(config: TrainConfig) -> int:
    points = {"art": 3, "ssr": 2, "lga": 2, "r2et": 2}.get(config.objective.name, 0)
    if config.igr.lam and config.igr.adversary == "own":
        points = max(points, config.objective.attack_n_steps)
    return config.optim.batch_size * points


def evaluation_points(config: EvalConfig) -> int:
    """Path points of which a step of IFIA holds the graph."""
    return min(config.batch_size, config.n_attribution) * config.ifia.n_steps


def check_memory(runs: Sequence[Run], facts: dict[str, DataFacts], device: str, at_once: int = 1) -> None:
    """Raise if the ``at_once`` largest runs together do not fit what is free on ``device`` now.

    Raises:
        HoldfastError: with the estimate, what is free, and the remedy.
    """
    if not runs:
        return
    needs = sorted((need_of(run, facts[run.train.data.name]) for run in runs), key=lambda n: n.bytes, reverse=True)
    needs = needs[:at_once]
    total, free = sum(need.total for need in needs), free_bytes(torch.device(device))
    if total > free:
        raise HoldfastError(_too_much(needs, total, free, device))


def _too_much(needs: Sequence[Need], total: int, free: int, device: str) -> str:
    largest = needs[0]
    who = largest.run.title if len(needs) == 1 else f"{len(needs)} runs at once, the largest {largest.run.title},"
    remedies = ["fewer --jobs"] if len(needs) > 1 else []
    path = path_points(largest.run.train)
    if largest.peak == "training" and path == training_points(largest.run.train):
        remedies.append(f"--igr.internal-batch-size {max(1, path // 10)}")
    remedies.append("a profile with smaller batches and paths, or a machine with more memory")
    return (
        f"{who} would take about {_gib(total)} in {largest.peak}, and {_gib(free)} are free on {device}; choose "
        f"{', or '.join(remedies)}. The estimate is rough and rather too high: "
        "--no-check-memory starts all the same."
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
