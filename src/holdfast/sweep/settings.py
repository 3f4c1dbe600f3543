"""What the folder of a sweep is for: one profile, and one evaluation a data set, so that its tables are one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.config import EvalConfig
from holdfast.errors import HoldfastError
from holdfast.files import make_folder, write_atomically
from holdfast.part_json import from_json, to_json
from holdfast.parts import differences
from holdfast.recipes import split_name
from holdfast.sweep.plan import Plan

FILE = "sweep.json"


@dataclass(frozen=True)
class SweepSettings:
    """What every run of a folder shares."""

    profile: str
    evaluations: dict[str, EvalConfig]
    """How the models of each data set (or other setup) are evaluated."""


def check_settings(plan: Plan, root: Path) -> SweepSettings:
    """The settings of ``root`` once ``plan`` is in it; nothing is written.

    Raises:
        HoldfastError: ``root`` holds something else, or runs whose numbers must not stand beside these.
    """
    wanted = {split_name(run.train.recipe)[0]: run.evaluation for run in plan.runs()}
    stored = root / FILE
    if not stored.is_file():
        strangers = sorted(p.name for p in root.iterdir() if not p.name.startswith(".")) if root.is_dir() else []
        if strangers:
            raise HoldfastError(
                f"{root} is not empty ({', '.join(strangers[:3])}) and holds no sweep; choose another --out."
            )
        return SweepSettings(plan.profile, wanted)
    before = from_json(SweepSettings, stored.read_bytes(), str(stored))
    if before.profile != plan.profile:
        raise HoldfastError(
            f"{root} holds a sweep under the profile {before.profile}, and tables do not mix profiles "
            f"({before.profile} -> {plan.profile}); choose another --out, or --profile {before.profile}."
        )
    for dataset, config in wanted.items():
        changed = differences(before.evaluations.get(dataset, config), config)
        if changed:
            raise HoldfastError(
                f"{root} holds runs that were evaluated on {dataset} with other settings ({'; '.join(changed)}); "
                "numbers made with different attacks do not stand in one table: choose another --out."
            )
    return SweepSettings(plan.profile, before.evaluations | wanted)


def claim(plan: Plan, root: Path) -> None:
    """Check as `check_settings` does, and note in ``root`` what it now holds."""
    settings = check_settings(plan, root)
    make_folder(root)
    write_atomically(root / FILE, to_json(settings))
