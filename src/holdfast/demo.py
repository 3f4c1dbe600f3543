"""The main job in small: TRADES with and without IGR on the digits, attacked and compared."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

import holdfast
from holdfast.config import EvalConfig
from holdfast.data import load_dataset
from holdfast.data.image_data import ImageData
from holdfast.evaluate import Summary, evaluate, protocol_of
from holdfast.models.load import load_model
from holdfast.parts import settings
from holdfast.recipes import evaluation, origin, recipe
from holdfast.report import Chance, Comparison, Setting, write_report
from holdfast.report.examples import attacked_examples
from holdfast.report.load import curves_of, row_from_summary
from holdfast.train import Report, RunFolder, train
from holdfast.train.config import TrainConfig
from holdfast.train.folder import load_config

PICTURED = 5
EXAMPLE_BATCH = 1_000_000
"""Seeds the pictured attacks apart from every batch of the evaluation."""


class Watcher(Protocol):
    """What `compare` tells its progress to."""

    def step(self, report: Report) -> None: ...

    def batch(self, kind: str, done: int, total: int) -> None: ...


Watch = Callable[[str], AbstractContextManager[Watcher]]


@dataclass(frozen=True)
class Contender:
    """One row of a comparison."""

    title: str
    config: TrainConfig
    folder: Path
    model: nn.Module
    summary: Summary


def compare(
    recipes: Sequence[tuple[str, TrainConfig]],
    config: EvalConfig,
    out: Path,
    *,
    watch: Watch,
    device: str = "cpu",
    data_dir: str | None = None,
    commands: Sequence[str] = (),
) -> tuple[Comparison, Path]:
    """Train each recipe (unless its folder holds it finished), evaluate all alike, and write the page.

    Args:
        recipes: (title, configuration) of each row; the first is the baseline, the last is highlighted.
        config: the evaluation, the same for every row.
        out: folder that receives a run folder a row and ``report.html``.
        watch: opens a progress display for a title.
    """
    data = load_dataset(config.dataset, config.split, data_dir=data_dir)
    contenders = []
    for title, train_config in recipes:
        folder = out / train_config.recipe
        with watch(title) as display:
            done = RunFolder(folder)
            if not (done.finished and load_config(done.config) == train_config):
                train(train_config, folder, device=device, data_dir=data_dir, resume=True, on_step=display.step)
            model = load_model(str(folder), dataset=config.dataset, data_dir=data_dir).to(device)
            result = evaluate(model, data, protocol_of(config), folder / "eval", device=device, on_batch=display.batch)
        assert result is not None
        contenders.append(Contender(title, train_config, folder, model, result.summary))
    comparison = _comparison(contenders, config, data, device, commands)
    return comparison, write_report(comparison, out)


def _comparison(
    contenders: Sequence[Contender], config: EvalConfig, data: ImageData, device: str, commands: Sequence[str]
) -> Comparison:
    last = contenders[-1]
    warnings = [f"{c.title}: {text}" for c in contenders for text in c.summary.warnings]
    return Comparison(
        title=" and ".join(c.title for c in contenders),
        dataset=data.source if config.dataset != "digits" else "UCI digits, 8×8",
        rows=[
            row_from_summary(c.title, c.title, c.summary.to_dict()["metrics"], highlight=c is last) for c in contenders
        ],
        chance=Chance(last.summary.chance["topk"], last.summary.chance["kendall"]),
        k=last.summary.k,
        n_features=last.summary.n_features,
        examples=attacked_examples(
            {c.title: c.model for c in contenders}, data, config, device, most=PICTURED, batch=EXAMPLE_BATCH
        ),
        curves=curves_of((c.title, c.folder) for c in contenders),
        settings=list(_settings(contenders, config)),
        environment={
            "holdfast": holdfast.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": torch.cuda.get_device_name()
            if device.startswith("cuda")
            else f"CPU, {torch.get_num_threads()} threads",
        },
        warnings=warnings,
        commands=list(commands),
        notes=[
            f"The pictured images are the first {PICTURED} of the {config.split} split that every model classifies "
            "correctly; none was chosen by hand.",
            "One seed, one small data set: a demonstration, not evidence. For evidence compare several seeds on the "
            "data sets of the paper.",
        ],
    )


def _settings(contenders: Sequence[Contender], config: EvalConfig) -> list[Setting]:
    last = contenders[-1].config
    found = []
    for field, value in settings(last):
        values = [dict(settings(c.config)).get(field, "–") for c in contenders]
        shown = str(value) if len(set(map(str, values))) == 1 else " / ".join(map(str, values))
        if field != "recipe":
            found.append(Setting("Training", field, shown, origin(config.dataset, field)))
    for field, value in settings(config):
        found.append(Setting("Evaluation", field, str(value), origin(config.dataset, f"evaluation.{field}")))
    return found


def demo_recipes() -> list[tuple[str, TrainConfig]]:
    """TRADES and TRADES+IGR on the digits: same seed, same budget."""
    return [("TRADES", recipe("digits-trades")), ("TRADES+IGR", recipe("digits-trades-igr"))]


def demo_evaluation() -> EvalConfig:
    """The digits' evaluation, the same for both rows."""
    return evaluation("digits")
