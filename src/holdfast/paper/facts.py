"""Every setting of a run that the paper's wing reads, by name, and the commands that make runs again with theirs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from holdfast.data.catalogue import KNOWN
from holdfast.evaluate.standard import EvalConfig
from holdfast.objectives import IGR, Objective
from holdfast.parts import differences, settings
from holdfast.recipes import SETUPS, TITLES, evaluation, method_recipe
from holdfast.report.document import Block, Code, Words
from holdfast.report.settings import by_dataset, recipe_of
from holdfast.report.words import counted, dataset_title, duration, setting
from holdfast.results.result import RunResult
from holdfast.train.config import TrainConfig


def objective_of(config: TrainConfig) -> str:
    """The name of the objective without the regulariser, as `losses.LOSSES` has it."""
    return _base(config).title.lower().replace(" (table 1)", "-printed")


def has_igr(config: TrainConfig) -> bool:
    """Whether the paper's regulariser is added."""
    return isinstance(config.objective, IGR)


def _base(config: TrainConfig) -> Objective:
    return config.objective.base if isinstance(config.objective, IGR) else config.objective


def _setting(part: object, *names: str) -> float | int | None:
    """The first of these dotted fields that a part has."""
    for name in names:
        found: object = part
        for step in name.split("."):
            found = getattr(found, step, None)
        if isinstance(found, int | float):
            return found
    return None


def symbols_of(config: TrainConfig) -> dict[str, str]:
    """The values of the symbols in a loss, as printed: beta, lam, points, k, igr and attack."""
    base, igr = _base(config), config.objective if isinstance(config.objective, IGR) else None
    values = {name: _setting(base, *fields) for name, fields in _SYMBOLS.items()}
    share = "" if igr is None or igr.share == 1 else f" on {setting(igr.share)} of a batch"
    return {
        "beta": f"β {setting(values['beta'])}",
        "lam": f"λ {setting(values['lam'])}",
        "points": f"{values['points']} points, {values['attack points']} in the attack",
        "k": f"k {values['k']}",
        "igr": "" if igr is None else f"λ_IGR {setting(igr.lam)}, {igr.attribution.points} points{share}",
        "attack": f"attack ε {setting(values['eps'])}, {values['steps']} × {setting(values['alpha'])}",
    }


_SYMBOLS = {
    "beta": ("beta",),
    "lam": ("lam", "lam1", "weight"),
    "points": ("n_steps", "attribution.points"),
    "attack points": ("attack.n_steps", "attack.attribution.points"),
    "k": ("k", "attack.k"),
    "eps": ("attack.eps",),
    "alpha": ("attack.alpha",),
    "steps": ("attack.steps",),
}
"""Where an objective keeps the value of a symbol."""


def reductions(run: RunResult) -> str:
    """In which sizes a run falls short of the full schedule of its data set; empty where in none."""
    full, known = recipe_of(run, "paper"), KNOWN.get(run.protocol.dataset)
    if full is None or known is None:
        return ""
    mine, whole = run.evaluation, evaluation(run.dataset)
    sizes = (
        ("training images", run.train.data.train_size or known.train, full.data.train_size or known.train),
        ("epochs", run.train.optim.epochs, full.optim.epochs),
        ("attack steps in training", run.train.validation.steps, full.validation.steps),
        ("test images", mine.n_examples or known.test, whole.n_examples or known.test),
        ("of them with their attribution attacked", mine.n_attribution, whole.n_attribution),
        ("steps of that attack", mine.ifia.steps, whole.ifia.steps),
    )
    return ", ".join(f"{had:,} of {all_of:,} {what}" for what, had, all_of in sizes if had != all_of)


def changes(run: RunResult) -> list[str]:
    """Every setting that differs from the paper profile's, as ``field: full -> this``."""
    if run.dataset not in SETUPS:
        return []
    full = method_recipe(run.dataset, run.method, "paper", run.seed)
    whole = evaluation(run.dataset, "paper")
    found = [*differences(full, run.train), *differences(whole, run.evaluation, "evaluation.")]
    return [_short(text) for text in found if not text.startswith("profile")]


def _short(change: str) -> str:
    """A change with its numbers cut to five digits.

    >>> _short("attack.alpha: 0.01 -> 0.09999999999999999")
    'attack.alpha: 0.01 -> 0.1'
    """
    return re.sub(r"\d+\.\d{5,}", lambda found: f"{float(found[0]):.5g}", change)


def flags(config: TrainConfig | EvalConfig, base: TrainConfig | EvalConfig) -> list[str]:
    """Options of the command line that turn ``base`` into ``config``."""
    before, words = dict(settings(base)), []
    for field, value in settings(config):
        if value == before.get(field):
            continue
        room, _, name = field.replace("_", "-").rpartition(".")
        if isinstance(value, bool):
            name = name if value else f"no-{name}"
        words.append(f"--{room}.{name}" if room else f"--{name}")
        if not isinstance(value, bool):
            words += map(str, value) if isinstance(value, tuple) else [str(value)]
    return words


def rows_again(results: Sequence[RunResult]) -> list[Block]:
    """For every method the sweep that makes its row again, or else the commands of its runs; then those of each run.

    A sweep trains and evaluates the runs of a row, and goes on where it stopped.
    """
    sweeps, others = [], []
    for method in dict.fromkeys(run.method for run in results):
        runs = [run for run in results if run.method == method]
        if method in TITLES and all(run.train == recipe_of(run) for run in runs):
            sweeps.append(sweep_command(runs))
        else:
            others += [command for run in runs for command in (train_command(run), evaluate_command(run))]
    found: list[Block] = []
    if sweeps:
        found += [Words(("One row each; a sweep goes on where it stopped.",)), Code(tuple(sweeps))]
    if others:
        found += [Words(("Runs with settings of their own.",)), Code(tuple(others))]
    return found


def sweep_command(runs: Sequence[RunResult]) -> str:
    """``holdfast sweep`` that makes the runs of one method again."""
    words = ["holdfast", "sweep", "all", "--profile", runs[0].train.profile, "--datasets", ",".join(by_dataset(runs))]
    seeds = sorted({run.seed for run in runs})
    return shlex.join([*words, "--methods", runs[0].method, "--seeds", ",".join(map(str, seeds))])


def train_command(run: RunResult) -> str:
    """``holdfast train`` with the profile, the seed, and every setting that its recipe has otherwise."""
    base = recipe_of(run)
    made_by = run.train.recipe, "--profile", run.train.profile, "--seed", str(run.seed)
    given = flags(run.train, base) if base else []
    return shlex.join(["holdfast", "train", *made_by, *given, "--out", f"runs/{run.name}"])


def evaluate_command(run: RunResult) -> str:
    """``holdfast evaluate`` with every setting in which the evaluation differs from the full one."""
    return shlex.join(["holdfast", "evaluate", f"runs/{run.name}", *flags(run.evaluation, evaluation(run.dataset))])


def outcome(run: RunResult) -> tuple[str, str]:
    """A run, and what became of it."""
    training = run.training
    parts = [
        f"{training['steps']:,} steps" if "steps" in training else "",
        f"{duration(training['seconds'])} on {training.get('device', 'an unnamed device')}"
        if "seconds" in training
        else "",
        f"best on validation after epoch {training['best_epoch']} of {counted(run.train.optim.epochs, 'epoch')}"
        if "best_epoch" in training
        else "",
    ]
    name = f"{run.title}, {dataset_title(run.dataset)}, seed {run.seed}"
    return name, ", ".join(part for part in parts if part) or "finished"
