"""The rows of the paper's tables, and the variants beside them: each a function from a setup. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.config import ObjectiveConfig, ObjectiveName, TrainConfig
from holdfast.recipes.setups import CODE, Setup


def _plain(s: Setup, objective: ObjectiveConfig) -> TrainConfig:
    return replace(s.base, objective=objective, igr=replace(s.igr, lam=0.0))


def _rival(s: Setup, name: ObjectiveName, lam: float, surrogate_beta: float = 50.0) -> TrainConfig:
    rivals = s.rivals
    objective = ObjectiveConfig(
        name, 0.0, lam, rivals.n_steps, rivals.attack_n_steps, surrogate_beta=surrogate_beta, k=rivals.k
    )
    return _plain(s, objective)


def standard(s: Setup) -> TrainConfig:
    """Cross-entropy on clean images."""
    return _plain(s, ObjectiveConfig("standard", beta=0.0))


def ig_norm(s: Setup) -> TrainConfig:
    """IG-NORM (Chen et al., 2019)."""
    return _rival(s, "ig-norm", lam=1.0)


def ig_sum_norm(s: Setup) -> TrainConfig:
    """IG-SUM-NORM (Chen et al., 2019)."""
    return _rival(s, "ig-sum-norm", lam=0.1)


def advaat(s: Setup) -> TrainConfig:
    """AdvAAT (Ivankay et al., 2020)."""
    return _rival(s, "advaat", lam=1.0)


def art(s: Setup) -> TrainConfig:
    """ART (Singh et al., 2020)."""
    config = _rival(s, "art", lam=0.5)
    return config if s.rivals.art_attack is None else replace(config, attack=s.rivals.art_attack)


def ssr(s: Setup) -> TrainConfig:
    """SSR (Wang et al., 2020)."""
    return _rival(s, "ssr", lam=6.6)


def at(s: Setup) -> TrainConfig:
    """Adversarial training (Madry et al., 2018)."""
    return _plain(s, ObjectiveConfig("at", beta=0.0))


def trades(s: Setup) -> TrainConfig:
    """TRADES (Zhang et al., 2019)."""
    return _plain(s, ObjectiveConfig("trades", beta=s.trades_beta))


def mart(s: Setup) -> TrainConfig:
    """MART (Wang et al., 2020)."""
    return _plain(s, ObjectiveConfig("mart", beta=s.mart_beta))


def at_igr(s: Setup) -> TrainConfig:
    """AT with the integrated gradients regulariser (Eq. 3)."""
    return replace(at(s), igr=s.igr)


def trades_igr(s: Setup) -> TrainConfig:
    """TRADES with the integrated gradients regulariser (Eq. 3)."""
    return replace(trades(s), igr=s.igr)


def mart_igr(s: Setup) -> TrainConfig:
    """MART with the integrated gradients regulariser (Eq. 3)."""
    return replace(mart(s), igr=s.igr)


def standard_igr(s: Setup) -> TrainConfig:
    """Eq. 3 over standard training; PGD images serve the regulariser alone."""
    return replace(standard(s), igr=s.igr)


def at_igr_own(s: Setup) -> TrainConfig:
    """AT with IGR against its own adversary (Eq. 5)."""
    return replace(at(s), igr=replace(s.igr, adversary="own"))


def trades_printed(s: Setup) -> TrainConfig:
    """TRADES as Table 1 prints it: cross-entropy at the adversarial image."""
    return _plain(s, ObjectiveConfig("trades-printed", beta=s.trades_beta))


def trades_printed_igr(s: Setup) -> TrainConfig:
    """The same with the integrated gradients regulariser."""
    return replace(trades_printed(s), igr=s.igr)


def lga(s: Setup) -> TrainConfig:
    """LGA, local gradient alignment (Joo et al., 2023); not in the paper."""
    return _rival(s, "lga", lam=1.0)


def r2et(s: Setup) -> TrainConfig:
    """R2ET, ranking thickness (Chen et al., 2024); not in the paper."""
    return _rival(s, "r2et", lam=1.0)


TABLE2: dict[str, str] = {
    "standard": "Standard",
    "ig-norm": "IG-NORM",
    "ig-sum-norm": "IG-SUM-NORM",
    "advaat": "AdvAAT",
    "art": "ART",
    "ssr": "SSR",
    "at": "AT",
    "at-igr": "AT+IGR",
    "trades": "TRADES",
    "trades-igr": "TRADES+IGR",
    "mart": "MART",
    "mart-igr": "MART+IGR",
}
"""The rows of Table 2 in its order, as the paper writes them."""

TABLE3 = ("at", "at-igr", "trades", "trades-igr", "mart", "mart-igr")
"""The rows of Table 3; three data sets make its 18 cells a column."""

TITLES = TABLE2 | {
    "standard-igr": "Standard+IGR",
    "at-igr-own": "AT+IGR (Eq. 5)",
    "trades-printed": "TRADES (Table 1)",
    "trades-printed-igr": "TRADES (Table 1)+IGR",
    "lga": "LGA",
    "r2et": "R2ET",
}

METHODS: dict[str, Callable[[Setup], TrainConfig]] = {
    "standard": standard,
    "ig-norm": ig_norm,
    "ig-sum-norm": ig_sum_norm,
    "advaat": advaat,
    "art": art,
    "ssr": ssr,
    "at": at,
    "at-igr": at_igr,
    "trades": trades,
    "trades-igr": trades_igr,
    "mart": mart,
    "mart-igr": mart_igr,
    "standard-igr": standard_igr,
    "at-igr-own": at_igr_own,
    "trades-printed": trades_printed,
    "trades-printed-igr": trades_printed_igr,
    "lga": lga,
    "r2et": r2et,
}

METHOD_ORIGINS: dict[tuple[str, str], str] = {
    ("ig-norm", "objective.lam"): CODE,
    ("ig-sum-norm", "objective.lam"): CODE,
    ("art", "objective.lam"): CODE,
    ("art", "objective.surrogate_beta"): CODE,
}
"""Values of single methods that come from their own published code."""
