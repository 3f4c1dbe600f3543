"""A certified explanation: how often each feature is among the largest when Gaussian noise is added to the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import scipy
import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import ndtr, ndtri

from holdfast.attribution import Saliency
from holdfast.attribution.base import Attribution, check_target
from holdfast.certify.base import Certificate, Certified
from holdfast.errors import HoldfastError
from holdfast.metrics.rank import check_ranked
from holdfast.models.state import Model, evaluating, outside_inference_mode, usable
from holdfast.seeding import fresh_generator
from holdfast.validate import check_count, check_images, check_labels, check_positive


@dataclass(frozen=True)
class VotedMap(Certificate):
    r"""The vote map ``h(x)_i = P[feature i is among the top t of |A(x + e)|]``, ``e ~ N(0, sigma^2 I)``.

    Each ``h_i`` is the mean of a 0/1 function under Gaussian noise, so that for every ``||d||_2 <= rho``

    .. math:: \Phi(\Phi^{-1}(h_i(x)) - \rho/\sigma) \le h_i(x + d) \le \Phi(\Phi^{-1}(h_i(x)) + \rho/\sigma)

    (Cohen et al., 2019; for rankings of maps Levine et al., 2019, https://arxiv.org/abs/1905.12105). With
    Clopper-Pearson bounds on all votes of an image, which hold together with probability ``1 - alpha``, the
    guarantees of `certified_topk` and `certified_cosine` follow. They are about the vote map, not about A itself.

    Args:
        sigma: standard deviation of the noise, pixels in [0, 1]. Noisy pixels are not clipped: clip inside the model.
        n_samples: noisy copies per image.
        top: features that a copy votes for; None takes ``4 * k``.
        alpha: chance that the guarantees of an image do not hold.
        attribution: the map A that votes.
        internal_batch_size: noisy copies evaluated at once.

    Cost: ``2 * attribution.points * n_samples`` forward passes per image.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> certificate = VotedMap(sigma=0.5, n_samples=200, top=2)
        >>> found = certificate(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1]), k=1, radii=[0.0, 0.1])
        >>> found.topk.shape, found.maps.shape
        (torch.Size([3, 2]), torch.Size([3, 1, 2, 2]))
    """

    sigma: float = 0.25
    n_samples: int = 1000
    top: int | None = None
    alpha: float = 0.001
    attribution: Attribution = Saliency()
    internal_batch_size: int = 500

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)
        for name in ("n_samples", "internal_batch_size"):
            check_count(name, getattr(self, name))
        if self.top is not None:
            check_count("top", self.top)
        if not 0 < self.alpha < 1:
            raise HoldfastError(f"alpha is {self.alpha}; it is a probability between 0 and 1, such as 0.001.")

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        *,
        k: int,
        radii: Sequence[float],
        generator: torch.Generator | None = None,
    ) -> Certified:
        check_images(x)
        check_labels(y, len(x))
        check_count("k", k)
        if isinstance(radii, Real) or not len(radii):
            raise HoldfastError(f"radii are {radii!r}; pass at least one L2 radius in a list, such as [0.0, 0.1].")
        for radius in radii:
            check_positive("radius", radius, zero=True)
        check_target(model, x, y)
        features = x[0].numel()
        top = min(4 * k, features - 1) if self.top is None else self.top
        if not k <= top < features:
            raise HoldfastError(f"top is {top}; it must lie between k = {k} and the {features} features less one.")
        with outside_inference_mode():
            images, labels = usable(x, y)
            votes = self.votes(model, images, labels, top, generator or fresh_generator(x.device))
        lower, upper = vote_bounds(votes, self.n_samples, self.alpha / (2 * features))
        share = votes / self.n_samples
        shifts = [radius / self.sigma for radius in radii]
        topk = torch.stack([certified_topk(share, lower, upper, k, shift) for shift in shifts], dim=1)
        cosine = torch.stack([certified_cosine(lower, upper, shift) for shift in shifts], dim=1)
        return Certified(share.view_as(x).to(x.dtype), topk, cosine)

    def votes(
        self, model: Model, x: Tensor, y: Tensor, top: int, generator: torch.Generator
    ) -> Float[Tensor, "B features"]:
        """How many of the noisy copies of each image have each feature among their largest ``top``."""
        counts = torch.zeros(len(x), x[0].numel(), dtype=torch.float64, device=x.device)
        with evaluating(model):
            for row in range(len(x)):
                for done in range(0, self.n_samples, self.internal_batch_size):
                    copies = min(self.internal_batch_size, self.n_samples - done)
                    noise = torch.empty(copies, *x.shape[1:], dtype=x.dtype, device=x.device)
                    noisy = x[row] + noise.normal_(0, self.sigma, generator=generator)
                    maps = self.attribution.map(model, noisy, y[row].expand(copies)).flatten(1).abs()
                    check_ranked(maps)
                    chosen = maps.topk(top, dim=1).indices.flatten()
                    counts[row] += torch.bincount(chosen, minlength=counts.shape[1])
        return counts


def vote_bounds(votes: Tensor, n_samples: int, level: float) -> tuple[Tensor, Tensor]:
    """Clopper-Pearson bounds of the probabilities behind ``votes`` of ``n_samples``, each missed with chance ``level``.

    >>> low, high = vote_bounds(torch.tensor([0.0, 3.0]), 3, 0.025)
    >>> low.tolist()[0], round(high.tolist()[0], 3), round(low.tolist()[1], 3), high.tolist()[1]
    (0.0, 0.708, 0.292, 1.0)
    """
    counts = votes.cpu().double().numpy()
    low = torch.from_numpy(scipy.stats.beta.ppf(level, counts, n_samples - counts + 1)).nan_to_num(0.0)
    high = torch.from_numpy(scipy.stats.beta.ppf(1 - level, counts + 1, n_samples - counts)).nan_to_num(1.0)
    return low.to(votes.device), high.to(votes.device)


def certified_topk(share: Tensor, lower: Tensor, upper: Tensor, k: int, shift: float) -> Float[Tensor, " B"]:
    """Least share of the k most voted features that stay among the k most voted, ``shift = rho / sigma`` away.

    The largest ``i / k`` such that each of the first i features still beats every one ranked ``2k - i + 1`` and below:
    then either one of those is in the new top k, which holds all of the first i, or the new top k lies within the
    first ``2k - i``, of which only ``k - i`` are not in the old one.

    >>> h = torch.tensor([[0.9, 0.8, 0.1, 0.05]])
    >>> certified_topk(h, h, h, 2, 0.5).item(), certified_topk(h, h, h, 2, 1.2).item()
    (1.0, 0.5)
    """
    order = share.sort(dim=1, descending=True, stable=True).indices
    least = ndtr(ndtri(lower.gather(1, order)) - shift).cummin(1).values
    most = ndtr(ndtri(upper.gather(1, order)) + shift).flip(1).cummax(1).values.flip(1)
    most = torch.cat([most, most.new_full((len(most), max(k, 1)), -1.0)], dim=1)
    kept = torch.zeros(len(share), dtype=share.dtype, device=share.device)
    for i in range(1, k + 1):
        rivals = most[:, min(2 * k - i, share.shape[1])]
        kept = torch.where(least[:, i - 1] > rivals, float(i) / k, kept)
    return kept


def certified_cosine(lower: Tensor, upper: Tensor, shift: float) -> Float[Tensor, " B"]:
    """Least cosine of the vote maps at x and ``shift = rho / sigma`` away: no product of votes is smaller than that of
    their lower bounds, no length larger than that of the upper ones."""
    least, most = ndtr(ndtri(lower) - shift), ndtr(ndtri(upper) + shift)
    return (lower * least).sum(1) / (upper.norm(dim=1) * most.norm(dim=1))
