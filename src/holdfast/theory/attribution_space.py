"""Section 4 and Figures 1 and 2a statement by statement: distances, angles and rank correlations of attributions."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from holdfast.theory.claim import Claim, exact_verdict, scaled_count
from holdfast.theory.geometry import equal_distances, independent_deviation, simulate

SPREAD = 0.2


def attribution_space(scale: float = 1.0, seed: int = 0) -> list[Claim]:
    """Figure 1 on the shipped digits, Figure 2a simulated, and the bound on the length of an attribution.

    ``scale`` multiplies the number of digits, of vectors and of their features: 1 takes about ten seconds.
    """
    digits = [equal_distances(i, seed=seed) for i in range(scaled_count(scale, 20, 3))]
    spreads = np.array([np.ptp(digit.kendall) for digit in digits])
    same_order = [(rankdata(digit.kendall) == rankdata(digit.cosine)).all() for digit in digits]
    features, vectors = scaled_count(scale, 10_000, 500), scaled_count(scale, 1000, 50)
    mixed = simulate(features, vectors, mixed=True, seed=seed)
    independent = simulate(features, vectors, mixed=False, seed=seed)
    signed = np.array([3.0, -2.0])
    return [
        Claim(
            "Perturbed attributions at one l1 distance from the clean one can differ widely in Kendall's tau (Figure 1)",
            exact_verdict(bool((spreads > SPREAD).all())),
            f"three maps at distance 0.7 of {len(digits)} digits: largest less smallest tau is {spreads.min():.2f} to "
            f"{spreads.max():.2f}",
            f"every digit's range of tau above {SPREAD}",
        ),
        Claim(
            "At one l1 distance the cosine always orders attributions as tau does (Figure 1)",
            exact_verdict(all(same_order)),
            f"the same order of the three maps in {sum(same_order)} of {len(digits)} digits",
            "one counterexample decides",
        ),
        Claim(
            "Kendall's tau and the cosine of simulated vectors grow together (Figure 2a)",
            exact_verdict(mixed.gamma > 0.9),
            f"gamma {mixed.gamma:.3f} for vectors mixed with u in random parts, {independent.gamma:.3f} for independent "
            f"ones, whose tau hardly varies (standard deviation {independent.kendall.std():.4f}, "
            f"{independent_deviation(features):.4f} expected)",
            f"{vectors} exp(1) vectors of {features} features; gamma of mixed vectors above 0.9",
        ),
        Claim(
            "The l2 norm of an attribution is at most the logit, its sum (Section 4, point ii), signs allowed",
            exact_verdict(bool(np.linalg.norm(signed) <= signed.sum())),
            f"{signed.tolist()} has norm {np.linalg.norm(signed):.2f} and sum {signed.sum():.0f}; for maps that are "
            "nowhere negative it holds, as the squares of a sum contain the sum of the squares",
            "one counterexample decides",
        ),
    ]
