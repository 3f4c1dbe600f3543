"""Standard training and the three adversarial trainings that the paper builds on (its Table 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from holdfast.attacks.base import Attack
from holdfast.models.state import Model
from holdfast.objectives.base import AttackFactory, LossOutput, adversarial_images, combine
from holdfast.validate import check_positive


class Standard:
    """``CE(f(x), y)``.

    Args:
        attack: an attack or a factory whose images the result carries as ``x_adv``, for `IGR` to compare with;
            the loss ignores them. None attacks nothing.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> out = Standard()(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1]))
    >>> list(out.parts), out.x_adv
    (['ce'], None)
    """

    def __init__(self, attack: Attack | AttackFactory | None = None) -> None:
        self.attack = attack

    def __call__(self, model: Model, x: Tensor, y: Tensor) -> LossOutput:
        x_adv = None if self.attack is None else adversarial_images(self.attack, model, x, y)
        return combine(x_adv, ce=(1.0, F.cross_entropy(model(x), y)))


class AT:
    """Adversarial training: ``CE(f(x_adv), y)``, x_adv from PGD on the cross-entropy (Madry et al., 2018).

    Args:
        attack: an attack, or a factory ``model -> attack`` such as ``partial(PGD, eps=..., ...)``.

    >>> from functools import partial
    >>> from holdfast.attacks import PGD
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> at = AT(partial(PGD, eps=0.1, alpha=0.05, steps=3))
    >>> at(net, torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])).x_adv.shape
    torch.Size([3, 1, 2, 2])
    """

    def __init__(self, attack: Attack | AttackFactory) -> None:
        self.attack = attack

    def __call__(self, model: Model, x: Tensor, y: Tensor) -> LossOutput:
        x_adv = adversarial_images(self.attack, model, x, y)
        return combine(x_adv, ce=(1.0, F.cross_entropy(model(x_adv), y)))


class TRADES:
    """``CE(f(x), y) + beta * KL(p(x) || p(x_adv))``, x_adv from `TPGD` (Zhang et al., 2019).

    This is the published method. The paper's Table 1 prints the cross-entropy at x_adv instead.

    Args:
        attack: an attack or a factory; the method's own is `TPGD`.
        beta: weight of the divergence.
        clean: False puts the cross-entropy at x_adv, as Table 1 prints it.
    """

    def __init__(self, attack: Attack | AttackFactory, beta: float = 6.0, clean: bool = True) -> None:
        check_positive("beta", beta, zero=True)
        self.attack = attack
        self.beta = beta
        self.clean = clean

    def __call__(self, model: Model, x: Tensor, y: Tensor) -> LossOutput:
        x_adv = adversarial_images(self.attack, model, x, y)
        clean, adversarial = model(x), model(x_adv)
        kl = F.kl_div(
            F.log_softmax(adversarial, dim=1), F.log_softmax(clean, dim=1), reduction="batchmean", log_target=True
        )
        ce = F.cross_entropy(clean if self.clean else adversarial, y)
        return combine(x_adv, ce=(1.0, ce), kl=(self.beta, kl))


class MART:
    """Misclassification-aware adversarial training (Wang et al., 2020; paper, Table 1).

    ``BCE(p(x_adv), y) + beta * mean[KL(p(x) || p(x_adv)) (1 - p_y(x))]`` where the boosted cross-entropy
    adds ``-log(1 - p_j(x_adv))`` of the most likely wrong class ``j``.

    Args:
        attack: an attack or a factory; the method's own is PGD on the cross-entropy.
        beta: weight of the weighted divergence.
    """

    def __init__(self, attack: Attack | AttackFactory, beta: float = 5.0) -> None:
        check_positive("beta", beta, zero=True)
        self.attack = attack
        self.beta = beta

    def __call__(self, model: Model, x: Tensor, y: Tensor) -> LossOutput:
        x_adv = adversarial_images(self.attack, model, x, y)
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
