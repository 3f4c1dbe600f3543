"""Reduced schedules, the same for every row of a table: smoke, laptop, fast; paper is the full one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.errors import unknown_name
from holdfast.recipes.setups import Rivals, Setup


def smoke(s: Setup) -> Setup:
    """Seconds a row: shows that everything runs, and measures nothing."""
    train, ev = s.base, s.evaluation
    return replace(
        s,
        base=replace(
            train,
            data=replace(train.data, train_size=300),
            optim=replace(train.optim, lr=2e-3, name="adam", epochs=4, batch_size=50, schedule="onecycle"),
            val_size=50,
        ),
        budget=replace(s.budget, alpha=s.budget.eps / 2, steps=3),
        igr=replace(s.igr, n_steps=3),
        rivals=replace(s.rivals, n_steps=3, attack_n_steps=2, art_attack=None),
        evaluation=replace(
            ev,
            n_examples=100,
            n_attribution=30,
            cw_steps=10,
            ifia=replace(ev.ifia, alpha=ev.ifia.eps / 4, steps=8, n_steps=5),
            auto="quick",
            random_draws=4,
        ),
    )


def laptop(s: Setup) -> Setup:
    """Minutes a row on two CPU cores, an hour on CIFAR-10: a radius that grows, IGR on an eighth of each batch.

    12,000 images, 4 epochs (CIFAR-10: 10,000 images, 15 epochs, ResNet-18 at a quarter of its width); the radius grows
    from 0 over the first 40 % of the steps, so that every row learns; evidence in docs/choices.md.
    """
    train, eps = s.base, s.budget.eps
    if train.data.name == "digits":
        return s
    small = train.model == "small_cnn"
    optim = replace(
        train.optim,
        lr=1e-3 if small else 0.1,
        epochs=4 if small else 15,
        batch_size=64,
        schedule="onecycle",
        milestones=(),
        eps_warmup=0.4,
    )
    return replace(
        s,
        base=replace(
            train,
            data=replace(train.data, train_size=12000 if small else 10000),
            model=train.model if small else "resnet18_quarter",
            optim=optim,
            val_size=500,
        ),
        budget=replace(s.budget, alpha=eps / 3 if small else eps / 4, steps=5 if small else 7),
        igr=replace(s.igr, n_steps=5, share=1 / 8),
        rivals=Rivals(n_steps=5, attack_n_steps=3, k=s.rivals.k, art_attack=s.rivals.art_attack),
        evaluation=replace(
            s.evaluation,
            n_examples=500,
            n_attribution=200,
            auto="quick",
            ifia=replace(s.evaluation.ifia, alpha=eps / 15, steps=40, n_steps=5),
        ),
    )


def fast(s: Setup) -> Setup:
    """All images, one-cycle schedule: 20 epochs (30 on CIFAR-10), a training attack of 10 steps."""
    train = s.base
    if train.data.name == "digits":
        return s
    small = train.model == "small_cnn"
    optim = replace(train.optim, lr=1e-3 if small else 0.1, epochs=20 if small else 30, schedule="onecycle")
    return replace(
        s,
        base=replace(train, optim=replace(optim, milestones=())),
        budget=replace(s.budget, alpha=s.budget.eps / 4, steps=10) if small else s.budget,
        igr=replace(s.igr, n_steps=5),
        rivals=replace(s.rivals, n_steps=5),
        evaluation=replace(s.evaluation, ifia=replace(s.evaluation.ifia, n_steps=10)),
    )


def paper(s: Setup) -> Setup:
    """The full schedule of the paper, as far as it says; on the digits, ours."""
    return s


PROFILES: dict[str, Callable[[Setup], Setup]] = {p.__name__: p for p in (smoke, laptop, fast, paper)}


def apply_profile(profile: str, s: Setup) -> Setup:
    """The setup under a profile.

    Raises:
        HoldfastError: for an unknown profile, with the nearest names.
    """
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES)
    reduced = PROFILES[profile](s)
    return replace(reduced, base=replace(reduced.base, profile=profile))
