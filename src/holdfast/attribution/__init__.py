"""Feature attributions that can be differentiated."""

from holdfast.attribution.compiled import compiled_gradients
from holdfast.attribution.igr import igr_penalty
from holdfast.attribution.integrated_gradients import integrated_gradients

__all__ = ["compiled_gradients", "igr_penalty", "integrated_gradients"]
