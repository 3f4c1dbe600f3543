"""Attacks on predictions and on attributions, called as ``attack(model, x, y)``."""

from holdfast.attacks.attribution_attack import AttributionAttack, Found
from holdfast.attacks.base import Attack
from holdfast.attacks.goals import Goal, KendallGoal, MassCenterGoal, TopKGoal
from holdfast.attacks.ifia import IFIA, RandomSigns
from holdfast.attacks.pgd import FGSM, PGD, TPGD, CWInf

__all__ = [
    "Attack",
    "AttributionAttack",
    "CWInf",
    "FGSM",
    "Found",
    "Goal",
    "IFIA",
    "KendallGoal",
    "MassCenterGoal",
    "PGD",
    "RandomSigns",
    "TPGD",
    "TopKGoal",
]
