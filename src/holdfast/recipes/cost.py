"""What a run costs in forward passes of one image (F), counted from its configuration. No torch here."""

from __future__ import annotations

from holdfast.config import EvalConfig, TrainConfig

IG_GRADIENT = 4
"""F a path point: the gradient of a function of integrated gradients, graph in memory."""
SMOOTH_GRADIENT = 6
"""The same for the cross-entropy in place of a logit, whose curvature does not vanish."""


def training_cost(config: TrainConfig) -> int:
    """Forward passes an image and epoch: attack, loss, and the attribution term.

    >>> from holdfast.recipes import recipe
    >>> training_cost(recipe("mnist-at")), training_cost(recipe("mnist-at-igr"))
    (83, 163)
    """
    objective, igr, steps = config.objective, config.igr, config.attack.steps
    points, attack_points = objective.n_steps, objective.attack_n_steps
    attack, loss = {
        "standard": (2 if igr.lam and igr.adversary == "base" else 0, 3),
        "at": (2, 3),
        "trades": (2, 7),
        "trades-printed": (2, 7),
        "mart": (2, 6),
        "ig-norm": (IG_GRADIENT * attack_points, 3 + SMOOTH_GRADIENT * points),
        "ig-sum-norm": (IG_GRADIENT * attack_points + 2, 3 + SMOOTH_GRADIENT * points),
        "advaat": (IG_GRADIENT * attack_points + 2, 3 + 2 * IG_GRADIENT * points),
        "art": (6, 23),
        "ssr": (0, 20),
        "lga": (0, 9),
        "r2et": (0, 26),
    }[objective.name]
    total = loss + attack * steps
    if igr.lam:
        total += 2 * IG_GRADIENT * igr.n_steps
        if igr.adversary == "own":
            total += IG_GRADIENT * objective.attack_n_steps * steps
    return total


def evaluation_cost(config: EvalConfig) -> tuple[int, int]:
    """Forward passes of (an image whose prediction is attacked, an image whose attribution is attacked).

    >>> evaluation_cost(EvalConfig())
    (185, 48800)
    """
    prediction = 3 + 2 * (1 + 20 + 40 + config.cw_steps)
    ifia = config.ifia
    found = 2 * config.score_n_steps
    attack = ifia.restarts * ifia.steps * (IG_GRADIENT + 2) * ifia.n_steps
    return prediction, 2 * attack + config.random_draws * 2 * ifia.n_steps + 4 * found
