"""Train inside the process group that torchrun started: ``torchrun ... on_processes.py ROOT``.

``ROOT/jobs.json`` is a list of jobs: a ``config``, the folder ``out`` below ROOT, whether to ``resume``, and what
is to happen on the way: ``spoil`` makes the loss of one rank NaN at a step, ``stop`` asks for a stop after a step
in one rank. Each rank writes what it met to ``ROOT/rank-N.json``, in the order of the jobs, and `validation`.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from holdfast import AT, PGD, HoldfastError, LossOutput
from holdfast.data import load_dataset
from holdfast.data.loader import DeviceLoader
from holdfast.part_json import from_json
from holdfast.train import Report, TrainConfig, train
from holdfast.train.distributed import World, current_world, joined
from holdfast.train.validation import validate


class Normalised(nn.Sequential):
    """Computes in float64 whatever it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.double())


def normalised(num_classes: int) -> nn.Module:
    """A smooth network with batch normalisation, another dropout, and a parameter that never has a gradient."""
    net = Normalised(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.Softplus(beta=5),
        nn.Dropout2d(0.2),
        nn.Conv2d(6, 6, 3),
        nn.BatchNorm2d(6),
        nn.Softplus(beta=5),
        nn.Flatten(),
        nn.Linear(96, num_classes),
    )
    net.register_parameter("unused", nn.Parameter(torch.ones(3)))
    return net.double()


def plain(num_classes: int) -> nn.Module:
    """A smooth network without anything that is random or that couples images."""
    return Normalised(
        nn.Conv2d(1, 8, 3), nn.Softplus(beta=5), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, num_classes)
    ).double()


def flat(num_classes: int) -> nn.Module:
    """Batch normalisation that refuses one image alone."""
    return Normalised(
        nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Softplus(beta=5), nn.Linear(8, num_classes)
    ).double()


@contextmanager
def spoilt(step: int | None) -> Iterator[None]:
    """The loss of AT is NaN at call ``step``."""
    real, calls = AT.__call__, itertools.count(1)

    def call(self: AT, *args: Any, **options: Any) -> LossOutput:
        output = real(self, *args, **options)
        return LossOutput(output.loss * float("nan"), output.parts) if next(calls) == step else output

    AT.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        AT.__call__ = real  # type: ignore[method-assign]


def run(job: dict[str, Any], root: Path, world: World) -> dict[str, Any]:
    reports: list[Report] = []
    spoil, stop = job.get("spoil", {}), job.get("stop", {})
    try:
        with spoilt(spoil["step"] if world.rank == spoil.get("rank") else None):
            train(
                from_json(TrainConfig, job["config"], "the job"),
                root / job["out"],
                resume=job.get("resume", False),
                on_step=reports.append,
                stop=lambda: world.rank == stop.get("rank") and reports[-1].step == stop["step"],
            )
    except HoldfastError as error:
        return {"error": str(error), "steps": len(reports)}
    return {"steps": reports[-1].step, "losses": [r.losses for r in reports], "validation": reports[-1].validation}


def validation() -> dict[str, float]:
    """Of an untrained network, in four batches."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = normalised(10)
    config = TrainConfig(validation=PGD(eps=0.1, alpha=0.05, steps=2))
    return validate(model, DeviceLoader(load_dataset("digits", "val"), batch_size=60, shuffle=False), config)


def main() -> None:
    torch.set_num_threads(1)
    root = Path(sys.argv[1])
    with joined() as world:
        assert current_world() == world
        met = [run(job, root, world) for job in json.loads((root / "jobs.json").read_text())]
        (root / f"rank-{world.rank}.json").write_text(json.dumps({"jobs": met, "validation": validation()}))


if __name__ == "__main__":
    main()
