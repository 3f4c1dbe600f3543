"""Attacks on predictions and on attributions, called as ``attack(model, x, y)``."""

from holdfast.attacks.annealed import AnnealedIFIA
from holdfast.attacks.apgd import APGD
from holdfast.attacks.attribution_attack import AttributionAttack, Found
from holdfast.attacks.auto import AutoIFIA
from holdfast.attacks.auto_attack import AutoAttack
from holdfast.attacks.auto_found import AutoFound
from holdfast.attacks.base import Attack
from holdfast.attacks.block_search import BlockSearch
from holdfast.attacks.fab import FAB
from holdfast.attacks.goals import (
    CosineGoal,
    Goal,
    KendallGoal,
    MassCenterGoal,
    PearsonGoal,
    SoftTopKGoal,
    SpearmanGoal,
    TargetGoal,
    TopKGoal,
)
from holdfast.attacks.ifia import IFIA, RandomSigns
from holdfast.attacks.pgd import FGSM, PGD, TPGD, CWInf
from holdfast.attacks.square import Square

__all__ = [
    "APGD",
    "AnnealedIFIA",
    "Attack",
    "AttributionAttack",
    "AutoAttack",
    "AutoFound",
    "AutoIFIA",
    "BlockSearch",
    "CWInf",
    "CosineGoal",
    "FAB",
    "FGSM",
    "Found",
    "Goal",
    "IFIA",
    "KendallGoal",
    "MassCenterGoal",
    "PGD",
    "PearsonGoal",
    "RandomSigns",
    "SoftTopKGoal",
    "SpearmanGoal",
    "Square",
    "TPGD",
    "TargetGoal",
    "TopKGoal",
]
