"""Every attribution against its formula by ordinary double backward and against Captum; its cost; how it is stored."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient as CaptumInputXGradient
from captum.attr import LayerAttribution, LayerGradCam, NoiseTunnel
from captum.attr import Saliency as CaptumSaliency
from torch import Tensor, nn
from torch.func import functional_call

from bench.measure import flops
from holdfast import (
    Attribution,
    ExpectedGradients,
    External,
    GradCAM,
    HoldfastError,
    InputXGradient,
    IntegratedGradients,
    Saliency,
    SmoothGrad,
    SoftplusTwin,
    attribution_penalty,
    igr_penalty,
    integrated_gradients,
)
from holdfast.models import ResNet18, SmallCNN
from holdfast.part_json import from_json, to_json
from holdfast.parts import find
from tests.attribution.plain import LAYERS, PLAIN, Net, cam

MakeNetwork = Callable[[str], nn.Module]
Pair = tuple[Tensor, Tensor, Tensor]


def maps_of(name: str, network: str) -> tuple[Attribution, Callable[[Net, Tensor, Tensor], Tensor]]:
    if name == "cam":  # on 8 x 8 pixels the last maps of ResNet18 have one pixel, whose cosine is always 1
        layer = "stages.1.1.conv2" if network == "resnet18" else LAYERS[network]
        return GradCAM(layer), lambda net, x, y: cam(net, x, y, layer)
    return PLAIN[name]


CASES = [(name, net) for net in ("small_cnn", "resnet18", "attention") for name in PLAIN] + [
    ("cam", "small_cnn"),
    ("cam", "resnet18"),
]


@pytest.mark.parametrize(("name", "network"), CASES)
def test_penalty_is_that_of_plain_double_backward(
    make_network: MakeNetwork, pair: Pair, name: str, network: str
) -> None:
    net = make_network(network).double().eval()
    attribution, plain = maps_of(name, network)
    x, x_adv, y = (t[:2] for t in pair)
    ends = [x.clone().requires_grad_(), x_adv.clone().requires_grad_()]
    wanted = [*ends, *net.parameters()]
    maps = [plain(net, end, y).flatten(1) for end in ends]
    expected = 1 - torch.cosine_similarity(*maps)
    torch.testing.assert_close(attribution(net, x, y), maps[0].detach().view_as(x), rtol=1e-9, atol=1e-12)
    for weigh in (torch.ones(2).double(), torch.tensor([0.3, 2.0]).double()):
        made = torch.autograd.grad(expected @ weigh, wanted, retain_graph=True, materialize_grads=True)
        right = [gradient.detach() for gradient in made]
        for rows in (None, 2 * attribution.points):
            penalty = attribution_penalty(net, *ends, y, attribution=attribution, internal_batch_size=rows)
            torch.testing.assert_close(penalty, expected, rtol=1e-9, atol=1e-12)
            found = torch.autograd.grad(penalty @ weigh, wanted, materialize_grads=True)
            difference = sum(float((f - r).detach().square().sum()) for f, r in zip(found, right, strict=True))
            assert difference <= 1e-18 * sum(float(r.square().sum()) for r in right)
            assert sum(float(r.square().sum()) for r in right) > 0


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("rows", [None, 6, 2])
def test_functional_networks(make_network: MakeNetwork, pair: Pair, name: str, rows: int | None) -> None:
    """Weights that no module owns, in the whole graph, in groups and in chunks."""
    module = make_network("F.relu").double()
    weights = {n: p.detach().clone().requires_grad_() for n, p in module.named_parameters()}

    def net(z: Tensor) -> Tensor:
        return functional_call(module, weights, (z,))

    attribution, plain = PLAIN[name]
    x, x_adv, y = pair
    expected = 1 - torch.cosine_similarity(plain(net, x, y).flatten(1), plain(net, x_adv, y).flatten(1))
    right = torch.autograd.grad(expected.mean(), [*weights.values()], materialize_grads=True)
    penalty = attribution_penalty(net, x, x_adv, y, attribution=attribution, internal_batch_size=rows)
    found = torch.autograd.grad(penalty.mean(), [*weights.values()], materialize_grads=True)
    for f, r in zip(found, right, strict=True):
        torch.testing.assert_close(f, r, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [*PLAIN, "cam"])
def test_gradient_to_the_images_alone(make_network: MakeNetwork, pair: Pair, name: str) -> None:
    twin = SoftplusTwin(make_network("small_cnn").double().eval(), 20.0)
    attribution = maps_of(name, "small_cnn")[0]
    found = []
    for weights in (True, False):
        x = pair[0].clone().requires_grad_()
        maps = attribution.map(twin, x, pair[2], create_graph=True, weights=weights)
        found.append(torch.autograd.grad(maps.square().sum(), x)[0])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-14)
    assert float(found[0].abs().sum()) > 0


@pytest.mark.parametrize("name", [*PLAIN, "cam"])
@pytest.mark.parametrize("network", ["small_cnn", "resnet18"])
def test_gradients_cost_four_forward_passes_per_point(name: str, network: str) -> None:
    net = SmallCNN(4, 3, 16) if network == "small_cnn" else ResNet18(4)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    x, x_adv = torch.rand(2, 2, 3, 16, 16)
    attribution = maps_of(name, network)[0]
    y = torch.tensor([0, 1])

    def step() -> None:
        attribution_penalty(net, x, x_adv, y, attribution=attribution).mean().backward()

    step()
    points = 2 * len(x) * attribution.points
    with torch.no_grad():
        forward = flops(lambda: net.eval()(x)) / len(x) * points
    check = flops(lambda: net.eval()(x[:1]))  # the look at the classes
    assert 2 < (flops(step) - check) / forward <= 4.1


@pytest.mark.parametrize("name", ["F.relu", "residual", "gelu"])
def test_equal_to_captum(make_network: MakeNetwork, pair: Pair, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = make_network(name).double().eval()
    x, _, y = pair
    close = {"rtol": 1e-9, "atol": 1e-12}
    saliency = CaptumSaliency(net)
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(Saliency()(net, x, y), saliency.attribute(leaf, target=y, abs=False), **close)
    torch.testing.assert_close(
        InputXGradient()(net, x, y), CaptumInputXGradient(net).attribute(leaf, target=y).detach(), **close
    )
    ours = SmoothGrad(n_samples=4, sigma=0.3)
    noise = torch.empty(4, *x.shape[1:]).normal_(generator=torch.Generator().manual_seed(0)).double()
    rows = iter([0.3 * noise.repeat(len(x), 1, 1, 1)])
    monkeypatch.setattr(torch, "normal", lambda *_, **__: next(rows))
    theirs = NoiseTunnel(saliency).attribute(leaf, target=y, nt_type="smoothgrad", nt_samples=4, stdevs=0.3, abs=False)
    torch.testing.assert_close(ours(net, x, y), theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["small_cnn", "resnet18", "F.relu"])
def test_grad_cam_equals_captum(make_network: MakeNetwork, pair: Pair, name: str) -> None:
    net = make_network(name).double().eval()
    x, _, y = pair
    assert GradCAM().layer_of(net, x) == LAYERS[name]
    theirs = LayerGradCam(net, net.get_submodule(LAYERS[name])).attribute(x, target=y, relu_attributions=True)
    theirs = LayerAttribution.interpolate(theirs, x.shape[2:], "bilinear")
    for ours in (GradCAM(), GradCAM(LAYERS[name])):
        found = ours(net, x, y)
        torch.testing.assert_close(found, theirs.expand_as(x), rtol=1e-9, atol=1e-12)
    assert float(found.max()) > 0


def test_grad_cam_through_wrappers(make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("small_cnn").double().eval()
    twin = SoftplusTwin(net, 1e6)
    assert GradCAM().layer_of(twin, pair[0]) == "model.conv4"
    found = [GradCAM(layer)(twin, pair[0], 1) for layer in (None, "conv4", "model.conv4")]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_blank_grad_cam_has_a_gradient_on_the_twin() -> None:
    """One channel, the image itself; the evidence is -1, -2, -3, -4 times a quarter, so that nothing is positive."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), nn.Linear(4, 2, bias=False)).double()
    nn.init.ones_(net[0].weight)
    nn.init.constant_(net[2].weight, -0.25)
    x, target = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64), torch.tensor([1])
    slopes = []
    for model in (net, SoftplusTwin(net, 2.0)):
        leaf = x.clone().requires_grad_()
        maps = GradCAM().map(model, leaf, target, create_graph=True)
        slopes.append(torch.autograd.grad(maps.sum(), leaf)[0])
    expected = [math.log1p(math.exp(-2 * share)) / 2 for share in (0.25, 0.5, 0.75, 1.0)]
    torch.testing.assert_close(maps.detach().flatten(), torch.tensor(expected, dtype=torch.float64))
    assert not bool(slopes[0].any())
    assert bool((slopes[1] < 0).all())
    assert not bool(GradCAM()(net, x, target).any())


def test_linear_networks_are_exact(pair: Pair) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 4)).double()
    x, _, y = pair
    weight = net[1].weight[y].view_as(x).detach()
    for references, mean in (("uniform", 0.5), ("gaussian", 0.5)):
        ours = ExpectedGradients(n_samples=400, references=references)
        torch.testing.assert_close(ours(net, x, y), (x - mean) * weight, rtol=0, atol=0.1 * float(weight.abs().max()))
    torch.testing.assert_close(SmoothGrad()(net, x, y), weight)


def test_references_of_a_data_set() -> None:
    from holdfast.data import load_dataset

    images = load_dataset("digits", "train").images[:3].double() / 255
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    x = torch.rand(2, 1, 8, 8).double()
    found = ExpectedGradients(n_samples=6, references="digits:train:3")(net, x, 1)
    expected = (x - images.mean(0)) * net[1].weight[1].view(1, 8, 8)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-7)
    with pytest.raises(HoldfastError, match=r"\(1, 8, 8\).*\(3, 4, 4\)"):
        ExpectedGradients(references="digits:train:3")(lambda z: z.flatten(1), torch.rand(2, 3, 4, 4), 1)
    with pytest.raises(HoldfastError, match="ask for fewer"):
        ExpectedGradients(references="digits:test:99999")(net, x, 1)


@pytest.mark.parametrize("attribution", [SmoothGrad(n_samples=3), ExpectedGradients(n_samples=3)])
def test_randomness_is_a_seed(make_network: MakeNetwork, pair: Pair, attribution: Attribution) -> None:
    net = make_network("F.relu").double()
    state = torch.get_rng_state()
    first, again = (attribution(net, pair[0], 1) for _ in range(2))
    one_by_one = torch.cat([attribution(net, x[None], 1) for x in pair[0]])
    assert torch.equal(first, again)
    torch.testing.assert_close(first, one_by_one)
    torch.testing.assert_close(attribution(net.float(), pair[0].float(), 1), first.float(), rtol=1e-3, atol=1e-5)
    drawn = [attribution(net, pair[0].float(), 1, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), state)
    fresh = attribution_penalty(
        net, pair[0].float(), pair[0].float(), 1, attribution=attribution, generator=torch.Generator().manual_seed(1)
    )
    torch.testing.assert_close(fresh.detach(), torch.zeros(3), rtol=0, atol=1e-6)


def test_igr_is_one_of_the_penalties(make_network: MakeNetwork, pair: Pair) -> None:
    net = make_network("residual").double()
    assert torch.equal(igr_penalty(net, *pair), attribution_penalty(net, *pair))
    far = attribution_penalty(net, *pair, distance=lambda maps, reference: (maps - 2 * reference).flatten(1).sum(1))
    maps = [integrated_gradients(net, z, pair[2], n_steps=10, method="riemann_right") for z in pair[:2]]
    torch.testing.assert_close(far.detach(), (maps[1] - 2 * maps[0]).flatten(1).sum(1))


@pytest.mark.parametrize("target", [1, np.int64(1), np.array([1, 1, 1]), torch.tensor(1), [1, 1, 1]])
def test_targets_of_every_kind(make_network: MakeNetwork, pair: Pair, target: object) -> None:
    net = make_network("F.relu").double()
    expected = Saliency()(net, pair[0], torch.ones(3, dtype=torch.int64))
    assert torch.equal(Saliency()(net, pair[0], target), expected)
    assert torch.equal(integrated_gradients(net, pair[0], target), integrated_gradients(net, pair[0], 1))


STORED = [
    IntegratedGradients(n_steps=7, method="gausslegendre", baseline=0.5),
    Saliency(),
    InputXGradient(),
    SmoothGrad(n_samples=9, sigma=0.3, seed=4),
    ExpectedGradients(references="mnist:train:64"),
    GradCAM("stages.3"),
    External("captum.attr:DeepLift"),
]


@pytest.mark.parametrize("attribution", STORED, ids=lambda a: type(a).__name__)
def test_stored_and_found(attribution: Attribution) -> None:
    assert from_json(Attribution, to_json(attribution), "here") == attribution
    assert find(Attribution, type(attribution).__name__) is type(attribution)
    assert attribution.points == {"IntegratedGradients": 7, "SmoothGrad": 9, "ExpectedGradients": 50}.get(
        type(attribution).__name__, 1
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntegratedGradients(n_steps=0), "n_steps is 0"),
        (lambda: IntegratedGradients(method="riemann"), "riemann.*did you mean"),
        (lambda: IntegratedGradients(1, "riemann_trapezoid"), "at least 2"),
        (lambda: IntegratedGradients(internal_batch_size=0), "internal_batch_size is 0"),
        (lambda: SmoothGrad(sigma=0.0), "sigma is 0"),
        (lambda: SmoothGrad(n_samples=0), "n_samples is 0"),
        (lambda: SmoothGrad(seed=-1), "seed is -1"),
        (lambda: ExpectedGradients(references="mnist"), "name:split:count"),
        (lambda: ExpectedGradients(references="mnist:train:0"), "name:split:count"),
    ],
)
def test_wrong_settings_are_named(make: Callable[[], Attribution], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        make()


def test_grad_cam_says_what_it_cannot_do(make_network: MakeNetwork, pair: Pair) -> None:
    x, _, y = pair
    vit = make_network("attention").double()
    with pytest.raises(HoldfastError, match=r"attention over patches \(attention\).*\(patch\).*IntegratedGradients"):
        GradCAM()(vit, x, y)
    assert GradCAM("patch")(vit, x, y).shape == x.shape
    with pytest.raises(HoldfastError, match=r"'norm' gave \(3, 4, 8\)"):
        GradCAM("norm")(vit, x, y)
    with pytest.raises(HoldfastError, match=r"unknown layer of Attention 'pacth'.*did you mean patch"):
        GradCAM("pacth")(vit, x, y)
    with pytest.raises(HoldfastError, match="runs no convolution"):
        GradCAM()(nn.Sequential(nn.Flatten(), nn.Linear(128, 4)).double(), x, y)
    with pytest.raises(HoldfastError, match=r"function.*nn\.Module"):
        GradCAM()(lambda z: z.flatten(1), x, y)
