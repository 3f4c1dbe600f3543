"""Section 4 and Figures 1 and 2a statement by statement: distances, angles and rank correlations of attributions."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from holdfast.paper.theory.geometry import equal_distances, independent_deviation, simulate
from holdfast.paper.theory.scale import scaled_count
from holdfast.report.claim import Z_LIMIT, Claim, exact_verdict, sign_verdict

SPREAD = 0.2
SHOWN_IN = ("figure1", "figure1", "figure2a", "figure2c")
"""The figure of each claim of `attribution_space`."""


def attribution_space(scale: float = 1.0, seed: int = 0) -> list[Claim]:
    """Figure 1 on the shipped digits, Figure 2a simulated, and the bound on the length of an attribution.

    ``scale`` multiplies the number of digits, of vectors and of their features: 1 takes about 5 seconds.
    """
    digits = [equal_distances(i, seed=seed) for i in range(scaled_count(scale, 20, 3))]
    spreads = np.array([np.ptp(digit.kendall) for digit in digits])
    same_order = [(rankdata(digit.kendall) == rankdata(digit.cosine)).all() for digit in digits]
    features, vectors = scaled_count(scale, 10_000, 500), scaled_count(scale, 1000, 50)
    mixed = simulate(features, vectors, mixed=True, seed=seed)
    independent = simulate(features, vectors, mixed=False, seed=seed)
    z = mixed.gamma / independent_deviation(vectors)
    signed = np.array([3.0, -2.0])
    return [
        Claim(
            "At one l1 distance from the clean map, attributions can differ widely in Kendall's tau (Figure 1)",
            exact_verdict(bool(spreads.max() > SPREAD)),
            f"three maps at distance 0.7 of {len(digits)} digits: largest less smallest tau is {spreads.min():.2f} to "
            f"{spreads.max():.2f}, {spreads.mean():.2f} in the mean",
            f"one digit with a range of tau above {SPREAD} decides",
        ),
        Claim(
            "At one l1 distance the cosine always orders attributions as tau does (Figure 1)",
            "cannot be told" if all(same_order) else "does not hold",
            f"the same order of the three maps in {sum(same_order)} of {len(digits)} digits",
            "one counterexample decides",
        ),
        Claim(
            "Kendall's tau and the cosine of simulated vectors grow together (Figure 2a)",
            sign_verdict(z),
            f"gamma {mixed.gamma:.3f} for vectors mixed with u in random parts, {z:.0f} standard deviations of "
            f"unrelated numbers above 0; {independent.gamma:.3f} for independent vectors, whose tau hardly varies "
            f"(standard deviation {independent.kendall.std():.4f}, {independent_deviation(features):.4f} expected)",
            f"{vectors} exp(1) vectors of {features} features; gamma above 0 by more than {Z_LIMIT:.0f} deviations",
        ),
        Claim(
            "The l2 norm of an attribution is at most the logit, its sum (Section 4, point ii), signs allowed",
            exact_verdict(bool(np.linalg.norm(signed) <= signed.sum())),
            f"{signed.tolist()} has norm {np.linalg.norm(signed):.2f} and sum {signed.sum():.0f}; for maps that are "
            "nowhere negative it holds, as the squares of a sum contain the sum of the squares",
            "one counterexample decides",
        ),
    ]
