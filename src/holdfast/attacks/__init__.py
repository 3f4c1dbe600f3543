"""Attacks on predictions and on attributions, called as ``attack(images, labels)``."""

from holdfast.attacks.base import Attack
from holdfast.attacks.ifia import IFIA, IFIAResult
from holdfast.attacks.pgd import FGSM, PGD, TPGD, CWInf

__all__ = ["FGSM", "IFIA", "PGD", "TPGD", "Attack", "CWInf", "IFIAResult"]
