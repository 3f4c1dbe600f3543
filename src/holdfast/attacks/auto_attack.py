"""The ensemble by which accuracy under attack is reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import get_args

import torch
from torch import Tensor

from holdfast.attacks.apgd import APGD, CLASSES
from holdfast.attacks.base import Attack, Attacked, Images, Labels, Norm, borrowed, lost, per_image, sound
from holdfast.attacks.fab import FAB
from holdfast.attacks.square import Square
from holdfast.errors import unknown_name
from holdfast.models.state import Model
from holdfast.seeding import fresh_generator
from holdfast.validate import check_count, check_positive


@dataclass(frozen=True)
class Ensembled(Attacked):
    """What `AutoAttack` found, and which member found it: -1 where the image stands or was wrong anyway."""

    members: tuple[str, ...]
    winner: Tensor
    misclassified: Tensor
    """Whether the clean image already was."""

    @property
    def standing(self) -> Mapping[str, float]:
        """The share of images that are still classified correctly after each member."""
        left = ~self.misclassified
        shares = {"clean": float(left.float().mean())}
        for i, name in enumerate(self.members):
            left = left & (self.winner != i)
            shares[name] = float(left.float().mean())
        return shares


@dataclass(frozen=True)
class AutoAttack(Attack):
    """APGD on the cross-entropy, targeted APGD, targeted FAB and Square, each on what the one before left standing.

    Croce and Hein, 2020 (https://arxiv.org/abs/2003.01690), its standard version. Models of three classes get the
    untargeted ratio loss in place of targeted APGD, models of two none. Distance measure: Linf, or L2 (then without
    Square Attack).

    Args:
        eps: largest perturbation, pixels in [0, 1].
        steps: of each run of APGD and FAB.
        queries: of Square Attack.
        norm: "Linf" or "L2".
        targets: classes that the targeted members try.

    Shape: images (B, C, H, W) in [0, 1], labels int64 (B,) -> adversarial images (B, C, H, W).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
        >>> found = AutoAttack(eps=0.1, steps=5, queries=5).run(net, images, labels)
        >>> list(found.standing)
        ['clean', 'apgd-ce', 'fab-t', 'square']
    """

    eps: float = 8 / 255
    steps: int = 100
    queries: int = 5000
    _: KW_ONLY
    norm: Norm = "Linf"
    targets: int = 9

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, zero=True)
        for name in ("steps", "queries", "targets"):
            check_count(name, getattr(self, name))
        if self.norm not in get_args(Norm):
            raise unknown_name("norm", str(self.norm), get_args(Norm))

    @property
    def cost(self) -> float:
        return sum(member.cost for member in self.members(CLASSES["targeted"]).values())

    def members(self, classes: int) -> dict[str, Attack]:
        """The members by name for a model of so many classes."""
        found: dict[str, Attack] = {"apgd-ce": APGD(self.eps, self.steps, "ce", norm=self.norm)}
        if classes >= CLASSES["targeted"]:
            found["apgd-t"] = APGD(self.eps, self.steps, "targeted", norm=self.norm, targets=self.targets)
        elif classes >= CLASSES["dlr"]:
            found["apgd-dlr"] = APGD(self.eps, self.steps, "dlr", norm=self.norm)
        found["fab-t"] = FAB(self.eps, self.steps, norm=self.norm, targets=self.targets)
        if self.norm == "Linf":
            found["square"] = Square(self.eps, self.queries)
        return found

    def run(self, model: Model, x: Images, y: Labels, *, generator: torch.Generator | None = None) -> Ensembled:
        """The attack with its accounting: what each member left standing."""
        with borrowed(self, model, x, y) as (images, labels):
            found = self._ensemble(model, images, labels, generator or fresh_generator(x.device))
            sound(self, found.adv_images, x)
            return found

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return self._ensemble(model, images, labels, generator).adv_images

    def _ensemble(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Ensembled:
        with torch.no_grad():
            logits = model(images)
        misclassified = logits.argmax(1) != labels
        stands = ~misclassified
        winner = torch.full_like(labels, -1)
        found, broken = images.clone(), torch.zeros_like(stands)
        members = self.members(logits.shape[1])
        for number, member in enumerate(members.values()):
            rows = stands.nonzero()[:, 0]
            if not len(rows):
                break
            found[rows] = adv = member.perturb(model, images[rows], labels[rows], generator)
            broken[rows] |= adv.flatten(1).isnan().any(1)
            with torch.no_grad():
                fooled = lost(model(adv), labels[rows])
            winner[rows[fooled]] = number
            stands[rows] = ~fooled
        found = found.masked_fill(per_image(broken & stands, found), float("nan"))
        return Ensembled(found, ~stands, tuple(members), winner, misclassified)
