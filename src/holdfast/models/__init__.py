"""Networks, the user's own ones, and what can be done to them without editing their code."""

from holdfast.models.gates import SoftplusTwin
from holdfast.models.load import load_model
from holdfast.models.resnet import ResNet18
from holdfast.models.resolve import build_model
from holdfast.models.small_cnn import SmallCNN
from holdfast.models.state import Model, evaluating

__all__ = ["Model", "ResNet18", "SmallCNN", "SoftplusTwin", "build_model", "evaluating", "load_model"]
