"""Networks that take one number of images alone are named with the remedy, wherever they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf

X, Y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])


class Fixed(nn.Module):
    """Its forward pass was written for four images."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.reshape(4, 64))


USES: dict[str, Callable[[nn.Module], Any]] = {
    "attribution": lambda net: hf.integrated_gradients(net, X, Y),
    "attack": lambda net: hf.PGD(0.1, 0.01, 2)(net, X, Y),
    "AutoIFIA": lambda net: hf.AutoIFIA(0.1, k=5, budget="quick")(net, X, Y),
    "evaluation": lambda net: hf.evaluate(net, (X, Y), n_attribution=2),
    "audit": lambda net: hf.audit(net, X),
}


@pytest.mark.parametrize("use", USES)
def test_a_fixed_batch_is_named(use: str) -> None:
    with pytest.raises(hf.HoldfastError, match="takes 4 images at once and no other number") as caught:
        USES[use](Fixed())
    assert "x.flatten(1)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_error_stays_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        hf.PGD(0.1, 0.01, 2)(nn.Sequential(nn.Flatten(), nn.Linear(63, 3)), X, Y)
