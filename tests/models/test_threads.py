"""Several threads on one model: each finds what one thread finds, and everything comes back as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
import torch._dynamo.eval_frame as eval_frame
import torch.utils.checkpoint
from torch import Tensor, nn

import holdfast as hf
from holdfast.models import SoftplusTwin, evaluating
from holdfast.models.arithmetic import float32_products, tf32_flags
from holdfast.models.state import eagerly, math_attention, without_checkpoints


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(512, 4)
    )


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4


def overlapping(context: Callable[[], AbstractContextManager[Any]], seen: Callable[[], Any]) -> list[Any]:
    """What ``seen`` gives while A is in; while A and B are; after A, that came first, has left; after B has."""
    steps = [threading.Event() for _ in range(3)]
    found = []

    def first() -> None:
        with context():
            steps[0].set()
            assert steps[1].wait(20)
        steps[2].set()

    thread = threading.Thread(target=first)
    thread.start()
    assert steps[0].wait(20)
    found.append(seen())
    with context():
        found.append(seen())
        steps[1].set()
        assert steps[2].wait(20)
        found.append(seen())
    thread.join()
    return [*found, seen()]


def test_a_model_is_in_evaluation_until_the_last_thread_leaves(net: nn.Module) -> None:
    net[1].eval()
    before = [m.training for m in net.modules()]
    flags = overlapping(lambda: evaluating(net), lambda: [m.training for m in net.modules()])
    assert flags == [[False] * 7] * 3 + [before]


def test_models_that_share_layers(net: nn.Module) -> None:
    with evaluating(net[:3]), evaluating(net):
        assert not net[1].training
    assert all(m.training for m in net.modules())
    with evaluating(net[:3]):
        with evaluating(net):
            assert not any(m.training for m in net.modules())
        assert [m.training for m in net] == [False] * 3 + [True] * 3
    assert all(m.training for m in net.modules())


def test_precision_is_full_until_the_last_thread_leaves() -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    before = tf32_flags()
    flags = overlapping(lambda: float32_products(tf32=False), tf32_flags)
    assert flags == [(False, "highest")] * 3 + [before]


def test_full_precision_wins_over_another_threads_tf32() -> None:
    before = tf32_flags()
    asked = iter([False, True])
    flags = overlapping(lambda: float32_products(tf32=next(asked)), tf32_flags)
    assert flags == [(False, "highest"), (False, "highest"), (True, "high"), before]


def test_the_stance_of_the_compiler_comes_back() -> None:
    before = eval_frame._stance.stance
    stances = overlapping(eagerly, lambda: eval_frame._stance.stance)
    assert stances == ["force_eager"] * 3 + [before]


def test_the_kernels_of_attention_come_back() -> None:
    kernels = overlapping(math_attention, torch.backends.cuda.flash_sdp_enabled)
    assert kernels == [False, False, False, True]


def test_checkpoints_come_back() -> None:
    before = torch.utils.checkpoint.CheckpointFunction
    plain = overlapping(without_checkpoints, lambda: torch.utils.checkpoint.CheckpointFunction is before)
    assert plain == [False, False, False, True]


def ig(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return hf.integrated_gradients(net, x, y, n_steps=8)


def pgd(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return hf.PGD(0.1, 0.02, 4, random_start=False)(net, x, y)


def twin(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with evaluating(net):
        return SoftplusTwin(net, 5.0)(x).detach()


def ifia(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return hf.IFIA(0.1, 0.02, 3, 8, attribution=hf.IntegratedGradients(3)).run(net, x, y).adv_images


@pytest.mark.parametrize("work", [ig, pgd, twin, ifia])
def test_many_threads_find_what_one_finds(
    work: Callable[[nn.Module, Tensor, Tensor], Tensor], net: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    torch.set_float32_matmul_precision("high")
    x, y = batch
    with evaluating(net):
        y = net(x).argmax(1)
    expected = work(net, x, y)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    flags, stance = tf32_flags(), eval_frame._stance.stance
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: work(net, x, y), range(24)))
    for one in found:
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)
    assert all(m.training for m in net.modules())
    assert all(torch.equal(value, start[name]) for name, value in net.state_dict().items())
    assert (tf32_flags(), eval_frame._stance.stance) == (flags, stance)
    assert torch.backends.cuda.flash_sdp_enabled()
