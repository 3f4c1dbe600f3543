"""The program ``holdfast`` with a profile smoke cut down to a second a run, and workers that die once if asked.

Usage: python sweep_tiny.py sweep PLAN [options]
       python sweep_tiny.py --die ray|processes ROOT KIND...: a tiny sweep on that executor for each KIND (training,
       evaluation) in ROOT/KIND, whose workers are killed once each in the middle of it; digits-at alone dies under
       processes. Prints the statuses, and how many died.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from holdfast.recipes.profiles import PROFILES
from holdfast.recipes.setups import Setup

METHODS = ("standard", "at", "trades-igr", "mart-igr")


def tiny(s: Setup) -> Setup:
    """24 training steps at 3 validations, 3 batches of each kind of records."""
    train, ev = s.base, s.evaluation
    return replace(
        s,
        base=replace(
            train,
            data=replace(train.data, train_size=64),
            optim=replace(train.optim, epochs=3, batch_size=8),
            val_size=20,
        ),
        budget=replace(s.budget, steps=2),
        igr=replace(s.igr, n_steps=2),
        evaluation=replace(
            ev,
            n_examples=30,
            n_attribution=6,
            batch_size=10,
            cw_steps=3,
            score_n_steps=4,
            random_draws=2,
            auto=None,
            ifia=replace(ev.ifia, steps=3, n_steps=3),
        ),
    )


class DieOnce:
    """A display that kills its process, once for each title, in the middle of training or of the evaluation."""

    def __init__(self, marks: Path, kind: str, title: str) -> None:
        self.mark, self.kind = marks / title.replace(" ", "-"), kind

    def __enter__(self) -> DieOnce:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def step(self, report: object) -> None:
        if self.kind == "training" and report.step == 11:  # type: ignore[attr-defined]
            self.die()

    def images(self, kind: str, done: float, total: int) -> None:
        if self.kind == "evaluation" and kind == "accuracy" and done > 0:
            self.die()

    def die(self) -> None:
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def sweep_with_deaths(executor: str, root: Path, kinds: list[str]) -> None:
    from holdfast.sweep.drive import claim
    from holdfast.sweep.execute import execute
    from holdfast.sweep.plan import load_plan
    from holdfast.sweep.processes import in_processes
    from holdfast.sweep.ray import on_ray, ray_cluster, share_of

    plan = load_plan("all", profile="smoke", methods=METHODS[:2])
    with ray_cluster() if executor == "ray" else nullcontext() as ray:
        for kind in kinds:
            marks = root / f"{kind}-marks"
            marks.mkdir(parents=True)
            claim(plan, root / kind)
            job = partial(execute, root=root / kind, watch=partial(DieOnce, marks, kind))
            if ray is None:
                (marks / "digits-standard-seed-0").touch()
                outcomes = in_processes(job, plan.runs(), jobs=2)
            else:
                outcomes = on_ray(ray, job, plan.runs(), share_of(ray, jobs=2))
            for outcome in sorted(outcomes, key=lambda o: o.run.title):
                print(outcome.run.title, outcome.status, outcome.message)
            print(len(list(marks.iterdir())), "died")


if __name__ == "__main__":
    PROFILES["smoke"] = tiny
    if sys.argv[1] == "--die":
        sweep_with_deaths(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    else:
        from holdfast.cli import main

        sys.exit(main())
