"""``python -m bench.autoattack``: the accuracy of networks with IGR and without under AutoAttack.

The networks of the zoo, the first test images, the radius that each was trained for; PGD with 20 steps beside it. A
network that is there is not attacked again. Every image lands in ``results/autoattack.parquet``, the tables in
``docs/autoattack.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import holdfast as hf
from bench.contest import network_of
from bench.pairs import BASES, images_on, methods_of, over_images
from holdfast.data.loader import to_unit_interval
from holdfast.evaluate import protocol_of
from holdfast.files import write_atomically
from holdfast.metrics.stats import Interval
from holdfast.models.find import card_of
from holdfast.recipes import evaluation
from holdfast.report.document import Document, Section
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import counted, dataset_title, interval, listed, number

RECORDS = Path("results/autoattack.parquet")
PAGE = Path("docs/autoattack.md")
TITLE = "Accuracy under AutoAttack, with IGR and without"
ATTACKS = {"natural": "Natural", "pgd20": "PGD-20", "autoattack": "AutoAttack"}


def measure(spec: str, images: int) -> pd.DataFrame:
    """Which of the first test images a network gets right as they are and under each attack: one row per image."""
    network, setup = network_of(spec), spec.partition("/")[0]
    data, model = hf.load_dataset(str(network.found.dataset), "test"), network.found.model
    x, y = to_unit_interval(data.images[:images]), data.labels[:images]
    attacks = {"pgd20": protocol_of(evaluation(setup, "laptop")).predictions["pgd20"]}
    attacks |= {"autoattack": hf.AutoAttack(network.eps)}
    moved = {"natural": x} | {
        name: attack(model, x, y, generator=torch.Generator().manual_seed(0)) for name, attack in attacks.items()
    }
    with torch.no_grad():
        right = {name: (model(z).argmax(1) == y).numpy() for name, z in moved.items()}
    return pd.DataFrame({"network": spec, "image": range(images), **right})


def document_of(records: pd.DataFrame) -> Document:
    """A table per data set, and whether IGR costs accuracy under the strongest attack."""
    tables: list[Table] = []
    apart: list[str] = []
    level: list[str] = []
    for setup, bases in BASES.items():
        rows = []
        for base in bases:
            pair = f"{setup}/{base}", f"{setup}/{base}-igr"
            for spec in pair:
                cells = [_interval(records, [(1.0, spec)], attack) for attack in ATTACKS]
                rows.append(Row(card_of(spec)["title"], tuple(cells)))
            away = [_interval(records, [(1.0, pair[1]), (-1.0, pair[0])], attack) for attack in ATTACKS]
            rows.append(Row(f"{card_of(pair[1])['title']} less {card_of(pair[0])['title']} (points)", tuple(away)))
            (apart if away[-1].side else level).append(f"{dataset_title(setup)} {_told(card_of(pair[0]), away[-1])}")
        columns = tuple(Column(name, title, percent=True) for name, title in ATTACKS.items())
        first = card_of(f"{setup}/{bases[0]}")
        count = records[records["network"] == f"{setup}/{bases[0]}"]["image"].nunique()
        note = (
            f"The first {counted(count, 'test image')}, ε = {first['evaluation']['eps']:.3g}; networks of seed "
            f"{first['train']['seed']}, trained for {first['train']['optim']['epochs']} epochs on "
            f"{first['train']['data']['train_size']:,} images."
        )
        tables.append(Table(setup, dataset_title(setup), columns, tuple(rows), (note,)))
    said = [f"changes the accuracy beyond the interval on {listed(apart)}"] if apart else []
    said += [f"cannot be told from its base on {listed(level)}"] if level else []
    answer = (
        f"Under AutoAttack IGR {' and '.join(said)}: points with 95 % intervals over images, of these networks of one "
        "seed each, not of the methods."
    )
    return Document(TITLE, answer, (Section("", tuple(tables)),), warnings=(READING,))


READING = (
    "AutoAttack is its standard version: APGD on the cross-entropy, targeted APGD and FAB with nine targets, 100 steps "
    "each, and Square Attack with 5,000 queries, each on the images that are left. PGD-20 is that of the tables."
)


def _told(card: dict[str, Any], found: Interval) -> str:
    ends = "" if found.low is None or found.high is None else interval(found.low, found.high, True, 1, signed=True)
    return f"{card['title']} ({number(found.mean, True, 1, signed=True)} {ends})"


def _interval(records: pd.DataFrame, parts: Sequence[tuple[float, str]], attack: str) -> Interval:
    return over_images(records, parts, attack, (0.0, 1.0)).interval()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.autoattack", description=__doc__)
    parser.add_argument("--images", type=int, default=100, help="of each data set; half as many of CIFAR-10")
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    records = pd.read_parquet(options.records) if options.records.exists() else pd.DataFrame({"network": []})
    for setup in BASES:
        for spec in (f"{setup}/{method}" for method in methods_of(setup)):
            if spec not in set(records["network"]):
                made = measure(spec, images_on(setup, options.images))
                records = pd.concat([records, made], ignore_index=True)
                records.to_parquet(options.records, index=False)
                print(spec, flush=True)
    write_atomically(options.page, document_of(records).to_markdown())


if __name__ == "__main__":
    main()
