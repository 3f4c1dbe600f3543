"""Networks that people put hooks, masks and older parametrisations on: their maps and their gradients are kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune, spectral_norm, weight_norm

import holdfast as hf
from tests.attribution.plain import integrated

X = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y, STEPS = torch.tensor([0, 1, 2]), 3


def watched(net: nn.Sequential) -> None:
    seen: list[Tensor] = []
    net[1].register_forward_hook(lambda module, inputs, output: seen.append(output))


def doubled(net: nn.Sequential) -> None:
    net[1].register_forward_hook(lambda module, inputs, output: output * 2)


def centred(net: nn.Sequential) -> None:
    net[1].register_forward_pre_hook(lambda module, inputs: (inputs[0] - 0.5,))


def steeper(net: nn.Sequential) -> None:
    net[2].register_full_backward_hook(lambda module, to_inputs, to_outputs: (to_inputs[0] * 3,))


def retaining(net: nn.Sequential) -> None:
    net[1].register_forward_hook(lambda module, inputs, output: output.retain_grad() if output.requires_grad else None)


def pruned(net: nn.Sequential) -> None:
    prune.l1_unstructured(net[1], "weight", 0.3)


def normalised(net: nn.Sequential) -> None:
    net[1] = weight_norm(net[1])


def spectral(net: nn.Sequential) -> None:
    net[1] = spectral_norm(net[1])
    net(X)


HOOKS = [watched, doubled, centred, steeper, retaining, pruned, normalised, spectral]


@pytest.mark.parametrize("put", HOOKS)
def test_maps_and_penalties_are_those_of_the_hooked_network(put: Callable[[nn.Sequential], None]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # weight_norm is deprecated, and in use
        put(net)
    net.eval()
    clean, moved = integrated(net, X, Y), integrated(net, 1 - X, Y)
    torch.testing.assert_close(hf.integrated_gradients(net, X, Y, n_steps=STEPS), clean)
    weights = list(net.parameters())
    wanted = 1 - torch.cosine_similarity(clean.flatten(1), moved.flatten(1))
    found = hf.igr_penalty(net, X, 1 - X, Y, n_steps=STEPS, method="riemann_middle")
    torch.testing.assert_close(found, wanted)
    pairs = (torch.autograd.grad(p.sum(), weights, materialize_grads=True, allow_unused=True) for p in (found, wanted))
    for ours, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    hf.IFIA(0.1, 0.05, 2, 4)(net, X, Y)
