"""Training objectives: one method, one class, ``objective(model, x, y) -> LossOutput``."""

from holdfast.objectives.adversarial import AT, MART, TRADES, Standard
from holdfast.objectives.base import LossOutput, Objective
from holdfast.objectives.igr import IGR

__all__ = ["AT", "IGR", "MART", "TRADES", "LossOutput", "Objective", "Standard"]
