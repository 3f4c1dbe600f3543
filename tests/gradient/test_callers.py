"""Callers and networks as people have them: checkpoints, transforms, inference mode, caches, fast attention kernels."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize
from torch.utils.checkpoint import checkpoint

from holdfast import (
    Attribution,
    HoldfastError,
    HoldfastWarning,
    InputXGradient,
    IntegratedGradients,
    SmoothGrad,
    SoftplusTwin,
    attribution_penalty,
    igr_penalty,
    integrated_gradients,
)
from tests.oracles import plain_distance, plain_ig

MakeNetwork = Callable[[str], nn.Module]
Pair = tuple[Tensor, Tensor, Tensor]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "in place": lambda h: h.relu_()}


class Body(nn.Module):
    def __init__(self, activation: Callable[[Tensor], Tensor], reentrant: bool | None) -> None:
        super().__init__()
        self.activation, self.reentrant = activation, reentrant
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(64, 4)

    def part(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.activation(self.b(self.activation(self.a(x)))), 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.part(x) if self.reentrant is None else checkpoint(self.part, x, use_reentrant=self.reentrant)
        return self.head(h.flatten(1))


def bodies(activation: str, reentrant: bool) -> tuple[nn.Module, nn.Module]:
    """The network with its middle checkpointed, and the same without."""
    checkpointed, plain = (
        Body(ACTIVATIONS[activation], reentrant).double(),
        Body(ACTIVATIONS[activation], None).double(),
    )
    plain.load_state_dict(checkpointed.state_dict())
    return checkpointed, plain


def gradients(net: nn.Module, weights: nn.Module, pair: Pair, size: int | None) -> list[Tensor]:
    x, x_adv, y = pair
    x = x.clone().requires_grad_()
    penalty = igr_penalty(net, x, x_adv, y, n_steps=3, internal_batch_size=size)
    return [*torch.autograd.grad(penalty @ torch.tensor([1.0, 2, 3]).double(), [x, *weights.parameters()],
                                 materialize_grads=True)]  # fmt: skip


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("size", [None, 6, 4])
@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize(("activation", "reentrant"), [*((name, False) for name in ACTIVATIONS), ("relu", True)])
def test_checkpointed_networks(pair: Pair, activation: str, reentrant: bool, twin: bool, size: int | None) -> None:
    nets = bodies(activation, reentrant)
    found, expected = (gradients(SoftplusTwin(net, 10.0) if twin else net, net, pair, size) for net in nets)
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-9, atol=1e-14)
    maps = [integrated_gradients(SoftplusTwin(net, 10.0) if twin else net, *pair[::2], n_steps=3) for net in nets]
    torch.testing.assert_close(*maps)


@pytest.mark.parametrize("name", ["F.relu", "residual", "gelu"])
def test_under_vmap(make_network: MakeNetwork, pair: Pair, name: str) -> None:
    net = make_network(name).double().eval()

    def mapped(z: Tensor) -> Tensor:
        return torch.func.vmap(lambda image: net(image[None])[0])(z)

    torch.testing.assert_close(integrated_gradients(mapped, *pair[::2]), integrated_gradients(net, *pair[::2]))
    found, expected = (
        torch.autograd.grad(
            igr_penalty(f, *pair, n_steps=3).sum(), net.fc1.weight if name != "residual" else net.head.weight
        )
        for f in (mapped, net)
    )
    torch.testing.assert_close(found, expected)


CALLS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "function": integrated_gradients,
    "IG": IntegratedGradients(n_steps=4),
    "SmoothGrad": SmoothGrad(n_samples=4),
    "IxG": InputXGradient(),
    "penalty": lambda net, x, y: igr_penalty(net, x, x.flip(0), y),
    "any penalty": lambda net, x, y: attribution_penalty(net, x, x.flip(0), y, attribution=SmoothGrad(n_samples=2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_in_inference_mode(make_network: MakeNetwork, pair: Pair, name: str) -> None:
    net = make_network("residual").double()
    call = CALLS[name]
    x, _, y = pair
    expected = call(net, x, y).detach()
    with torch.inference_mode():
        torch.testing.assert_close(call(net, x, y), expected)
        made, labels = x + 0, y + 0
        torch.testing.assert_close(call(net, made, labels), expected)
        inside = make_network("F.relu").double()
    torch.testing.assert_close(call(net, made, labels).detach(), expected)
    with pytest.raises((HoldfastError, RuntimeError), match="inference"):
        integrated_gradients(inside, x, y, create_graph=True)


@pytest.mark.parametrize("name", CALLS)
def test_with_another_default_device(make_network: MakeNetwork, pair: Pair, name: str) -> None:
    net = make_network("residual").double()
    expected = CALLS[name](net, pair[0], pair[2]).detach()
    with torch.device("meta"):
        found = CALLS[name](net, pair[0], pair[2]).detach()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [None, 6, 4])
def test_cached_parametrisations_keep_their_gradients(make_network: MakeNetwork, pair: Pair, size: int | None) -> None:
    net = make_network("weight-norm").double()
    expected = gradients(net, net, pair, size)
    with parametrize.cached():
        with torch.no_grad():
            net(pair[0])
        found = gradients(net, net, pair, size)
        assert parametrize._cache_enabled == 1
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e)


@pytest.mark.parametrize("size", [6, 4])
def test_changed_statistics_raise_where_something_is_recomputed(
    make_network: MakeNetwork, pair: Pair, size: int
) -> None:
    net = make_network("residual").double()
    penalty = igr_penalty(net, *pair, n_steps=3, internal_batch_size=size)
    net(pair[0])
    with pytest.raises(HoldfastError, match=r"buffers.*changed"):
        (penalty * torch.arange(3)).sum().backward()


def test_sums_made_in_the_forward_pass_outlive_a_change(make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("residual").double()
    first, second = (igr_penalty(net, *pair, n_steps=3, internal_batch_size=6).mean() for _ in range(2))
    expected = torch.autograd.grad(first, net.head.weight)
    net(pair[0])
    torch.testing.assert_close(torch.autograd.grad(second, net.head.weight), expected)


class Listed(nn.Module):
    def __init__(self, computed: bool) -> None:
        super().__init__()
        self.head, self.layers = nn.Linear(16, 4), [nn.Linear(128, 16)]
        self.outer = self.layers[0].weight * 2 if computed else None

    def forward(self, x: Tensor) -> Tensor:
        weight = self.layers[0].weight if self.outer is None else self.outer
        return self.head(F.relu(F.linear(x.flatten(1), weight)))


@pytest.mark.parametrize("size", [8, 3])
def test_weights_in_lists(pair: Pair, size: int) -> None:
    net = Listed(computed=False)
    x, x_adv, y = (t.float() if t.is_floating_point() else t for t in pair)
    wanted = [net.layers[0].weight, net.head.weight]
    found, expected = (
        torch.autograd.grad(igr_penalty(net, x, x_adv, y, n_steps=4, internal_batch_size=s).mean(), wanted)
        for s in (size, 1000)
    )
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e)


def test_weights_computed_outside_are_refused_in_chunks(pair: Pair) -> None:
    net = Listed(computed=True)
    with pytest.raises(HoldfastError, match=r"computed before the call.*internal_batch_size at None"):
        igr_penalty(net, pair[0].float(), pair[1].float(), pair[2], n_steps=4, internal_batch_size=3)


class Fast(nn.Module):
    """Insists on an attention kernel that cannot be differentiated twice."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.head = nn.Linear(8, 24), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x.flatten(2).view(len(x), 1, 16, 8)).chunk(3, -1)
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return self.head(F.scaled_dot_product_attention(q, k, v).mean((1, 2)))


def test_attention_kernels_that_cannot_be_differentiated_twice(pair: Pair) -> None:
    net = Fast()
    x, x_adv, y = (t.float() if t.is_floating_point() else t for t in pair)
    (g,) = torch.autograd.grad(net(z := x.clone().requires_grad_()).sum(), z, create_graph=True)
    with pytest.raises(RuntimeError, match="not implemented"):
        g.square().sum().backward()
    igr_penalty(net, x, x_adv, y, n_steps=3).mean().backward()
    assert net.project.weight.grad is not None


class Attentive(nn.Module):
    """A layer that picks a kernel by itself, or takes a path of its own in evaluation."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.head = kind, nn.Linear(8, 4)
        self.layer: nn.Module = (
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", batch_first=True)
            if kind == "encoder"
            else nn.MultiheadAttention(8, 2, batch_first=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).view(len(x), 16, 8)
        if self.kind == "encoder":
            return self.head(self.layer(tokens).mean(1))
        return self.head(self.layer(tokens, tokens, tokens, need_weights=self.kind == "weights")[0].mean(1))


@pytest.mark.parametrize("kind", ["encoder", "attention", "weights"])
def test_layers_of_attention_have_the_gradient_of_the_plain_kernel(kind: str, pair: Pair) -> None:
    torch.manual_seed(0)
    net = Attentive(kind).double().eval()
    weights = list(net.parameters())
    found = torch.autograd.grad(igr_penalty(net, *pair, n_steps=3).mean(), weights, allow_unused=True)
    with sdpa_kernel(SDPBackend.MATH):
        clean, moved = (plain_ig(net, images, pair[2], 3) for images in pair[:2])
    plain = plain_distance(clean, moved).mean()
    for ours, theirs in zip(found, torch.autograd.grad(plain, weights, allow_unused=True), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_types_that_differ_are_named(make_network: MakeNetwork, pair: Pair) -> None:
    with pytest.raises(HoldfastError, match=r"images are torch.float64.*torch.float32.*convert"):
        integrated_gradients(make_network("F.relu"), *pair[::2])


UNTRACKED: dict[str, Callable[[], list[nn.Module]]] = {
    "0": lambda: [nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten()],
    "1": lambda: [nn.Flatten(), nn.BatchNorm1d(128, track_running_stats=False)],
    "1.0": lambda: [nn.Flatten(), nn.Sequential(nn.BatchNorm1d(128, affine=False, track_running_stats=False))],
    "2": lambda: [nn.Unflatten(1, (2, 1)), nn.Identity(), nn.BatchNorm3d(2, track_running_stats=False), nn.Flatten()],
}


@pytest.mark.parametrize("layer", UNTRACKED)
def test_networks_of_batch_statistics_are_named(layer: str, pair: Pair) -> None:
    """Where one image has one value a channel, it cannot be normalised by itself."""
    net = nn.Sequential(*UNTRACKED[layer](), nn.Linear(128, 4)).double()
    refused = pytest.raises(HoldfastError, match="which one image does not have; track statistics")
    with (
        pytest.warns(HoldfastWarning, match=rf"^{re.escape(layer)} normalises by the statistics of the batch"),
        refused if layer.startswith("1") else nullcontext(),
    ):
        integrated_gradients(net, *pair[::2])


def test_logits_without_a_gradient_are_named(pair: Pair) -> None:
    with pytest.raises(HoldfastError, match="do not depend on the images"):
        integrated_gradients(lambda z: z.detach().flatten(1), *pair[::2])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attribution", [IntegratedGradients(n_steps=300), SmoothGrad(n_samples=300)])
def test_half_precision_sums_do_not_drift(kind: torch.dtype, attribution: Attribution) -> None:
    """A linear network's map is known; its error is that of one rounding, whatever the number of points."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 3, bias=False)).to(kind)
    x = torch.rand(2, 2, 8, 8).to(kind)
    weight = net[1].weight[1].detach().double().view(1, 2, 8, 8)
    expected = weight * x.double() if isinstance(attribution, IntegratedGradients) else weight.expand_as(x)
    found = attribution(net, x, 1)
    assert found.dtype == kind
    assert float((found.double() - expected).norm() / expected.norm()) < torch.finfo(kind).eps
    penalty = partial(attribution_penalty, net, x, 1 - x, 1, attribution=attribution)
    assert penalty().dtype == torch.float32
    penalty().mean().backward()
    assert net[1].weight.grad is not None
