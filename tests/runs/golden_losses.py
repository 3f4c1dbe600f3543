"""The loss terms of ten training steps of every method on the digits.

``python tests/runs/golden_losses.py`` writes them to golden.json beside this file. Do so only after a change
that is meant to change what is trained, and say in the commit why the numbers moved.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor, nn

from holdfast.attacks import PGD, TPGD
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import AT, IGR, MART, TRADES, Standard
from holdfast.train import DataConfig, OptimConfig, Report, TrainConfig, train

METHODS = ("standard", "at", "trades", "mart", "at+igr", "trades+igr", "mart+igr")
STEPS = 10
MADE_WITH = "2.13"
"""The version of torch: dropout draws other numbers in others."""
GOLDEN = Path(__file__).with_name("golden.json")


class Network(nn.Sequential):
    """Computes in float64 whatever it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.double())


def network(num_classes: int) -> nn.Module:
    """A smooth network in double precision.

    In single precision, with ReLU or with max pooling, rounding decides signs and ties on which an attack builds,
    and ten steps on two kinds of processor would have only two or three digits in common.
    """
    return Network(
        nn.Conv2d(1, 8, 3),
        nn.Softplus(beta=5),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(72, 32),
        nn.Softplus(beta=5),
        nn.Linear(32, num_classes),
    ).double()


def config_of(method: str) -> TrainConfig:
    """Everything spelt out, so that no tuned recipe moves the numbers."""
    base, _, igr = method.partition("+")
    pgd, tpgd = PGD(0.1, 0.05, 2), TPGD(0.1, 0.05, 2)
    bases = {"standard": Standard(), "at": AT(pgd), "trades": TRADES(tpgd, 6.0), "mart": MART(pgd, 6.0)}
    return TrainConfig(
        recipe=method,
        data=DataConfig("digits", train_size=64),
        model=f"{__file__}:network",
        objective=IGR(bases[base], 2.5, IntegratedGradients(2, "riemann_right")) if igr else bases[base],
        validation=pgd,
        optim=OptimConfig(name="sgd", lr=0.1, epochs=STEPS // 2, batch_size=32),
        val_size=20,
    )


def losses_of(method: str) -> dict[str, list[float]]:
    """Each term by name, one number a step."""
    found: dict[str, list[float]] = {}

    def keep(report: Report) -> None:
        if report.validation is None:
            for name, value in report.losses.items():
                found.setdefault(name, []).append(value)

    with TemporaryDirectory() as folder:
        train(config_of(method), Path(folder) / "run", on_step=keep)
    return found


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({method: losses_of(method) for method in METHODS}, indent=1) + "\n")
