"""Networks, the user's own ones, and what can be done to them without editing their code."""

from holdfast.models.built_in import ResNet18, SmallCNN
from holdfast.models.find import find_model, load_model
from holdfast.models.libraries import FoundModel
from holdfast.models.resolve import build_model
from holdfast.models.state import Model, evaluating
from holdfast.models.surrogate import SurrogateCheck, check_surrogate
from holdfast.models.twin import SoftplusTwin

__all__ = [
    "FoundModel",
    "Model",
    "ResNet18",
    "SmallCNN",
    "SoftplusTwin",
    "SurrogateCheck",
    "build_model",
    "check_surrogate",
    "evaluating",
    "find_model",
    "load_model",
]
