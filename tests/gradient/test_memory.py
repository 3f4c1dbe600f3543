"""Peak tensor memory of the regulariser, from the allocator's own events."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, ref

import pytest
import torch
from torch import Tensor, nn

from bench.igr_step import variants
from bench.measure import peak_bytes
from bench.networks import batch, network
from holdfast import integrated_gradients as attribute
from holdfast.attribution import base, igr_penalty
from holdfast.gradient import memory
from holdfast.models import SmallCNN, SoftplusTwin


def _peak(n_steps: int, internal_batch_size: int | None, *, batch: int = 8, whole: bool = False) -> int:
    generator = torch.Generator().manual_seed(0)
    x, x_adv = torch.rand(2, batch, 1, 28, 28, generator=generator)
    y = torch.arange(batch) % 10
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SmallCNN()
        torch.nn.init.normal_(model.fc3.weight, std=0.1)

    def step() -> None:
        if whole:
            attribution = attribute(model, torch.cat([x, x_adv]), torch.cat([y, y]), n_steps=n_steps, create_graph=True)
            attribution.square().sum().backward()
            return
        penalty = igr_penalty(model, x, x_adv, y, n_steps=n_steps, internal_batch_size=internal_batch_size)
        penalty.mean().backward()

    step()
    return peak_bytes(step)


@pytest.mark.parametrize(
    ("size", "few", "many"), [(None, 10, 60), (64, 8, 32), pytest.param(64, 33, 100, marks=pytest.mark.slow)]
)
def test_memory_does_not_grow_with_n_steps(size: int | None, few: int, many: int) -> None:
    """By default and with as many points at once as a pair has, and with fewer, in chunks."""
    assert _peak(many, size) <= 1.2 * _peak(few, size)


@pytest.mark.parametrize("size", [None, 30])
def test_memory_does_not_grow_with_the_batch(size: int | None) -> None:
    assert _peak(10, size, batch=24) <= 1.1 * _peak(10, size, batch=12)


def test_the_whole_graph_is_smaller_than_that_of_double_backward() -> None:
    model, shape = network("SmallCNN", "cpu")
    plain = variants(model, *batch(shape, 16, "cpu"), 10, (), jvp=False)["double backward"]
    plain()
    assert _peak(10, None, batch=16, whole=True) < 0.8 * peak_bytes(plain)


def test_what_autograd_keeps_of_a_path_point() -> None:
    """Of 4 pixels and 8 units, in floats: the pixels and the units' values; the softplus twin also their slopes."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    for model, floats in ((net, 4 + 8), (SoftplusTwin(net, 9.0), 4 + 8 + 8)):
        kept = memory.kept_bytes(lambda rows, model=model: model(torch.zeros(rows, 1, 2, 2, requires_grad=True)), net)
        assert kept == 4 * floats


def test_measuring_leaves_nothing_behind() -> None:
    """A node that keeps its own output, as of exp, is freed by nobody once a hook has handed that output to it."""
    alive: list[ref[Token]] = []

    class Token:
        """Lives as long as the graph that it is in."""

    class Marked(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.token = Token()
            alive.append(ref(ctx.token))
            return x.clone()

    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8))
    memory.kept_bytes(lambda rows: Marked.apply(net(torch.zeros(rows, 1, 2, 2, requires_grad=True))).exp().sum(), net)
    gc.collect()
    assert [found() for found in alive] == [None, None]


def test_twins_of_one_network_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(memory, "_per_point", WeakKeyDictionary())
    monkeypatch.setattr(memory, "kept_bytes", lambda *args: asked.append(args) or 1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU())
    x = torch.zeros(1, 1, 2, 2)
    for model in (SoftplusTwin(net, 9.0), SoftplusTwin(net, 30.0), net, SoftplusTwin(net, 9.0, pooling=30.0)):
        memory.fits(model, lambda rows: None, 5, x)
    assert len(asked) == 3


def test_the_whole_graph_grows_with_n_steps() -> None:
    """The contrast: what attributions that are differentiated elsewhere have to keep."""
    assert _peak(40, None, whole=True) > 2 * _peak(10, None, whole=True)


@pytest.fixture
def step() -> Callable[[int | None], list[Tensor]]:
    """Gradients of the penalty on a small network, whole (None) or in chunks."""
    generator = torch.Generator().manual_seed(0)
    x, x_adv = torch.rand(2, 2, 1, 28, 28, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SmallCNN()
        torch.nn.init.normal_(model.fc3.weight, std=0.1)
    model.double()

    def gradients(internal_batch_size: int | None) -> list[Tensor]:
        model.zero_grad()
        penalty = igr_penalty(
            model,
            x.double(),
            x_adv.double(),
            torch.arange(2),
            n_steps=70,
            internal_batch_size=internal_batch_size,
        )
        penalty.sum().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    return gradients


def test_chunks_are_chosen_where_the_graph_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, step: Callable[[int | None], list[Tensor]]
) -> None:
    chunked = []
    original = base.sum_in_chunks
    monkeypatch.setattr(base, "sum_in_chunks", lambda *args: chunked.append(args[-1]) or original(*args))
    whole = step(None)
    assert chunked == []
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "capacity_bytes", lambda device: 2**20)
    for a, b in zip(step(None), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert len(chunked) == 1
    monkeypatch.setattr(memory, "capacity_bytes", lambda device: 2**40)
    step(None)
    assert len(chunked) == 1


def test_the_estimate_is_near_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "_per_point", WeakKeyDictionary())
    monkeypatch.setattr(memory, "capacity_bytes", lambda device: 2**50)
    original = memory.kept_bytes
    monkeypatch.setattr(memory, "kept_bytes", lambda *args: asked.append(original(*args)) or asked[-1])
    peak = _peak(20, None, whole=True)
    assert len(asked) == 1
    assert 0.35 < asked[0] * 20 * 16 / peak < 1.1  # the rest is what the backward pass makes
