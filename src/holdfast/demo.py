"""The main job in small: TRADES with and without IGR on the digits, attacked and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.config import EvalConfig
from holdfast.data import load_dataset
from holdfast.evaluate import evaluate, protocol_of
from holdfast.models.load import load_model
from holdfast.recipes import evaluation, recipe
from holdfast.report import Document, compare_results
from holdfast.report.examples import attacked_examples
from holdfast.report.write import write_report
from holdfast.results.store import read_run
from holdfast.sweep.watch import Watch
from holdfast.train import RunFolder, TrainConfig, train
from holdfast.train.folder import load_config

PICTURED = 5
EXAMPLE_BATCH = 1_000_000
"""Seeds the pictured attacks apart from every batch of the evaluation."""


def compare(
    recipes: Sequence[tuple[str, TrainConfig]],
    config: EvalConfig,
    out: Path,
    *,
    watch: Watch,
    device: str = "cpu",
    data_dir: str | None = None,
    commands: Sequence[str] = (),
) -> tuple[Document, Path]:
    """Train each recipe (unless its folder holds it finished), evaluate all alike, and write the page.

    Args:
        recipes: (title, configuration) of each row; the first is the baseline, the last is compared with it.
        config: the evaluation, the same for every row.
        out: folder that receives a run folder a row and ``report.html``.
        watch: opens a progress display for a title.
    """
    data = load_dataset(config.dataset, config.split, data_dir=data_dir)
    models, results = {}, {}
    for title, train_config in recipes:
        folder = out / train_config.recipe
        with watch(title) as display:
            done = RunFolder(folder)
            if not (done.finished and load_config(done.config) == train_config):
                train(train_config, folder, device=device, data_dir=data_dir, resume=True, on_step=display.step)
            models[title] = load_model(str(folder), dataset=config.dataset, data_dir=data_dir).to(device)
            evaluate(models[title], data, protocol_of(config), folder / "eval", device=device, on_batch=display.batch)
        results[title] = read_run(folder, folder / "eval")
    document = compare_results(
        results,
        dataset=data.source if config.dataset != "digits" else "UCI digits, 8×8",
        examples=attacked_examples(models, data, config, device, most=PICTURED, batch=EXAMPLE_BATCH),
        commands=commands,
        notes=(
            f"The pictured images are the first {PICTURED} of the {config.split} split that every model classifies "
            "correctly; none was chosen by hand.",
            "One seed, one small data set: a demonstration, not evidence. For evidence compare several seeds on the "
            "data sets of the paper.",
        ),
        device=device,
    )
    return document, write_report(document, out)


def demo_recipes() -> list[tuple[str, TrainConfig]]:
    """TRADES and TRADES+IGR on the digits: same seed, same budget."""
    return [("TRADES", recipe("digits-trades")), ("TRADES+IGR", recipe("digits-trades-igr"))]


def demo_evaluation() -> EvalConfig:
    """The digits' evaluation, the same for both rows."""
    return evaluation("digits")
