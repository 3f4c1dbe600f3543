"""What a training objective is: a part called on (model, x, y) that returns a loss, its parts and its x_adv."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.models.state import Model
from holdfast.parts import Part


@dataclass(frozen=True)
class LossOutput:
    """A scalar ``loss`` to call ``backward()`` on, its detached ``parts`` by name, and the images attacked."""

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    x_adv: Tensor | None = None


@dataclass(frozen=True)
class Objective(Part, ABC):
    """``objective(model, x, y)``: the model is used in the mode it is in; attacks run in evaluation mode.

    One of your own is a frozen dataclass that defines ``__call__``; the rest tells tables and estimates about it.
    """

    kind: ClassVar[str] = "objective"
    package: ClassVar[str | tuple[str, ...]] = "holdfast.objectives"
    formula: ClassVar[str] = ""
    """The loss in LaTeX, for pages."""
    chooses_by: ClassVar[Literal["adversarial", "natural"]] = "adversarial"
    """The held-out accuracy that the best checkpoint is chosen by."""

    @abstractmethod
    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        """The loss of a batch; ``generator`` is the source of all randomness, None draws a fresh seed."""

    @property
    def cost(self) -> float:
        """Forward passes per image of a training step, attack and gradient included, for a piecewise-linear network."""
        return 3.0


def check_output(objective: Objective, output: object) -> None:
    """Raise unless an objective returned a `LossOutput` whose loss is one number with a gradient."""
    name = type(objective).__name__
    if not isinstance(output, LossOutput) or not isinstance(output.loss, Tensor):
        loss = output.loss if isinstance(output, LossOutput) else output
        raise HoldfastError(
            f"the objective {name} returned {type(loss).__name__}; return holdfast.LossOutput(loss) with a tensor."
        )
    if output.loss.ndim or not all(isinstance(part, Tensor) and not part.ndim for part in output.parts.values()):
        shape = tuple(output.loss.shape)
        raise HoldfastError(
            f"the objective {name} returned a loss of shape {shape}, or parts that are no scalar tensors; return the "
            "mean over the batch of each."
        )
    if not output.loss.requires_grad:
        raise HoldfastError(
            f"the loss of the objective {name} has no gradient to the weights; compute it without detach, item, NumPy "
            "or no_grad."
        )


def combine(x_adv: Tensor | None, **parts: tuple[float, Tensor]) -> LossOutput:
    """``sum(weight * term)`` with each unweighted term kept by name.

    >>> combine(None, ce=(1.0, torch.tensor(2.0)), kl=(6.0, torch.tensor(0.5))).loss
    tensor(5.)
    """
    loss = sum(weight * term for weight, term in parts.values())
    assert isinstance(loss, Tensor)
    return LossOutput(loss, {name: term.detach() for name, (_, term) in parts.items()}, x_adv)
