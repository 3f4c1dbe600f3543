"""Each attribution as its formula says, by ordinary double backward: the oracle of its map and of its derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from holdfast import ExpectedGradients, InputXGradient, IntegratedGradients, Saliency, SmoothGrad
from holdfast.attribution import Attribution

Net = Callable[[Tensor], Tensor]


def gradient(net: Net, z: Tensor, y: Tensor) -> Tensor:
    z = z if z.requires_grad else z.clone().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.grad(net(z).gather(1, y[:, None]).sum(), z, create_graph=True)[0]


def integrated(net: Net, x: Tensor, y: Tensor) -> Tensor:
    return x * sum(gradient(net, (k + 0.5) / 3 * x, y) for k in range(3)) / 3


def drawn(kind: str, seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return getattr(torch.empty(shape), f"{kind}_")(generator=generator).double()


def smooth(net: Net, x: Tensor, y: Tensor) -> Tensor:
    noise = 0.2 * drawn("normal", 5, 3, *x.shape[1:])
    return sum((gradient(net, x + e, y) for e in noise), torch.zeros(())) / 3


def expected(net: Net, x: Tensor, y: Tensor) -> Tensor:
    alphas, references = drawn("uniform", 5, 3), drawn("uniform", 6, 3, *x.shape[1:])
    pairs = zip(alphas, references, strict=True)
    return sum(((x - r) * gradient(net, r + a * (x - r), y) for a, r in pairs), torch.zeros(())) / 3


def cam(net: nn.Module, x: Tensor, y: Tensor, layer: str) -> Tensor:
    seen: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out))
    logits = net(x).gather(1, y[:, None]).sum()
    handle.remove()
    (g,) = torch.autograd.grad(logits, seen[0], create_graph=True)
    maps = F.relu((g.mean((2, 3), keepdim=True) * seen[0]).sum(1, keepdim=True))
    return F.interpolate(maps, x.shape[2:], mode="bilinear").expand_as(x)


LAYERS = {"small_cnn": "conv4", "resnet18": "stages.3.1.conv2", "F.relu": "conv2"}
PLAIN: dict[str, tuple[Attribution, Callable[[Net, Tensor, Tensor], Tensor]]] = {
    "integrated": (IntegratedGradients(n_steps=3), integrated),
    "saliency": (Saliency(), gradient),
    "input-x-gradient": (InputXGradient(), lambda net, x, y: x * gradient(net, x, y)),
    "smooth": (SmoothGrad(n_samples=3, sigma=0.2, seed=5), smooth),
    "expected": (ExpectedGradients(n_samples=3, seed=5), expected),
}
