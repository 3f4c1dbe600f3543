"""Feature attributions that can be differentiated, and penalties made of them."""

from holdfast.attribution.base import Attribution
from holdfast.attribution.compare import attribution_penalty, igr_penalty
from holdfast.attribution.external import External
from holdfast.attribution.gradcam import GradCAM
from holdfast.attribution.gradients import ExpectedGradients, InputXGradient, Saliency, SmoothGrad
from holdfast.attribution.integrated_gradients import IntegratedGradients, integrated_gradients

__all__ = [
    "Attribution",
    "ExpectedGradients",
    "External",
    "GradCAM",
    "InputXGradient",
    "IntegratedGradients",
    "Saliency",
    "SmoothGrad",
    "attribution_penalty",
    "igr_penalty",
    "integrated_gradients",
]
