"""What an evaluation costs, in forward passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.attacks import Attack
from holdfast.attacks.attribution_attack import AttributionAttack
from holdfast.attribution.base import Attribution
from holdfast.evaluate.protocol import Protocol

Tell = Callable[[float], None]
"""Told how many forward passes per image were made since the last time."""


def protocol_cost(protocol: Protocol) -> tuple[float, float, float]:
    """Forward passes per image: of predictions under attack, attributions under attack, and maps of other images.

    An attack that does not tell its cost counts as free.

    >>> from holdfast import FGSM, IntegratedGradients, RandomSigns
    >>> path = IntegratedGradients(n_steps=5)
    >>> signs = {"random": RandomSigns(draws=2, attribution=path)}
    >>> protocol_cost(Protocol(predictions={"fgsm": FGSM()}, attributions=(path,), attacks=signs))
    (4.0, 43.0, 20.0)
    """
    predictions = 1.0 + sum(attack.cost + 1 for attack in protocol.predictions.values())
    pairs = [(attack, a) for a in protocol.attributions for attack in protocol.attacks.values()]
    clean = sum(2.0 * a.points for a in protocol.attributions)
    return predictions, clean + sum(attack_cost(*pair) for pair in pairs), 2 * clean


def attack_cost(attack: Attack, attribution: Attribution) -> float:
    """Forward passes per image of an attack on an attribution and of the map of what it found."""
    if isinstance(attack, AttributionAttack):
        attack = replace(attack, attribution=attack.attacked(attribution))  # type: ignore[call-arg]
    return attack.cost + 2.0 * attribution.points + 1
