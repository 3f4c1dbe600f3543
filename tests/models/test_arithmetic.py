"""TF32 only where it was asked for; PyTorch's flags come back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from holdfast import IFIA
from holdfast.attribution import IntegratedGradients
from holdfast.models.arithmetic import float32_products, tf32_flags

NEWER = hasattr(torch.backends.cudnn, "conv")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("convolutions", [False, True])
@pytest.mark.parametrize("matrices", ["highest", "high", "medium"])
def test_flags_are_set_and_restored(inside: bool, convolutions: bool, matrices: str) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(matrices)
    with suppress(ZeroDivisionError), float32_products(tf32=inside):
        assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is inside
        with float32_products(tf32=not inside):
            assert torch.backends.cuda.matmul.allow_tf32 is not inside
        assert torch.backends.cuda.matmul.allow_tf32 is inside
        raise ZeroDivisionError
    assert torch.backends.cudnn.allow_tf32 is convolutions
    assert torch.get_float32_matmul_precision() == matrices


@pytest.mark.skipif(not NEWER, reason="this PyTorch has the older flags alone")
@pytest.mark.parametrize("inside", [False, True])
def test_flags_set_through_the_newer_interface_are_restored(inside: bool) -> None:
    parts = torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul
    try:
        for part, value in zip(parts, ("ieee", "tf32", "tf32"), strict=True):
            part.fp32_precision = value
        with pytest.raises(RuntimeError, match="mix of the legacy and new"):
            _ = torch.backends.cudnn.allow_tf32
        with float32_products(tf32=inside):
            assert [part.fp32_precision for part in parts] == ["tf32" if inside else "ieee"] * 3
        assert tf32_flags() == ("ieee", "tf32", "tf32")
    finally:
        for part, value in zip(parts, ("tf32", "tf32", "none"), strict=True):
            part.fp32_precision = value


class Watched(nn.Module):
    """Notes under which flags its softplus twin and it itself were run."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.seen: set[tuple[bool, bool]] = set()

    def forward(self, x: Tensor) -> Tensor:
        smooth = float(torch.relu(torch.zeros(1))) > 0
        self.seen.add((smooth, torch.backends.cudnn.allow_tf32))
        return self.net(x)


@pytest.mark.parametrize("allowed", [True, False])
def test_ifia_scores_in_full_float32(trained: nn.Module, digits: tuple[Tensor, Tensor], allowed: bool) -> None:
    net = Watched(trained)
    images = digits[0][:6]
    labels = trained(images).argmax(1)
    attack = IFIA(eps=0.1, alpha=0.05, steps=2, k=10, attribution=IntegratedGradients(n_steps=3))
    torch.backends.cudnn.allow_tf32 = allowed
    with torch.no_grad():
        attack.search(net, images, labels, attack.attribution, torch.Generator())
    assert net.seen == {(True, allowed), (False, False)}
