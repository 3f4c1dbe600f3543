"""Proposition 2 statement by statement: the squared norm, the norm, and what the assumptions are for."""

from __future__ import annotations

from holdfast.paper.theory.gradient_norm import (
    expected_distance,
    identical_units,
    orthogonal_units,
    random_network_pairs,
    sampled_distances,
    with_pixels,
)
from holdfast.paper.theory.scale import scaled_count
from holdfast.report.claim import Claim, exact_verdict

FEATURES = 50
MANY_Z_LIMIT = 5.0


def proposition2(scale: float = 1.0, seed: int = 0) -> list[Claim]:
    """Proposition 2 with the norm squared and as printed, and its two assumptions.

    ``scale`` multiplies the number of random networks and draws: 1 takes about a second. All random numbers come from
    ``seed``.
    """
    draws = scaled_count(scale, 4000, 200)
    pairs = random_network_pairs(scaled_count(scale, 200, 20), draws, seed)
    total, fewer = len(pairs.squared), int(pairs.fewer.sum())
    in_order = pairs.squared[:, 0] < pairs.squared[:, 1]
    psi, phi = expected_distance(orthogonal_units(FEATURES)), expected_distance(identical_units(FEATURES))
    drawn = [sampled_distances(f(FEATURES), draws, seed).mean() for f in (orthogonal_units, identical_units)]
    pixel_psi, pixel_phi = (
        expected_distance(with_pixels(f(FEATURES // 2))) for f in (orthogonal_units, identical_units)
    )
    large = orthogonal_units(FEATURES)
    large_squared = expected_distance(large._replace(weights=2 * large.weights)).squared
    return [
        Claim(
            "The expected squared norm of the difference of the two gradients is smaller for psi (Eqs. 43 and 44)",
            exact_verdict(bool(in_order[pairs.fewer].all()) and pairs.greatest_z <= MANY_Z_LIMIT),
            f"in {int(in_order[pairs.fewer].sum())} of {fewer} random pairs of networks that meet both assumptions; "
            f"the closed form lies within {pairs.greatest_z:.1f} standard errors of draws of u in {2 * total} networks",
            f"closed form, and {draws} draws of u for each network; refuted by one pair, or by one network beyond "
            f"{MANY_Z_LIMIT:.0f} standard errors",
        ),
        Claim(
            "The expected norm, not squared, is smaller for psi (Eqs. 9 and 45 as printed)",
            exact_verdict(psi.norm < phi.norm and pixel_psi.norm < pixel_phi.norm),
            f"{psi.changed_units} orthogonal units against {phi.changed_units} equal ones, d = {FEATURES}: norm "
            f"{psi.norm:.3f} > {phi.norm:.3f}, although squared {psi.squared:.1f} < {phi.squared:.1f} (drawn: "
            f"{drawn[0]:.3f} and {drawn[1]:.3f}); with pixels in [0, 1]: {pixel_psi.norm:.3f} > {pixel_phi.norm:.3f}; "
            f"in the random pairs the order held in {int((pairs.norm[:, 0] < pairs.norm[:, 1]).sum())} of {total}",
            "numerical integration of the exact expression; one counterexample decides",
        ),
        Claim(
            "The assumption |N(psi)| < |N(phi)| is needed",
            exact_verdict(not in_order[~pairs.fewer].all()),
            f"of {total - fewer} random pairs that meet the other assumption and not this one, "
            f"{int(in_order[~pairs.fewer].sum())} have the smaller squared norm for psi: gamma times psi's mean below "
            "phi's says that already, feature by feature",
            "closed form",
        ),
        Claim(
            "The assumption |N(psi)| < |N(phi)| is enough: fewer units that change state bring the gradients closer",
            exact_verdict(large_squared < phi.squared),
            f"{psi.changed_units} orthogonal units of twice the weights against the same {phi.changed_units}: squared "
            f"norm {large_squared:.0f} > {phi.squared:.0f}",
            "closed form; one counterexample decides",
        ),
    ]
