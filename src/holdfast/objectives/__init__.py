"""Training objectives: one method, one class, ``objective(model, x, y) -> LossOutput``."""

from holdfast.objectives.advaat import AdvAAT, AdvAATAttack
from holdfast.objectives.adversarial import AT, MART, TRADES, Standard
from holdfast.objectives.base import LossOutput, Objective
from holdfast.objectives.ig_norm import IGNorm, IGNormAttack, IGSumNorm, IGSumNormAttack
from holdfast.objectives.igr import IGR, IGRAttack

__all__ = [
    "AT",
    "AdvAAT",
    "AdvAATAttack",
    "IGNorm",
    "IGNormAttack",
    "IGR",
    "IGRAttack",
    "IGSumNorm",
    "IGSumNormAttack",
    "LossOutput",
    "MART",
    "Objective",
    "Standard",
    "TRADES",
]
