from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from holdfast import HoldfastError, igr_penalty, integrated_gradients
from holdfast.gradient.points import path_rule

METHODS = ["riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid", "gausslegendre"]
MakeNetwork = Callable[[str], nn.Module]
Pair = tuple[Tensor, Tensor, Tensor]


def captum(net: nn.Module, x: Tensor, target: Tensor | int, **kwargs: object) -> Tensor:
    return IntegratedGradients(net, multiply_by_inputs=True).attribute(x, target=target, **kwargs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["F.relu", "residual", "gelu"])
def test_equals_captum(make_network: MakeNetwork, pair: Pair, method: str, name: str) -> None:
    """Captum's trapezoid weighs its n nodes on [0, 1] by 1/n (ends 1/2n), which sums to 1 - 1/n, not to 1."""
    net = make_network(name).double().eval()
    x, baseline, y = pair
    n = 9
    for ours, theirs in ((0.0, 0.0), (0.25, 0.25), (baseline, baseline), (baseline[0], baseline[:1].expand_as(x))):
        expected = captum(net, x, y, baselines=theirs, n_steps=n, method=method)
        if method == "riemann_trapezoid":
            expected = expected / (1 - 1 / n)
        found = integrated_gradients(net, x, y, baselines=ours, n_steps=n, method=method)
        # Captum's nodes are rounded to float32
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_int_target_equals_captum(make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("F.relu").double()
    found = integrated_gradients(net, pair[0], 2, n_steps=6)
    expected = captum(net, pair[0], 2, n_steps=6, method="riemann_middle")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 20, 21, 1000])
def test_internal_batch_size_changes_nothing(
    make_network: MakeNetwork, pair: Pair, rows: int, create_graph: bool
) -> None:
    net = make_network("residual").double()
    x, _, y = pair
    whole = integrated_gradients(net, x, y, n_steps=7)
    found = integrated_gradients(net, x, y, n_steps=7, internal_batch_size=rows, create_graph=create_graph)
    assert found.requires_grad is create_graph
    torch.testing.assert_close(found.detach(), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rows", [1, 4])
def test_no_more_path_points_at_once_than_asked_for(pair: Pair, rows: int) -> None:
    seen: list[int] = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 4)).double()
    net.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    integrated_gradients(net, pair[0], 1, n_steps=5, internal_batch_size=rows)
    igr_penalty(net, *pair, n_steps=5, internal_batch_size=rows).sum().backward()
    assert max(seen) == rows


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 50])
def test_weights_sum_to_one(method: str, n: int) -> None:
    if method == "riemann_trapezoid" and n == 1:
        with pytest.raises(HoldfastError, match="got 1"):
            path_rule(method, n)
        return
    nodes, weights = path_rule(method, n)
    assert nodes.shape == weights.shape == (n,)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert nodes.min() >= 0
    assert nodes.max() <= 1


@pytest.mark.parametrize(("method", "degree"), [("riemann_middle", 1), ("riemann_trapezoid", 1), ("gausslegendre", 9)])
def test_rules_integrate_polynomials_up_to_their_degree(method: str, degree: int) -> None:
    nodes, weights = path_rule(method, 5)
    for power in range(degree + 1):
        assert np.dot(weights, nodes**power) == pytest.approx(1 / (power + 1))
    assert np.dot(weights, nodes ** (degree + 1)) != pytest.approx(1 / (degree + 2), abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_completeness(make_network: MakeNetwork, pair: Pair, method: str) -> None:
    net = make_network("attention").double()
    x, baseline, y = pair
    rise = (net(x) - net(baseline)).gather(1, y[:, None])[:, 0].detach()
    gaps = []
    for n in (4, 16, 64, 256):
        ig = integrated_gradients(net, x, y, baselines=baseline, n_steps=n, method=method)
        gaps.append((ig.flatten(1).sum(1) - rise).abs().max().item())
    assert gaps[-1] < max(gaps[0] / 30, 1e-10)
    assert gaps[-1] < 1e-2 * rise.abs().max()


@pytest.mark.parametrize("method", METHODS)
def test_linear_model_is_exact(pair: Pair, method: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 4)).double()
    x, baseline, y = pair
    ig = integrated_gradients(net, x, y, baselines=baseline, n_steps=2, method=method)
    expected = (x - baseline) * net[1].weight[y].view_as(x)
    torch.testing.assert_close(ig, expected.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("create_graph", [False, True])
def test_image_equal_to_its_baseline_has_zero_attribution(make_network: MakeNetwork, create_graph: bool) -> None:
    ig = integrated_gradients(make_network("residual"), torch.zeros(2, 2, 8, 8), 1, create_graph=create_graph)
    assert bool((ig == 0).all())


@pytest.mark.parametrize(("method", "alpha"), [("riemann_left", 0), ("riemann_right", 1), ("riemann_middle", 0.5)])
def test_one_step_is_input_times_gradient_at_one_point(
    make_network: MakeNetwork, pair: Pair, method: str, alpha: float
) -> None:
    net = make_network("F.relu").double()
    x, _, y = pair
    z = (alpha * x).requires_grad_()
    (gradient,) = torch.autograd.grad(net(z).gather(1, y[:, None]).sum(), z)
    found = integrated_gradients(net, x, y, n_steps=1, method=method)
    torch.testing.assert_close(found, x * gradient, rtol=1e-12, atol=1e-14)


def test_one_call_is_many_single_calls(make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("residual").double()
    x, _, y = pair
    singly = torch.cat([integrated_gradients(net, x[i : i + 1], int(y[i]), n_steps=5) for i in range(3)])
    torch.testing.assert_close(integrated_gradients(net, x, y, n_steps=5), singly, rtol=1e-12, atol=1e-14)


def test_any_callable_and_vectors() -> None:
    weight = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    x = torch.tensor([[1.0, 2.0]])
    ig = integrated_gradients(lambda z: F.relu(z @ weight), x, 1, n_steps=3)
    torch.testing.assert_close(ig, x * weight[:, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 4}, r"\[4, 4\].*4 logits.*\[0, 3\]"),
        ({"target": -1}, r"\[-1, -1\]"),
        ({"target": torch.tensor([0, 1])}, r"\(2,\).*\(3,\)"),
        ({"target": torch.tensor([0, 1, 2], dtype=torch.int32)}, "int32.*int64"),
        ({"method": "riemann_rihgt"}, "riemann_rihgt.*did you mean riemann_right"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"n_steps": 2.5}, "n_steps is 2.5"),
        ({"internal_batch_size": 0}, "internal_batch_size is 0"),
        ({"internal_batch_size": -3, "create_graph": True}, "internal_batch_size is -3"),
        ({"baselines": torch.zeros(5)}, r"\(5,\).*\(3, 2, 8, 8\)"),
        ({"inputs": torch.zeros(3, 2, 8, 8, dtype=torch.uint8)}, "uint8"),
        ({"inputs": torch.zeros(0, 2, 8, 8)}, r"\(0, 2, 8, 8\)"),
    ],
)
def test_wrong_arguments_are_named(make_network: MakeNetwork, arguments: dict[str, object], message: str) -> None:
    full: dict[str, object] = {"inputs": torch.zeros(3, 2, 8, 8), "target": 0, **arguments}
    with pytest.raises(HoldfastError, match=message):
        integrated_gradients(make_network("F.relu"), **full)


def test_a_model_must_return_logits() -> None:
    with pytest.raises(HoldfastError, match=r"\(1, 2, 3, 3\)"):
        integrated_gradients(lambda z: z, torch.rand(2, 2, 3, 3), 0)
    with pytest.raises(HoldfastError, match="tuple"):
        integrated_gradients(lambda z: (z,), torch.rand(2, 2, 3, 3), 0)
