"""Figures 1, 2a and 2c: what a distance, an angle and a rank correlation each say of two attributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from holdfast.attribution import integrated_gradients
from holdfast.data import load_dataset
from holdfast.data.loader import to_unit_interval
from holdfast.errors import HoldfastError
from holdfast.metrics import cosine_similarity, goodman_kruskal_gamma, kendall_tau
from holdfast.paper.theory.kendall_cosine import Law, Vector, draw

Point = tuple[float, float]
DISTANCE = 0.7
PERTURBATIONS = ("dimmed", "speckled", "shifted")


@dataclass(frozen=True, eq=False)
class EqualDistances:
    """Figure 1: a clean image and three perturbed ones whose attributions lie equally far from the clean one.

    ``images`` and ``maps`` (4, H, W), the clean ones first, maps divided by the l1 norm of the clean map;
    ``distance`` (l1), ``kendall`` and ``cosine`` (3,) of ``names`` with the clean map.
    """

    names: tuple[str, ...]
    images: Vector
    maps: Vector
    distance: Vector
    kendall: Vector
    cosine: Vector


def random_feature_network(units: int = 256, penalty: float = 1.0, seed: int = 0) -> nn.Module:
    """A one-layer network for the shipped digits: random first layer, output weights by ridge regression.

    In float64, without biases, on images (B, 1, 8, 8) in [0, 1]. It gives Figure 1 a network that tells digits
    apart (19 in 20 of the test split) and needs no training. Softplus stands for ReLU, whose IG jumps as x moves,
    so that a map at exactly a given distance need not exist.
    """
    data = load_dataset("digits", "train")
    sizes = ((64, units), (units, data.num_classes))
    hidden, readout = (skip_init(nn.Linear, *size, bias=False, dtype=torch.float64) for size in sizes)
    generator = torch.Generator().manual_seed(seed)
    hidden.weight.data = torch.randn(units, 64, generator=generator, dtype=torch.float64) / 8
    bend = nn.Softplus(beta=200.0)
    features = bend(hidden(to_unit_interval(data.images).double().flatten(1))).detach()
    targets = 2.0 * torch.eye(data.num_classes, dtype=torch.float64)[data.labels] - 1
    gram = features.T @ features + penalty * torch.eye(units, dtype=torch.float64)
    readout.weight.data = torch.linalg.solve(gram, features.T @ targets).T.contiguous()
    return nn.Sequential(nn.Flatten(), hidden, bend, readout).requires_grad_(False)


def equal_distances(index: int = 0, distance: float = DISTANCE, seed: int = 0) -> EqualDistances:
    """Perturb test digit ``index`` in three ways until IG has moved by ``distance`` times its own l1 norm.

    The image is dimmed, sprinkled with noise of one size, or blended with itself moved by one pixel; the
    strength comes from bisection to 1e-9, and pixels stay in [0, 1].
    Raises HoldfastError where a perturbation cannot move the map that far. Cost: about 100 IG maps of 50 steps.
    """
    model = random_feature_network(seed=seed)
    data = load_dataset("digits", "test")
    clean, label = to_unit_interval(data.images[[index]]).double(), data.labels[[index]]
    generator = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(2, clean.shape, generator=generator, dtype=torch.float64) - 1
    moved = clean.roll((1, 1), dims=(2, 3))
    perturbed: dict[str, Callable[[float], Tensor]] = {
        "dimmed": lambda strength: (1 - strength) * clean,
        "speckled": lambda strength: (clean + strength * signs).clamp(0, 1),
        "shifted": lambda strength: (1 - strength) * clean + strength * moved,
    }

    def attribution(image: Tensor) -> Tensor:
        return integrated_gradients(model, image, label)

    clean_map = attribution(clean)
    norm = clean_map.abs().sum()

    def moved_by(image: Tensor) -> float:
        return float((attribution(image) - clean_map).abs().sum() / norm)

    images = [clean, *(_at_distance(perturbed[name], moved_by, distance, name) for name in PERTURBATIONS)]
    maps = torch.cat([attribution(image) for image in images]) / norm
    first = maps[:1].expand_as(maps[1:])
    return EqualDistances(
        PERTURBATIONS,
        torch.cat(images)[:, 0].numpy(),
        maps[:, 0].numpy(),
        (maps[1:] - first).abs().flatten(1).sum(1).numpy(),
        kendall_tau(maps[1:], first).numpy(),
        cosine_similarity(maps[1:], first).numpy(),
    )


def _at_distance(
    perturbed: Callable[[float], Tensor], moved_by: Callable[[Tensor], float], distance: float, name: str
) -> Tensor:
    low, high = 0.0, 1.0
    if moved_by(perturbed(high)) < distance:
        raise HoldfastError(f"distance is {distance}; the {name} image moves the map by less: ask for a smaller one.")
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if moved_by(perturbed(middle)) >= distance else (middle, high)
    return perturbed(high)


@dataclass(frozen=True, eq=False)
class Simulation:
    """Figure 2a: Kendall's tau and cosine (vectors,) of random vectors with a fixed one.

    ``gamma`` is Goodman and Kruskal's, over pairs of vectors: 1 where tau always grows with the cosine.
    """

    features: int
    kendall: Vector
    cosine: Vector
    gamma: float


def simulate(
    features: int = 10_000, vectors: int = 1_000, *, mixed: bool, seed: int, law: Law = "exponential"
) -> Simulation:
    """``v = mix u + (1 - mix) noise`` with a fixed u, noise of the same law, and a uniform ``mix`` for each v.

    Without ``mixed`` every mix is 0: v is independent of u. The paper does not say how its vectors were drawn.
    Cost: about 2 seconds for 1,000 vectors of 10,000 features.
    """
    rng = np.random.default_rng(seed)
    u = draw(law, 1, features, rng)
    mix = rng.uniform(size=(vectors, 1)) if mixed else np.zeros((vectors, 1))
    v = torch.from_numpy(mix * u + (1 - mix) * draw(law, vectors, features, rng))
    fixed = torch.from_numpy(u).expand_as(v)
    kendall, cosine = kendall_tau(v, fixed), cosine_similarity(v, fixed)
    return Simulation(features, kendall.numpy(), cosine.numpy(), float(goodman_kruskal_gamma(kendall, cosine)))


def independent_deviation(features: int) -> float:
    """Standard deviation of Kendall's tau of two independent vectors without ties (Kendall, 1948).

    >>> round(independent_deviation(10_000), 4)
    0.0067
    """
    return float(np.sqrt(2 * (2 * features + 5) / (9 * features * (features - 1))))


@dataclass(frozen=True, eq=False)
class Plane:
    """Figure 2c: attributions of two features as points, and the radii of the two networks' arcs.

    ``nearer`` and ``wider`` (the paper's x' and x'') lie at one distance from ``clean``; ``longer`` (x''') is
    long and turned away; ``perturbed`` and ``trained`` are x~ under g and under g*, at one angle to ``clean``.
    """

    radius: float
    trained_radius: float
    clean: Point
    nearer: Point
    wider: Point
    longer: Point
    perturbed: Point
    trained: Point


def plane(
    radius: float = 1.0, trained_radius: float = 1.6, clean_degrees: float = 42.0, distance: float = 0.35
) -> Plane:
    """The points of Figure 2c. ``wider`` is where a line from the origin touches the circle around ``clean``.

    No point at ``distance`` from ``clean`` has a smaller cosine with it than that one; ``nearer`` lies on the
    ray through ``clean``, at cosine 1.
    """
    clean = _polar(radius, clean_degrees)
    widest = float(np.degrees(np.arcsin(distance / radius)))
    return Plane(
        radius,
        trained_radius,
        clean,
        _polar(radius + distance, clean_degrees),
        _polar(float(np.sqrt(radius**2 - distance**2)), clean_degrees + widest),
        _polar(1.85 * radius, clean_degrees + 36),
        _polar(radius, clean_degrees - 25),
        _polar(trained_radius, clean_degrees - 25),
    )


def _polar(radius: float, degrees: float) -> Point:
    return radius * float(np.cos(np.radians(degrees))), radius * float(np.sin(np.radians(degrees)))
