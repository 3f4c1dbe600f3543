"""Input gradients: plain, times the image, and averaged over random points that are the same for every image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from holdfast.attribution.base import PathAttribution
from holdfast.errors import HoldfastError
from holdfast.gradient.points import Nodes, Path, precise
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive


@dataclass(frozen=True)
class Saliency(PathAttribution):
    """The gradient of the target's logit to the image, signed (Simonyan et al., 2014, https://arxiv.org/abs/1312.6034).

    Simonyan et al. show its absolute value; every metric and attack here takes that of any map itself.

    Cost: 2 forward passes per image; 4 with the gradient of a piecewise-linear network.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> bool((Saliency()(net, torch.rand(3, 1, 2, 2), 1).flatten(1) == net[1].weight[1]).all())
        True
    """

    def path(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Path:
        return Path(model, target, "riemann_right", 1, multiply=False, **options)


@dataclass(frozen=True)
class InputXGradient(PathAttribution):
    """The image times the gradient of the target's logit (Shrikumar et al., 2016, https://arxiv.org/abs/1605.01713).

    Cost: 2 forward passes per image; 4 with the gradient of a piecewise-linear network.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> torch.allclose(InputXGradient()(net, x, 1).flatten(1).sum(1), net(x)[:, 1])
        True
    """

    def path(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Path:
        return Path(model, target, "riemann_right", 1, **options)


@dataclass(frozen=True)
class SampledAttribution(PathAttribution):
    """A mean over ``n_samples`` random points that depend on ``seed`` and the shape of an image alone.

    A clean and an attacked image thus see the same random numbers, and a map is the same on any device. Called with a
    generator, an attribution takes a new seed from it.
    """

    n_samples: int = 50
    seed: int = 0
    internal_batch_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("seed", self.seed, least=0)

    @property
    def points(self) -> int:
        return self.n_samples

    def drawn(self, generator: torch.Generator | None) -> Self:
        if generator is None:
            return self
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        return replace(self, seed=int(seed))


@dataclass(frozen=True)
class SmoothGrad(SampledAttribution):
    """The mean gradient at ``n_samples`` noisy copies of the image (Smilkov et al., 2017, https://arxiv.org/abs/1706.03825).

    The noise is normal; copies may leave [0, 1].

    Args:
        n_samples: noisy copies (Smilkov et al.: 50).
        seed: of the noise.
        internal_batch_size: points evaluated at once; None takes as many as run fastest.
        sigma: standard deviation of the noise, pixels in [0, 1] (Smilkov et al.: 10 to 20 % of the range).

    Cost: ``2 * n_samples`` forward passes per image; ``4 * n_samples`` with the gradient of a piecewise-linear network.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> torch.allclose(SmoothGrad(n_samples=3)(net, x, 1).flatten(1), net[1].weight[1].expand(3, 4))
        True
    """

    sigma: float = 0.15

    origins: ClassVar[Mapping[str, str]] = {"n_samples": "paper", "sigma": "paper"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("sigma", self.sigma)

    def path(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Path:
        shape = (self.n_samples, *x.shape[1:])
        noise = self.sigma * random_numbers("normal", self.seed, shape, x.device, precise(x.dtype))
        return Path(
            model, target, "riemann_right", self.n_samples, multiply=False,
            own=Nodes(torch.ones_like(noise.flatten(1)[:, 0]), noise), **options,
        )  # fmt: skip


@dataclass(frozen=True)
class ExpectedGradients(SampledAttribution):
    r"""Integrated gradients averaged over references (Erion et al., 2021, https://arxiv.org/abs/1906.10670).

    .. math:: EG(x) = \mathrm{mean}_k \, (x - r_k) \odot \nabla f_y(r_k + \alpha_k (x - r_k)),
              \quad \alpha_k \sim U(0, 1)

    Args:
        n_samples: pairs of a reference and a place on the way from it; references are taken in turn.
        seed: of the places, and of references that are drawn.
        internal_batch_size: points evaluated at once; None takes as many as run fastest.
        references: ``"uniform"`` (pixels from U(0, 1)), ``"gaussian"`` (from N(0.5, 0.25), cut to [0, 1]), or images
            of a data set as ``name:split:count``, the first ``count`` of ``mnist:train:64`` for example.

    Raises:
        HoldfastError: references of another form, or of another shape than the images.

    Cost: ``2 * n_samples`` forward passes per image; ``4 * n_samples`` with the gradient of a piecewise-linear network.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> ExpectedGradients(n_samples=8, references="digits:train:4")(net, torch.rand(3, 1, 8, 8), 1).shape
        torch.Size([3, 1, 8, 8])
    """

    references: str = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.references not in DRAWN:
            split_references(self.references)

    def path(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Path:
        kind = precise(x.dtype)
        if self.references in DRAWN:
            starts = random_numbers(self.references, self.seed + 1, (self.n_samples, *x.shape[1:]), x.device, kind)
        else:
            images = reference_images(self.references, x.device, kind)
            if images.shape[1:] != x.shape[1:]:
                raise HoldfastError(
                    f"references {self.references!r} have shape {tuple(images.shape[1:])} and the images "
                    f"{tuple(x.shape[1:])}; choose references of the same data."
                )
            starts = images[torch.arange(self.n_samples, device=x.device) % len(images)]
        alpha = random_numbers("uniform", self.seed, (self.n_samples,), x.device, kind)
        return Path(
            model, target, "riemann_right", self.n_samples, multiply=False, own=Nodes(alpha, starts=starts), **options
        )


DRAWN = ("uniform", "gaussian")


@lru_cache(maxsize=8, typed=True)
def random_numbers(kind: str, seed: int, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Numbers that depend on ``kind``, ``seed`` and ``shape`` alone, drawn on the CPU in float32."""
    with torch.inference_mode(False), torch.device("cpu"):
        generator = torch.Generator().manual_seed(seed)
        numbers = torch.empty(shape, dtype=torch.float32)
        if kind == "uniform":
            numbers.uniform_(generator=generator)
        else:
            numbers.normal_(generator=generator)
        if kind == "gaussian":
            numbers = (0.5 + 0.25 * numbers).clamp(0, 1)
        return numbers.to(device, dtype)


@lru_cache(maxsize=4)
def reference_images(spec: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The first images of a data set, as ``name:split:count`` says."""
    from holdfast.data import load_dataset
    from holdfast.data.loader import to_unit_interval

    name, split, count = split_references(spec)
    with torch.inference_mode(False):
        images = to_unit_interval(load_dataset(name, split).images[:count])
        if len(images) < count:
            raise HoldfastError(f"references {spec!r}: {name} has {len(images)} images in {split}; ask for fewer.")
        return images.to(device, dtype)


def split_references(spec: str) -> tuple[str, str, int]:
    """The parts of ``name:split:count``.

    >>> split_references("mnist:train:64")
    ('mnist', 'train', 64)
    """
    parts = spec.rsplit(":", 2)
    if len(parts) != 3 or not parts[2].isdigit() or int(parts[2]) == 0:
        raise HoldfastError(
            f"references are {spec!r}; choose {', '.join(DRAWN)}, or a data set as name:split:count (mnist:train:64)."
        )
    return parts[0], parts[1], int(parts[2])
