"""Faithfulness: values by hand, Captum as the oracle of infidelity."""

from __future__ import annotations

import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from torch import nn

from holdfast.attribution import IntegratedGradients
from holdfast.errors import HoldfastError
from holdfast.evaluate.faithfulness import deletion, infidelity, insertion, random_order, randomised_maps


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def test_deletion_and_insertion_by_hand() -> None:
    """Two features, weights 4 and 0: p falls from s(4) to s(0) at the first deletion or stays until the second."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    linear[1].weight.data.copy_(torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    x, y = torch.ones(1, 1, 1, 2), torch.tensor([0])
    full, none = torch.sigmoid(torch.tensor(4.0)).item(), 0.5
    good, bad = torch.tensor([[[[2.0, 1.0]]]]), torch.tensor([[[[1.0, -2.0]]]])
    assert deletion(linear, x, y, good, steps=2).item() == pytest.approx((full + none) / 4 + none / 2)
    assert deletion(linear, x, y, bad, steps=2).item() == pytest.approx(full / 2 + (full + none) / 4)
    assert insertion(linear, x, y, good, steps=2).item() == pytest.approx((none + full) / 4 + full / 2)
    assert insertion(linear, x, y, bad, steps=2).item() == pytest.approx(none / 2 + (none + full) / 4)


def test_ends_are_the_image_and_the_baseline(net: nn.Module) -> None:
    x, y = torch.rand(4, 1, 3, 3), torch.tensor([0, 1, 2, 0])
    one_step = deletion(net, x, y, torch.rand_like(x), steps=1, baseline=0.3)
    ends = [net(z).softmax(1).gather(1, y[:, None])[:, 0] for z in (x, torch.full_like(x, 0.3))]
    torch.testing.assert_close(one_step, (ends[0] + ends[1]) / 2)


def test_infidelity_equals_captums(net: nn.Module) -> None:
    x, y = torch.rand(1, 1, 3, 3), torch.tensor([1])
    maps, n = torch.rand(1, 1, 3, 3), 200
    generator = torch.Generator().manual_seed(5)
    noise = torch.stack([torch.empty_like(x).normal_(0, 0.1, generator=generator) for _ in range(n)])
    queue = iter(noise)

    def perturb(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = torch.cat([next(queue) for _ in range(len(inputs))])
        return drawn, inputs - drawn

    theirs = captum_infidelity(net, perturb, x, maps, target=y, n_perturb_samples=n, normalize=True)
    changes = torch.stack([(net(x) - net(x - i))[0, 1] for i in noise]).square().mean()
    ours = infidelity(net, x, y, maps, samples=n, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(ours, (theirs / changes).float(), rtol=1e-3, atol=1e-5)


def test_infidelity_of_no_map_is_one(net: nn.Module) -> None:
    x, y = torch.rand(2, 1, 3, 3), torch.tensor([0, 1])
    torch.testing.assert_close(infidelity(net, x, y, torch.zeros_like(x)), torch.ones(2))


def test_another_last_layer_gives_another_map_and_leaves_the_network(net: nn.Module) -> None:
    x, y = torch.rand(2, 1, 3, 3), torch.tensor([0, 1])
    before = [p.clone() for p in net.parameters()]
    own, other = IntegratedGradients(4)(net, x, y), randomised_maps(net, x, y, IntegratedGradients(4))
    assert not torch.allclose(own, other)
    torch.testing.assert_close(other, randomised_maps(net, x, y, IntegratedGradients(4)))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_random_order_is_one_of_its_seed() -> None:
    x = torch.zeros(2, 1, 3, 3)
    a, b = (random_order(x, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.flatten().unique().numel() == 18


def test_bad_input(net: nn.Module) -> None:
    x, y = torch.rand(2, 1, 3, 3), torch.tensor([0, 1])
    with pytest.raises(HoldfastError, match="maps have shape"):
        deletion(net, x, y, torch.rand(2, 1, 3, 2))
    with pytest.raises(HoldfastError, match="no layer"):
        randomised_maps(nn.Flatten(), x, y, IntegratedGradients(4))
