"""Reduced schedules, the same for every row of a table: smoke, laptop, fast; paper is the full one. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.config import AttackConfig
from holdfast.errors import HoldfastError, unknown_name
from holdfast.recipes.setups import Rivals, Setup


def smoke(s: Setup) -> Setup:
    """Seconds a row: shows that everything runs, and measures nothing."""
    train, ev = s.base, s.evaluation
    return replace(
        s,
        base=replace(
            train,
            data=replace(train.data, train_size=300),
            attack=replace(train.attack, alpha=train.attack.eps / 2, steps=3),
            optim=replace(train.optim, lr=2e-3, name="adam", epochs=4, batch_size=50, schedule="onecycle"),
            val_size=50,
        ),
        igr=replace(s.igr, n_steps=3),
        rivals=replace(s.rivals, n_steps=3, attack_n_steps=2, art_attack=None),
        evaluation=replace(
            ev,
            n_examples=100,
            n_attribution=30,
            cw_steps=10,
            ifia=replace(ev.ifia, alpha=ev.ifia.eps / 4, steps=8, n_steps=5),
            random_draws=4,
        ),
    )


def laptop(s: Setup) -> Setup:
    """Minutes a row on two CPU cores: 4,000 training images, 5 epochs, a shorter attack."""
    train, ev = s.base, s.evaluation
    if train.data.name == "digits":
        return s
    if train.model != "small_cnn":
        raise HoldfastError(
            f"the profile laptop has no recipes for {train.data.name} (one row of ResNet-18 takes many hours on a "
            "CPU); choose --profile smoke, or fast on a GPU."
        )
    return replace(
        s,
        base=replace(
            train,
            data=replace(train.data, train_size=4000),
            attack=AttackConfig(eps=train.attack.eps, alpha=train.attack.eps / 3, steps=5),
            optim=replace(train.optim, lr=1e-3, epochs=5, batch_size=32, schedule="onecycle"),
            val_size=200,
        ),
        igr=replace(s.igr, n_steps=5),
        rivals=Rivals(n_steps=5, attack_n_steps=3, k=s.rivals.k),
        evaluation=replace(
            ev,
            n_examples=500,
            n_attribution=100,
            ifia=replace(ev.ifia, alpha=0.02, steps=40, n_steps=5),
        ),
    )


def fast(s: Setup) -> Setup:
    """All images, one-cycle schedule: 20 epochs (30 on CIFAR-10), a training attack of 10 steps."""
    train = s.base
    if train.data.name == "digits":
        return s
    small = train.model == "small_cnn"
    attack = replace(train.attack, alpha=train.attack.eps / 4, steps=10) if small else train.attack
    optim = replace(train.optim, lr=1e-3 if small else 0.1, epochs=20 if small else 30, schedule="onecycle")
    return replace(
        s,
        base=replace(train, attack=attack, optim=replace(optim, milestones=())),
        igr=replace(s.igr, n_steps=5),
        rivals=replace(s.rivals, n_steps=5),
        evaluation=replace(s.evaluation, ifia=replace(s.evaluation.ifia, n_steps=10)),
    )


def paper(s: Setup) -> Setup:
    """The full schedule of the paper, as far as it says; on the digits, ours."""
    return s


PROFILES: dict[str, Callable[[Setup], Setup]] = {"smoke": smoke, "laptop": laptop, "fast": fast, "paper": paper}


def apply_profile(profile: str, s: Setup) -> Setup:
    """The setup under a profile.

    Raises:
        HoldfastError: for an unknown profile, with the nearest names.
    """
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES)
    reduced = PROFILES[profile](s)
    return replace(reduced, base=replace(reduced.base, profile=profile))
