"""Is this evaluation itself to be trusted? Signs that an attack was too weak to say anything."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from holdfast.attacks import FGSM, PGD, Attack, CWInf, RandomSigns, Square
from holdfast.evaluate.attribution import CONSTANT
from holdfast.evaluate.faithfulness import alike
from holdfast.evaluate.protocol import NATURAL, Protocol
from holdfast.evaluate.records import COLUMNS, OK
from holdfast.metrics import Metric, TopK
from holdfast.metrics.stats import mean_interval

NOTABLE_FAILURES = 0.05
STILL_IMPROVING = 0.9
UNMOVED = 0.99
NAMED = 5
STRONGER: tuple[tuple[type[Attack], str, float, str], ...] = (
    (FGSM, "one FGSM step", 0.01, "the gradient is masked or --pgd-alpha is too small to reach the boundary"),
    (Square, "{name}, a search without gradients,", 0.01, "the gradient is masked; report AutoAttack"),
    (CWInf, "{name}, an attack on the margin,", 0.05, "the cross-entropy is saturated; report AutoAttack"),
)
"""Attacks that should not leave less than PGD: what they are called, by how much less is told, and what it says."""


def check_records(records: pd.DataFrame, protocol: Protocol, n_features: int) -> list[str]:
    """Warnings, each with its number and what to do; empty when nothing looks wrong."""
    found = [*_prediction_checks(records[records["kind"] == "accuracy"], protocol)]
    if protocol.attributions and protocol.attacks:
        attacked = records[records["kind"] == "attribution"]
        if attacked.empty:
            return [*found, "no image was classified correctly, so no attribution could be attacked."]
        found += _count_checks(attacked, protocol)
        for attribution, rows in attacked.groupby("attribution", sort=False):
            about = f"{attribution}: " if len(protocol.attributions) > 1 else ""
            found += [about + text for text in _attribution_checks(rows, protocol)]
            control = records[(records["kind"] == "control") & (records["attribution"] == attribution)]
            found += [about + text for text in _other_image_checks(control, protocol, n_features)]
    return found


def _prediction_checks(rows: pd.DataFrame, protocol: Protocol) -> Iterator[str]:
    left = rows.groupby("attack", sort=False)["correct"].mean().astype(float).to_dict()
    yield from _odd_images(rows, "each counts as wrong")
    pgd = {name: a for name, a in protocol.predictions.items() if type(a) is PGD and name in left}
    if not pgd:
        return
    longest = max(pgd, key=lambda name: pgd[name].steps)
    many = f"{pgd[longest].steps} PGD steps ({left[longest]:.1%} left)"
    for name, attack in protocol.predictions.items():
        for kind, what, margin, why in STRONGER:
            if isinstance(attack, kind) and left.get(name, 1.0) + margin < left[longest]:
                yield f"{what.format(name=name)} ({left[name]:.1%} left) beats {many}: {why}."
    first = left[next(iter(pgd))]
    images = (rows["attack"] == NATURAL).sum()
    if left[NATURAL] > 0.2 and first > left[NATURAL] - 1e-9 and images >= 100:
        yield (
            "PGD changed no prediction at all: check --eps, that the model returns logits, and that it rounds nothing "
            "(then it has no gradient: try AutoAttack)."
        )


def _count_checks(rows: pd.DataFrame, protocol: Protocol) -> Iterator[str]:
    attacked = rows["index"].nunique()
    if attacked < protocol.n_attribution:
        yield (
            f"only {attacked} correctly classified image{'s were' if attacked > 1 else ' was'} there to attack, "
            f"{protocol.n_attribution} were asked for: intervals are wider."
        )


def _attribution_checks(rows: pd.DataFrame, protocol: Protocol) -> Iterator[str]:
    controls = [name for name, a in protocol.attacks.items() if isinstance(a, RandomSigns)]
    attacks = [name for name in protocol.attacks if name not in controls]
    yield from _odd_images(rows, "left out of the means")
    for metric in protocol.metrics:
        if metric.higher_is_better and metric.key in ("kendall", f"top_{getattr(metric, 'k', '')}"):
            yield from _control_check(rows, metric, attacks, controls)
    for name in attacks[:1]:
        yield from _strength_checks(rows[rows["attack"] == name], name, protocol)


def _control_check(rows: pd.DataFrame, metric: Metric, attacks: list[str], controls: list[str]) -> Iterator[str]:
    if not attacks or not controls:
        return
    values = rows.pivot(index="index", columns="attack", values=metric.key).dropna()
    attacked, control = values[attacks].min(axis=1).mean(), values[controls].min(axis=1).mean()
    if attacked > control:
        yield (
            f"random noise ({metric.title} {control:.3f}) is a stronger attack than {_listed(attacks)} "
            f"({attacked:.3f}): the numbers say nothing about worst cases; change the attack's surrogate_beta or "
            "raise its steps."
        )


def _other_image_checks(rows: pd.DataFrame, protocol: Protocol, n_features: int) -> Iterator[str]:
    """Whether maps of different images have so much in common that being steady is no merit."""
    metric = next((m for m in protocol.metrics if isinstance(m, TopK)), None)
    values = [] if metric is None or rows.empty else rows[metric.key].dropna().astype(float).tolist()
    if metric is None or not values:
        return
    shared, chance = mean_interval(values, metric.bounds), metric.chance(n_features)
    if alike(shared, chance):
        yield (
            f"maps of different images share {shared.mean:.1%} of their {metric.k} most important features "
            f"({chance:.1%} by chance): read what is left under attack beside other_image, not beside chance alone."
        )


def _strength_checks(rows: pd.DataFrame, name: str, protocol: Protocol) -> Iterator[str]:
    succeeded = rows["succeeded"].astype(float)
    failures = float((1.0 - succeeded).mean())
    if failures > NOTABLE_FAILURES:
        yield (
            f"{name} found nothing on {failures:.1%} of the images (each counts as 1.0): the means look more robust "
            "than the attacked images are."
        )
    if "kendall" in rows.columns.difference(list(COLUMNS)):
        unmoved = float(((succeeded == 1.0) & (rows["kendall"] > UNMOVED)).mean())
        if unmoved > NOTABLE_FAILURES:
            yield f"{unmoved:.1%} of the attributions hardly moved (Kendall above {UNMOVED})."
    steps = getattr(protocol.attacks[name], "steps", None)
    if steps is not None:
        late = float(
            (rows["best_step"] > STILL_IMPROVING * steps * getattr(protocol.attacks[name], "restarts", 1)).mean()
        )
        if late > 0.5:
            yield (
                f"on {late:.0%} of the images {name} was still improving in its last tenth: raise its steps "
                f"(now {steps}) for a stronger attack."
            )


def _odd_images(rows: pd.DataFrame, consequence: str) -> Iterator[str]:
    """Which images have maps or predictions that say nothing."""
    images = rows["index"].nunique()
    for status, odd in rows[rows["status"] != OK].groupby("status", sort=False):
        index = list(dict.fromkeys(odd["index"].tolist()))
        named = ", ".join(map(str, index[:NAMED])) + (", ..." if len(index) > NAMED else "")
        what = f"({consequence})" if status != CONSTANT else "(its order says nothing; is the model untrained?)"
        yield f"{status} on {len(index)} of {images} images {what}: {named}."


def _listed(names: list[str]) -> str:
    return " and ".join(names)
