from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import HoldfastError, SoftplusTwin
from holdfast.models import ResNet18, SmallCNN, evaluating


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_small_cnn_is_that_of_trades() -> None:
    net = SmallCNN()
    assert size(net) == 312_202
    assert net(torch.rand(2, 1, 28, 28)).tolist() == [[0] * 10] * 2
    assert not bool(net.conv1.bias.any())
    fan_in = 32 * 9
    assert float(net.conv3.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)


@pytest.mark.parametrize("side", [4, 5, 8, 12, 15, 16, 17, 28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_cnn_takes_every_size(side: int, channels: int) -> None:
    net = SmallCNN(7, in_channels=channels, image_size=side)
    nn.init.normal_(net.fc3.weight)
    logits = net(torch.rand(2, channels, side, side))
    assert logits.shape == (2, 7)
    assert bool((logits[0] != logits[1]).any())


def test_small_cnn_too_small() -> None:
    with pytest.raises(HoldfastError, match="image_size is 3"):
        SmallCNN(image_size=3)


def test_resnet18() -> None:
    net = ResNet18().eval()
    assert size(net) == 11_173_962
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 20
    assert all(m.bias is None for m in convolutions)
    assert net(torch.rand(1, 3, 32, 32)).shape == (1, 10)
    assert ResNet18(4, in_channels=1).eval()(torch.rand(2, 1, 28, 28)).shape == (2, 4)


def test_evaluating_restores_mixed_flags_even_after_an_exception() -> None:
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm2d(2), nn.Dropout()))
    net[1][0].eval()
    before = [m.training for m in net.modules()]
    with evaluating(net):
        assert not any(m.training for m in net.modules())
    assert [m.training for m in net.modules()] == before
    with pytest.raises(KeyError), evaluating(net):
        raise KeyError
    assert [m.training for m in net.modules()] == before == [True, True, True, False, True]
    with evaluating(lambda x: x):
        pass


def test_twin_tends_to_relu(relu_spelling: nn.Module, pair: tuple[Tensor, Tensor, Tensor]) -> None:
    net, x = relu_spelling.double(), pair[0]
    gaps = [float((SoftplusTwin(net, beta)(x) - net(x)).detach().abs().max()) for beta in (3.0, 30.0, 300.0, 1e6)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.01
    assert gaps[-1] < 1e-5


def test_twin_is_a_softplus_network(
    relu_spelling: nn.Module,
    conv_net: Callable[[Callable[[Tensor], Tensor]], nn.Module],
    pair: tuple[Tensor, Tensor, Tensor],
) -> None:
    x = pair[0].requires_grad_()
    explicit = conv_net(nn.Softplus(beta=10)).double()
    twin = SoftplusTwin(relu_spelling.double(), beta=10.0)
    torch.testing.assert_close(twin(x), explicit(x), rtol=1e-12, atol=1e-14)
    found, expected = (torch.autograd.grad(net(x).square().sum(), [x, *net.parameters()]) for net in (twin, explicit))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_twin_in_residual_network(make_network: Callable[[str], nn.Module]) -> None:
    x = torch.rand(2, 2, 8, 8)
    kept, in_place = (SoftplusTwin(make_network(name).eval(), 5.0) for name in ("residual", "residual-inplace"))
    torch.testing.assert_close(kept(x), in_place(x))
    assert float((kept(x) - kept.model(x)).detach().abs().max()) > 0.01


def test_twin_in_place_writes_into_its_argument() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0])
    expected = F.softplus(x, beta=3)
    for spelling in (F.relu_, torch.relu_, Tensor.relu_, lambda t: F.relu(t, True), lambda t: F.relu(t, inplace=True)):
        given = x.clone()
        out = SoftplusTwin(spelling, 3.0)(given)
        torch.testing.assert_close(given, expected)
        assert out is given
    for spelling in (F.relu, torch.relu, Tensor.relu, lambda t: F.relu(input=t)):
        given = x.clone()
        torch.testing.assert_close(SoftplusTwin(spelling, 3.0)(given), expected)
        assert torch.equal(given, x)


def test_twin_shares_weights_and_leaves_the_network_alone(make_network: Callable[[str], nn.Module]) -> None:
    net, x = make_network("F.relu"), torch.rand(2, 2, 8, 8)
    before = net(x)
    twin = SoftplusTwin(net, 4.0)
    assert [id(p) for p in twin.parameters()] == [id(p) for p in net.parameters()]
    twin(x).sum().backward()
    assert net.conv1.weight.grad is not None
    assert torch.equal(net(x), before)
    old = twin(x)
    with torch.no_grad():
        net.fc2.bias.add_(1)
    torch.testing.assert_close(twin(x), old + 1)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("inf"), float("nan")])
def test_twin_beta(beta: float) -> None:
    with pytest.raises(HoldfastError, match=rf"beta is {beta}"):
        SoftplusTwin(nn.ReLU(), beta)
