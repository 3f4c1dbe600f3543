"""The rows of the paper's tables, and the variants beside them: each a function from a setup to an objective."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.attacks import PGD, TPGD
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import (
    ART,
    AT,
    IGR,
    LGA,
    MART,
    R2ET,
    SSR,
    TRADES,
    AdvAAT,
    AdvAATAttack,
    ARTAttack,
    IGNorm,
    IGNormAttack,
    IGRAttack,
    IGSumNorm,
    IGSumNormAttack,
    Objective,
    Standard,
)
from holdfast.recipes.setups import CODE, Budget, Setup


def _pgd(s: Setup) -> PGD:
    return PGD(s.budget.eps, s.budget.alpha, s.budget.steps)


def _tpgd(s: Setup) -> TPGD:
    return TPGD(s.budget.eps, s.budget.alpha, s.budget.steps)


def _path(n_steps: int) -> IntegratedGradients:
    return IntegratedGradients(n_steps, method="riemann_right")


def _igr(s: Setup, base: Objective) -> IGR:
    return IGR(base, s.igr.lam, _path(s.igr.n_steps), s.igr.share)


def standard(s: Setup) -> Objective:
    """Cross-entropy on clean images."""
    return Standard()


def ig_norm(s: Setup) -> Objective:
    """IG-NORM (Chen et al., 2019)."""
    b, r = s.budget, s.rivals
    return IGNorm(IGNormAttack(b.eps, b.alpha, b.steps, n_steps=r.attack_n_steps), 1.0, r.n_steps)


def ig_sum_norm(s: Setup) -> Objective:
    """IG-SUM-NORM (Chen et al., 2019)."""
    b, r = s.budget, s.rivals
    return IGSumNorm(IGSumNormAttack(b.eps, b.alpha, b.steps, lam=0.1, n_steps=r.attack_n_steps), 0.1, r.n_steps)


def advaat(s: Setup) -> Objective:
    """AdvAAT (Ivankay et al., 2020)."""
    b, r = s.budget, s.rivals
    attack = AdvAATAttack(b.eps, b.alpha, b.steps, lam=1.0, attribution=_path(r.attack_n_steps))
    return AdvAAT(attack, 1.0, _path(r.n_steps))


def art(s: Setup) -> Objective:
    """ART (Singh et al., 2020)."""
    b: Budget = s.rivals.art_attack or s.budget
    return ART(ARTAttack(b.eps, b.alpha, b.steps, k=s.rivals.k), lam=0.5)


def ssr(s: Setup) -> Objective:
    """SSR (Wang et al., 2020)."""
    return SSR(6.6)


def at(s: Setup) -> Objective:
    """Adversarial training (Madry et al., 2018)."""
    return AT(_pgd(s))


def trades(s: Setup) -> Objective:
    """TRADES (Zhang et al., 2019)."""
    return TRADES(_tpgd(s), s.trades_beta)


def mart(s: Setup) -> Objective:
    """MART (Wang et al., 2020)."""
    return MART(_pgd(s), s.mart_beta)


def at_igr(s: Setup) -> Objective:
    """AT with the integrated gradients regulariser (Eq. 3)."""
    return _igr(s, at(s))


def trades_igr(s: Setup) -> Objective:
    """TRADES with the integrated gradients regulariser (Eq. 3)."""
    return _igr(s, trades(s))


def mart_igr(s: Setup) -> Objective:
    """MART with the integrated gradients regulariser (Eq. 3)."""
    return _igr(s, mart(s))


def standard_igr(s: Setup) -> Objective:
    """Eq. 3 over standard training; PGD images serve the regulariser alone."""
    return _igr(s, Standard(_pgd(s)))


def at_igr_own(s: Setup) -> Objective:
    """AT with IGR against its own adversary (Eq. 5)."""
    b = s.budget
    return IGR(at(s), s.igr.lam, _path(s.igr.n_steps), s.igr.share, IGRAttack(b.eps, b.alpha, b.steps))


def trades_printed(s: Setup) -> Objective:
    """TRADES as Table 1 prints it: cross-entropy at the adversarial image."""
    return TRADES(_tpgd(s), s.trades_beta, clean=False)


def trades_printed_igr(s: Setup) -> Objective:
    """The same with the integrated gradients regulariser."""
    return _igr(s, trades_printed(s))


def lga(s: Setup) -> Objective:
    """LGA, local gradient alignment (Joo et al., 2023); not in the paper."""
    return LGA(s.budget.eps)


def r2et(s: Setup) -> Objective:
    """R2ET, ranking thickness (Chen et al., 2024); not in the paper."""
    return R2ET(s.rivals.k)


TABLE2 = (
    "standard", "ig-norm", "ig-sum-norm", "advaat", "art", "ssr",
    "at", "at-igr", "trades", "trades-igr", "mart", "mart-igr",
)  # fmt: skip
"""The rows of Table 2 in its order."""

TABLE3 = TABLE2[6:]
"""The rows of Table 3; three data sets make its 18 cells a column."""

METHODS: dict[str, Callable[[Setup], Objective]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        standard, ig_norm, ig_sum_norm, advaat, art, ssr, at, at_igr, trades, trades_igr, mart, mart_igr,
        standard_igr, at_igr_own, trades_printed, trades_printed_igr, lga, r2et,
    )
}  # fmt: skip

METHOD_ORIGINS: dict[tuple[str, str], str] = {
    ("ig-norm", "lam"): CODE,
    ("ig-sum-norm", "lam"): CODE,
    ("art", "lam"): CODE,
    ("art", "surrogate_beta"): CODE,
}
"""Values of single methods that come from their own published code."""
