"""What a training objective is, a part called on (model, x, y), and those of adversarial training: AT, TRADES, MART."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.attacks import PGD, TPGD, Attack
from holdfast.models.state import Model
from holdfast.parts import Part
from holdfast.validate import check_positive


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
    chooses_by: ClassVar[Literal["adversarial", "natural"]] = "adversarial"
    """The held-out accuracy that the best checkpoint is chosen by."""

    @abstractmethod
    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        """The loss of a batch; ``generator`` is the source of all randomness, None draws a fresh seed."""

    @property
    def cost(self) -> float:
        """Forward passes per image of a training step, attack and gradient included, for a piecewise-linear network."""
        return 3.0


def combine(x_adv: Tensor | None, **parts: tuple[float, Tensor]) -> LossOutput:
    """``sum(weight * term)`` with each unweighted term kept by name.

    >>> combine(None, ce=(1.0, torch.tensor(2.0)), kl=(6.0, torch.tensor(0.5))).loss
    tensor(5.)
    """
    loss = sum(weight * term for weight, term in parts.values())
    assert isinstance(loss, Tensor)
    return LossOutput(loss, {name: term.detach() for name, (_, term) in parts.items()}, x_adv)


@dataclass(frozen=True)
class Standard(Objective):
    """``CE(f(x), y)``.

    Args:
        attack: an attack whose images the result carries as ``x_adv``, for `IGR` to compare with; the loss
            ignores them. None attacks nothing.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> out = Standard()(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1]))
    >>> list(out.parts), out.x_adv
    (['ce'], None)
    """

    chooses_by: ClassVar[Literal["adversarial", "natural"]] = "natural"

    attack: Attack | None = None

    @property
    def cost(self) -> float:
        return 3.0 + (0.0 if self.attack is None else self.attack.cost)

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        x_adv = None if self.attack is None else self.attack(model, x, y, generator=generator)
        return combine(x_adv, ce=(1.0, F.cross_entropy(model(x), y)))


@dataclass(frozen=True)
class AT(Objective):
    """Adversarial training: ``CE(f(x_adv), y)``, x_adv from PGD on the cross-entropy (Madry et al., 2018).

    Args:
        attack: makes x_adv.

    >>> from holdfast.attacks import PGD
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> at = AT(PGD(eps=0.1, alpha=0.05, steps=3))
    >>> at(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).x_adv.shape
    torch.Size([3, 1, 2, 2])
    """

    attack: Attack = PGD()

    @property
    def cost(self) -> float:
        return 3.0 + self.attack.cost

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        x_adv = self.attack(model, x, y, generator=generator)
        return combine(x_adv, ce=(1.0, F.cross_entropy(model(x_adv), y)))


@dataclass(frozen=True)
class TRADES(Objective):
    """``CE(f(x), y) + beta * KL(p(x) || p(x_adv))``, x_adv from `TPGD` (Zhang et al., 2019).

    This is the published method. The paper's Table 1 prints the cross-entropy at x_adv instead.

    Args:
        attack: makes x_adv; the method's own is `TPGD`.
        beta: weight of the divergence.
        clean: False puts the cross-entropy at x_adv, as Table 1 prints it.
    """

    attack: Attack = TPGD()
    beta: float = 6.0
    clean: bool = True

    def __post_init__(self) -> None:
        check_positive("beta", self.beta, zero=True)

    @property
    def title(self) -> str:
        return "TRADES" if self.clean else "TRADES (Table 1)"

    @property
    def cost(self) -> float:
        return 7.0 + self.attack.cost

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        x_adv = self.attack(model, x, y, generator=generator)
        clean, adversarial = model(x), model(x_adv)
        kl = F.kl_div(
            F.log_softmax(adversarial, dim=1), F.log_softmax(clean, dim=1), reduction="batchmean", log_target=True
        )
        ce = F.cross_entropy(clean if self.clean else adversarial, y)
        return combine(x_adv, ce=(1.0, ce), kl=(self.beta, kl))


@dataclass(frozen=True)
class MART(Objective):
    """Misclassification-aware adversarial training (Wang et al., 2020; paper, Table 1).

    ``BCE(p(x_adv), y) + beta * mean[KL(p(x) || p(x_adv)) (1 - p_y(x))]`` where the boosted cross-entropy
    adds ``-log(1 - p_j(x_adv))`` of the most likely wrong class ``j``.

    Args:
        attack: makes x_adv; the method's own is PGD on the cross-entropy.
        beta: weight of the weighted divergence.
    """

    attack: Attack = PGD()
    beta: float = 5.0

    def __post_init__(self) -> None:
        check_positive("beta", self.beta, zero=True)

    @property
    def cost(self) -> float:
        return 6.0 + self.attack.cost

    def __call__(self, model: Model, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> LossOutput:
        x_adv = self.attack(model, x, y, generator=generator)
        log_clean, adversarial = F.log_softmax(model(x), dim=1), model(x_adv)
        p_adv = F.softmax(adversarial, dim=1)
        wrong = p_adv.scatter(1, y[:, None], -1.0).argmax(1, keepdim=True)
        margin = -torch.log(1.0001 - p_adv.gather(1, wrong) + 1e-12).mean()
        p_true = log_clean.gather(1, y[:, None])[:, 0].exp()
        kl = F.kl_div(torch.log(p_adv + 1e-12), log_clean, reduction="none", log_target=True).sum(1)
        return combine(
            x_adv,
            ce=(1.0, F.cross_entropy(adversarial, y)),
            margin=(1.0, margin),
            kl=(self.beta, (kl * (1.0000001 - p_true)).mean()),
        )
