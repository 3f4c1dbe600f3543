"""``python -m bench.trials GROUP``: what share, weight and explanation of IGR cost and bring, on held-out images alone.

Each trial is one training run of the laptop profile in ``runs/trials``, evaluated on the validation split: the same
settings for every base and data set. Every image's numbers land in ``results/trials.parquet``, the tables in
``docs/trials.md``; a trial that is there is not run again, and a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import pandas as pd
import torch

import holdfast as hf
from holdfast.data import load_dataset
from holdfast.evaluate import evaluate, protocol_of
from holdfast.evaluate.summary import Names, quantities
from holdfast.files import write_atomically
from holdfast.metrics.stats import Interval, Sample, contrast
from holdfast.models.find import find_model
from holdfast.objectives import IGR
from holdfast.recipes import evaluation, method_recipe
from holdfast.report.document import Document, Section
from holdfast.report.quantities import QUANTITIES
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import listed
from holdfast.train import RunFolder, train
from holdfast.train.folder import read_training

SHARES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
SHARE_NAMES = {1.0: "1", 1 / 2: "1/2", 1 / 4: "1/4", 1 / 8: "1/8", 1 / 16: "1/16"}
WEIGHTS = (0.25, 0.5, 1.0, 2.0)
BASES = ("at", "trades", "mart")
RECORDS = Path("results/trials.parquet")
PAGE = Path("docs/trials.md")
SHOWN = {
    "natural": ("natural", "", True),
    "pgd20": ("PGD-20", "", True),
    "topk": ("top-k", "IFIA top-k", True),
    "kendall": ("Kendall τ", "IFIA top-k", False),
    "worst_topk": ("top-k", "worst of all attacks", True),
    "worst_kendall": ("Kendall τ", "worst of all attacks", False),
}
"""Quantities, their headings, what stands above them, and whether they are shares."""
TITLES = {
    "share-digits": "Share of the batch, UCI digits",
    "share-mnist": "Share of the batch, MNIST at ε = 0.3",
    "weight-digits": "Weight λ, UCI digits",
    "weight-mnist": "Weight λ, MNIST at ε = 0.3",
    "weight-fashion": "Weight λ, Fashion-MNIST at ε = 0.1",
    "weight-cifar10": "Weight λ, CIFAR-10 at ε = 8/255",
    "through-digits": "Explanation that is trained (λ = 1, share 1/8), UCI digits",
}
ANSWER = (
    "IGR on a part of each batch, and with other weights, measured on held-out images that no table of results uses: "
    "the laptop profile, the protocol's attack (IFIA top-k), and the worst of IFIA (top-k and kendall), random signs "
    "and AutoIFIA (quick)."
)
NOTES = (
    "Intervals are over images and, where there are several, over seeds (Student's t).",
    "F: forward passes. Seconds are those of one thread beside other work, some of it paused, so compare F.",
)
BASE, USUAL = "nothing", "integrated gradients"
EXPLANATIONS: dict[str, hf.Attribution] = {
    USUAL: hf.IntegratedGradients(n_steps=5, method="riemann_right"),
    "saliency": hf.Saliency(),
    "input times gradient": hf.InputXGradient(),
    "SmoothGrad": hf.SmoothGrad(n_samples=5),
}
"""What IGR may compare instead of integrated gradients with 5 points: 1, 1 and 5 points."""
APART = {
    "share": ("no share", "IGR on the whole batch"),
    "through": ("none", "IGR through integrated gradients"),
}
LOSS = 0.02
"""Natural accuracy that a weight may cost."""


@dataclass(frozen=True)
class Trial:
    """One training run: a method with a share and a weight of its regulariser, and the explanation it compares.

    ``through`` is a name of `EXPLANATIONS`, or "" for that of the recipe.
    """

    dataset: str
    method: str
    seed: int
    share: float = 0.0
    lam: float = 0.0
    through: str = ""

    @property
    def name(self) -> str:
        tail = f"-share{self.share:g}-lam{self.lam:g}" if self.share else ""
        through = f"-{self.through.replace(' ', '-')}" if self.through else ""
        return f"{self.dataset}-{self.method}-{self.seed}{tail}{through}"

    @property
    def title(self) -> str:
        """What a table calls it."""
        base = self.method.removesuffix("-igr").upper()
        if not self.share:
            return base
        if self.through:
            return f"{base}+IGR through {self.through}"
        return f"{base}+IGR, λ = {self.lam:g}, share {SHARE_NAMES[self.share]}"


KEY = [field.name for field in fields(Trial)]


def share_trials(dataset: str, seeds: tuple[int, ...], shares: tuple[float, ...]) -> Iterator[Trial]:
    """TRADES, and TRADES+IGR on a part of each batch."""
    for seed in seeds:
        yield Trial(dataset, "trades", seed)
        for share in shares:
            yield Trial(dataset, "trades-igr", seed, share, 1.0)


def weight_trials(dataset: str, share: float) -> Iterator[Trial]:
    """Every base with every weight, one seed."""
    for base in BASES:
        yield Trial(dataset, base, 0)
        for lam in WEIGHTS:
            yield Trial(dataset, f"{base}-igr", 0, share, lam)


def through_trials(dataset: str, seeds: tuple[int, ...]) -> Iterator[Trial]:
    """TRADES, and TRADES+IGR that compares one explanation or another; all measured anew, by one attack."""
    for seed in seeds:
        yield Trial(dataset, "trades", seed, through=BASE)
        for name in EXPLANATIONS:
            yield Trial(dataset, "trades-igr", seed, 1 / 8, 1.0, name)


GROUPS = {
    "share-digits": tuple(share_trials("digits", (0, 1, 2), SHARES)),
    "share-mnist": tuple(share_trials("mnist", (0, 1, 2), SHARES)),
    "weight-digits": tuple(weight_trials("digits", 1 / 8)),
    "weight-mnist": tuple(weight_trials("mnist", 1 / 8)),
    "weight-fashion": tuple(weight_trials("fashion_mnist_01", 1 / 8)),
    "weight-cifar10": tuple(weight_trials("cifar10", 1 / 8)),
    "through-digits": tuple(through_trials("digits", (0, 1, 2))),
}


def measured(trial: Trial, root: Path, data_dir: str | None) -> pd.DataFrame:
    """Train and evaluate one trial: a row per image and quantity, kept in the folder of its run."""
    folder = root / trial.name
    kept = folder / "trial.parquet"
    if kept.exists():
        return pd.read_parquet(kept)
    config = method_recipe(trial.dataset, trial.method, "laptop", trial.seed)
    if isinstance(config.objective, IGR):
        explanation = EXPLANATIONS.get(trial.through, config.objective.attribution)
        objective = replace(config.objective, share=trial.share, lam=trial.lam, attribution=explanation)
        config = replace(config, objective=objective)
    run = RunFolder(folder)
    if not run.finished:
        train(config, folder, data_dir=data_dir, resume=True)
    protocol = protocol_of(evaluation(trial.dataset, "laptop"))
    protocol = replace(
        protocol,
        split="val",
        n_examples=config.val_size,
        n_attribution=100,
        batch_size=50,
        predictions={"pgd20": protocol.predictions["pgd20"]},
    )
    data = load_dataset(config.data.name, "val", data_dir=data_dir)
    model = find_model(str(folder), data_dir=data_dir).model
    result = evaluate(model, data, protocol, folder / "held-out")
    assert result is not None
    names = Names(result.records)
    columns = {names.of(q): q for q in quantities(result.records)}
    rows = pd.concat(
        pd.DataFrame({"quantity": name, "index": columns[name].index, "value": columns[name].values}) for name in SHOWN
    )
    made = {"passes": float(config.objective.cost), "seconds": read_training(run)[0]["seconds"]}
    rows = rows.assign(**vars(trial), **made, version=hf.__version__, torch=torch.__version__)
    rows.to_parquet(kept, index=False)
    return rows


def sample(rows: pd.DataFrame, quantity: str, against: pd.DataFrame | None = None) -> Sample | None:
    """A quantity over images and seeds, or its difference to that of other runs on the same images and seeds."""
    parts = [(sign, _column(r, quantity)) for sign, r in ((1.0, rows), (-1.0, against)) if r is not None]
    return contrast(parts, QUANTITIES[quantity].bounds)


def _column(rows: pd.DataFrame, quantity: str) -> dict[int, dict[int, float]]:
    chosen = rows[rows["quantity"] == quantity]
    return {int(seed): dict(zip(own["index"], own["value"], strict=True)) for seed, own in chosen.groupby("seed")}


def by_trial(records: pd.DataFrame, group: str) -> dict[Trial, pd.DataFrame]:
    """The records of each trial of a group that was run, all seeds together, under the trial of seed 0."""
    key = [name for name in KEY if name != "seed"]
    found = {tuple(name): own for name, own in records.groupby(key)}
    trials = dict.fromkeys(replace(trial, seed=0) for trial in GROUPS[group])
    there = ((trial, found.get(tuple(getattr(trial, name) for name in key))) for trial in trials)
    return {trial: own for trial, own in there if own is not None}


def tables(records: pd.DataFrame, group: str) -> list[Table]:
    """The means of each trial; of shares and explanations also their differences, image by image, to IGR as it is."""
    runs = by_trial(records, group)
    columns = [Column(q, title, above, percent=share) for q, (title, above, share) in SHOWN.items()]
    costs = [Column("passes", "F a training image"), Column("seconds", "seconds"), Column("seeds", "seeds")]
    rows = [Row(trial.title, (*(_cell(own, q) for q in SHOWN), *_costs(own))) for trial, own in runs.items()]
    found = [Table(group, TITLES[group], (*columns, *costs), tuple(rows), NOTES)]
    name, usual = _usual(group, runs)
    if usual is not None:
        signed = tuple(replace(column, signed=True) for column in columns)
        away = [
            Row(f"{trial.title} less {name}", tuple(_cell(own, q, runs[usual]) for q in SHOWN))
            for trial, own in runs.items()
            if trial != usual
        ]
        found.append(Table(f"{group}-differences", f"{TITLES[group]}: differences", signed, tuple(away)))
    return found


def _usual(group: str, runs: dict[Trial, pd.DataFrame]) -> tuple[str, Trial | None]:
    """What the others of a group are compared with: IGR on whole batches, or through integrated gradients."""
    if group.startswith("share"):
        return "share 1", next((trial for trial in runs if trial.share == 1.0), None)
    if group.startswith("through"):
        return USUAL, next((trial for trial in runs if trial.through == USUAL), None)
    return "", None


def _cell(own: pd.DataFrame, quantity: str, against: pd.DataFrame | None = None) -> Interval | None:
    found = sample(own, quantity, against)
    return None if found is None else found.interval()


def _costs(own: pd.DataFrame) -> tuple[str, str, str]:
    once = own.drop_duplicates(KEY)
    return f"{once['passes'].iloc[0]:.0f}", f"{once['seconds'].mean():.0f}", str(len(once))


def collect(root: Path) -> None:
    """Put every trial that is there into the records, and render the page from them."""
    kept = [pd.read_parquet(RECORDS)] if RECORDS.exists() else []
    new = [pd.read_parquet(path) for path in sorted(root.glob("*/trial.parquet"))]
    place = [*KEY, "quantity", "index"]
    records = pd.concat([*new, *kept]).fillna({"through": ""}).drop_duplicates(place).sort_values(place)
    RECORDS.parent.mkdir(exist_ok=True)
    records.to_parquet(RECORDS, index=False)
    write_atomically(PAGE, page(records))


def page(records: pd.DataFrame) -> str:
    """The tables of every group whose trials were all run, as Markdown."""
    done = set(records[KEY].drop_duplicates().itertuples(index=False, name=None))
    whole = [group for group, trials in GROUPS.items() if all(astuple(trial) in done for trial in trials)]
    found = {group: tables(records, group) for group in whole}
    sections = [Section(TITLES[group], tuple(made)) for group, made in found.items()]
    told = [
        told_weights(TITLES[group], by_trial(records, group))
        if group.startswith("weight")
        else told_apart(TITLES[group], made[1], *APART[group.partition("-")[0]])
        for group, made in found.items()
    ]
    answer = " ".join([*told, ANSWER])
    return Document("Trials of share, weight and explanation", answer, tuple(sections)).to_markdown()


def told_weights(title: str, runs: dict[Trial, pd.DataFrame]) -> str:
    """Up to which weight each base keeps its natural accuracy, in one sentence."""
    means = {trial: own[own["quantity"] == "natural"]["value"].mean() for trial, own in runs.items()}
    bases = [trial for trial in means if not trial.share]
    kept = []
    for base in bases:
        least = means[base] - LOSS - 1e-9
        own = {trial.lam: mean for trial, mean in means.items() if trial.method == f"{base.method}-igr"}
        lost = min((lam for lam, mean in own.items() if mean < least), default=float("inf"))
        within = [lam for lam in own if lam < lost]
        kept.append(f"{base.title} up to λ = {max(within):g}" if within else f"{base.title} with no weight")
    return f"{title}: natural accuracy stays within {100 * LOSS:g} points of the base's for {listed(kept)}."


def told_apart(title: str, differences: Table, none: str, usual: str) -> str:
    """Which trials can be told from the usual one, in one sentence."""
    apart = [
        f"{row.title.partition(' less ')[0]} in {column.group or 'accuracy'} {column.heading} "
        f"({'above' if cell.side > 0 else 'below'} it)"
        for row in differences.rows
        for column, cell in zip(differences.columns, row.cells, strict=True)
        if "+IGR" in row.title.partition(" less ")[0] and isinstance(cell, Interval) and cell.side
    ]
    return f"{title}: {listed(apart) or none} can be told from {usual}."


def main() -> None:
    arguments = argparse.ArgumentParser(
        prog="python -m bench.trials", description="Trials of IGR's share, weight and explanation."
    )
    arguments.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="which to run; none: collect what is there")
    arguments.add_argument("--root", default="runs/trials", help="folder of the runs")
    arguments.add_argument("--data-dir")
    options = arguments.parse_args()
    for trial in dict.fromkeys(trial for group in options.groups for trial in GROUPS[group]):
        measured(trial, Path(options.root), options.data_dir)
        print(trial.name, flush=True)
    collect(Path(options.root))


if __name__ == "__main__":
    main()
