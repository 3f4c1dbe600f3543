"""LGA: gradients that stay, in length and in direction, as they are when noise is added to the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.attacks.base import random_start
from holdfast.gradient.points import Path
from holdfast.metrics.pairs import cosine_similarity
from holdfast.models.state import Model, evaluating, outside_inference_mode, usable
from holdfast.objectives.base import LossOutput, Objective, combine
from holdfast.seeding import fresh_generator
from holdfast.validate import check_count, check_positive


@dataclass(frozen=True)
class LGA(Objective):
    r"""Local gradient alignment of Joo et al., 2023 (https://arxiv.org/abs/2211.15900).

    .. math:: CE(f(x), y) + E_\delta [\lambda_2 \|g(x + \delta) - g(x)\|_2^2
              + \lambda_c (1 - \cos(g(x + \delta), g(x))) / 2]

    with g the input gradient of the label's logit over all features of an image, averaged over the batch. The
    gradients are taken with frozen normalisation and no dropout; the cross-entropy runs in the mode that the
    model is in. There are no adversarial images. A zero-initialised last layer gives finite gradients.

    As in the published code: uniform noise, one draw an image and step, g(x) held fixed (only g(x + noise) is
    differentiated), and the weights of its CIFAR-10 script, there with eps = 4 / 255. Its gradients are those
    to inputs divided by a standard deviation of about 0.2, so that its 0.01 for the l2 term is about 4e-4
    here. Ours: the noisy image is clamped to [0, 1], the gradients are taken in evaluation mode, and the
    network stays as it is (the paper trains networks with softplus, beta = 3).

    Args:
        eps: largest noise in a pixel, pixels in [0, 1].
        lam_l2: weight of the squared distance.
        lam_cos: weight of the cosine distance.
        samples: draws of the noise an image, held in memory together.

    Raises:
        HoldfastError: on a negative eps or weight, or a count below 1.

    Cost for a piecewise-linear network: ``5 + 4 * samples`` forward passes per image.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> out = LGA(eps=0.1)(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1]))
        >>> list(out.parts), out.x_adv
        (['ce', 'l2', 'cosine'], None)
    """

    formula: ClassVar[str] = (
        r"CE(f(x), y) + E_\delta[\lambda_2 \|g(x + \delta) - g(x)\|_2^2"
        r" + \lambda_c (1 - \cos(g(x + \delta), g(x))) / 2]"
    )

    eps: float = 4 / 255
    lam_l2: float = 0.01
    lam_cos: float = 0.1
    samples: int = 1

    def __post_init__(self) -> None:
        for name in ("eps", "lam_l2", "lam_cos"):
            check_positive(name, getattr(self, name), zero=True)
        check_count("samples", self.samples)

    @property
    def cost(self) -> float:
        return 5.0 + 4.0 * self.samples

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        ce = F.cross_entropy(model(x), y)
        with outside_inference_mode(), evaluating(model), torch.enable_grad():
            x, y = usable(x.detach(), y)
            images = x.repeat(self.samples, *[1] * (x.ndim - 1))
            noisy = random_start(images, self.eps, "Linf", generator or fresh_generator(x.device))
            label_logit = Path(model, y, "riemann_right", n_steps=1, create_graph=True)
            clean = label_logit.gradient(x, y).flatten(1).repeat(self.samples, 1)
            moved = label_logit.gradient_with_graph(noisy.requires_grad_(), y.repeat(self.samples)).flatten(1)
            l2 = (moved - clean).square().sum(1).mean()
            cosine = (1 - cosine_similarity(moved, clean)).mean() / 2
        return combine(None, ce=(1.0, ce), l2=(self.lam_l2, l2), cosine=(self.lam_cos, cosine))
