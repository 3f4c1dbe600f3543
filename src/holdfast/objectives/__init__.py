"""Training objectives: one method, one class, ``objective(model, x, y) -> LossOutput``."""

from holdfast.objectives.advaat import AdvAAT, AdvAATAttack
from holdfast.objectives.art import ART, ARTAttack
from holdfast.objectives.base import AT, MART, TRADES, LossOutput, Objective, Standard
from holdfast.objectives.ig_norm import IGNorm, IGNormAttack, IGSumNorm, IGSumNormAttack
from holdfast.objectives.igr import IGR, IGRAttack
from holdfast.objectives.lga import LGA
from holdfast.objectives.r2et import R2ET
from holdfast.objectives.ssr import SSR

__all__ = [
    "ART",
    "ARTAttack",
    "AT",
    "AdvAAT",
    "AdvAATAttack",
    "IGNorm",
    "IGNormAttack",
    "IGR",
    "IGRAttack",
    "IGSumNorm",
    "IGSumNormAttack",
    "LGA",
    "LossOutput",
    "MART",
    "Objective",
    "R2ET",
    "SSR",
    "Standard",
    "TRADES",
]
