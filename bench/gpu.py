"""What only a GPU answers: how much of it is used, and the time of an epoch and of a long IFIA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

import holdfast as hf
from bench.measure import flops, seconds, timed
from bench.networks import batch, network
from bench.results import Row
from holdfast.gradient import points
from holdfast.train.precision import Precision, arithmetic, lay_out, products

BATCH = 128
ATTACKS = {
    "SmallCNN": hf.PGD(eps=0.3, alpha=0.01, steps=40),
    "ResNet18": hf.PGD(eps=8 / 255, alpha=2 / 255, steps=10),
}
"""The attack that the paper trains with."""
TRAINING_IMAGES = {"SmallCNN": 54_000, "ResNet18": 45_000}


IMAGES = {"SmallCNN": 1000, "ResNet18": 100}
"""Those of a long IFIA: float32 scores of 1,000 by ResNet-18 take minutes."""
PRECISIONS: tuple[Precision, ...] = ("float32", "tfloat32", "bfloat16")
"""float32 first, which the others are compared with."""


def _precisions(device: str) -> tuple[Precision, ...]:
    return PRECISIONS if device != "cpu" else PRECISIONS[:1]


def _matmul_rate(precision: Precision, device: str, size: int) -> float:
    """FLOP/s of a square matrix product."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = torch.randn(2, size, size, device=device, dtype=kind)
    with products(precision):
        return 2 * size**3 / seconds({"product": lambda: a @ b}, rounds=5)["product"]


def epoch(name: str, device: str, *, steps: int = 40, size: int = BATCH, matrix: int = 8192) -> list[Row]:
    """Some training steps of AT+IGR with the paper's PGD and 10 path points, and what an epoch of them takes."""
    images = TRAINING_IMAGES[name]
    rows: list[Row] = []
    for precision in _precisions(device):
        model, shape = network(name, device)
        lay_out(model.train(), precision, torch.device(device))
        step = _training_step(name, model, *batch(shape, size, device)[::2], precision)
        work = flops(step)
        step()
        took = timed(step, steps)
        rate = work * steps / took
        share = rate / _matmul_rate(precision, device, matrix)
        epoch_takes = took / steps * images / size
        note = f"{epoch_takes:.1f} s an epoch; {rate / 1e12:.2f} TFLOP/s, {share:.0%} of a matrix product's"
        first = rows[0].seconds if rows else took
        setting = f"{name}, {steps} steps of {size} of {images} images"
        rows.append(Row("AT+IGR", setting, precision, took, first / took, note=note))
    return rows


def _training_step(
    name: str, model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, precision: Precision
) -> Callable[[], None]:
    objective = hf.IGR(hf.AT(ATTACKS[name]), lam=1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with arithmetic(precision, x.device):
            loss = objective(model, x, y).loss
        with products(precision):
            loss.backward()
        optimizer.step()

    return step


def long_ifia(name: str, device: str, *, steps: int = 200, images: int | None = None, n_steps: int = 50) -> list[Row]:
    """The paper's attack: 200 steps, every iterate scored in float32."""
    model, shape = network(name, device)
    images = images or IMAGES[name]
    batches = batch(shape, images, device)[0].split(100)
    prediction = ATTACKS[name]
    whole = hf.IFIA(
        prediction.eps,
        prediction.alpha,
        k=100 if name == "SmallCNN" else 1000,
        attribution=hf.IntegratedGradients(n_steps),
    )
    rows: list[Row] = []
    for precision in _precisions(device):

        def attack(steps: int, precision: Precision = precision) -> None:
            for x in batches:
                with arithmetic(precision, x.device):
                    replace(whole, steps=steps)(model, x, model(x).argmax(1))

        attack(1)
        took = timed(partial(attack, steps), 1)
        first = rows[0].seconds if rows else took
        setting = f"{name}, {images} images, {steps} steps, {n_steps} path points"
        note = f"{took / images * 1000:.0f} s for 1,000 images"
        rows.append(Row("IFIA", setting, f"gradient in {precision}", took, first / took, note=note))
    return rows


def block_sizes(name: str, device: str, *, size: int = BATCH, sizes: tuple[int, ...] = (256, 1024, 4096)) -> list[Row]:
    """The gradient of the IGR penalty by the number of path points evaluated at once."""
    model, shape = network(name, device)
    x, x_adv, y = batch(shape, size, device)

    def call(rows: int) -> None:
        kept, points.ACCELERATOR_ROWS = points.ACCELERATOR_ROWS, rows
        try:
            hf.igr_penalty(model, x, x_adv, y, n_steps=10).mean().backward()
        finally:
            points.ACCELERATOR_ROWS = kept

    took = seconds({f"blocks of {rows}": partial(call, rows) for rows in sizes}, rounds=3)
    first = next(iter(took.values()))
    return [Row("block size", f"{name}, B = {size}, 10 steps", title, s, first / s) for title, s in took.items()]
