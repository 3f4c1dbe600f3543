"""Feature attributions that can be differentiated."""

from holdfast.attribution._interim import IntegratedGradients, attribution_penalty
from holdfast.attribution.igr import igr_penalty
from holdfast.attribution.integrated_gradients import integrated_gradients

__all__ = ["IntegratedGradients", "attribution_penalty", "igr_penalty", "integrated_gradients"]
