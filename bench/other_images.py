"""``python -m bench.other_images``: how much of a map is the same for every image, with IGR and without.

The networks of the zoo, the first test images that a base and the same with IGR both classify correctly. What maps of
different images share is no explanation of either, however steady it is. Every image's numbers land in
``results/other-images.parquet``, the tables in ``docs/other-images.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

import holdfast as hf
from bench.contest import Network, network_of
from bench.pairs import over_images
from holdfast.data.loader import to_unit_interval
from holdfast.evaluate.faithfulness import deletion, insertion, of_other_images, random_order
from holdfast.files import write_atomically
from holdfast.metrics.stats import Interval, Sample
from holdfast.models.find import card_of
from holdfast.report.document import Document, Section
from holdfast.report.table import Column, Row, Table
from holdfast.report.words import dataset_title, interval, listed, number

RECORDS = Path("results/other-images.parquet")
PAGE = Path("docs/other-images.md")
TITLE = "Maps of other images"
PAIRS = {
    ("cifar10/at", "cifar10/at-igr"): 1000,
    ("mnist/at", "mnist/at-igr"): 100,
    ("mnist/trades", "mnist/trades-igr"): 100,
    ("fashion_mnist_01/trades", "fashion_mnist_01/trades-igr"): 100,
}
"""A base and the same with IGR, and the k of their data set."""
EXPLANATIONS: dict[str, hf.Attribution] = {
    "integrated gradients": hf.IntegratedGradients(n_steps=50),
    "input times gradient": hf.InputXGradient(),
    "saliency": hf.Saliency(),
    "SmoothGrad": hf.SmoothGrad(n_samples=10),
}
DARK = 0.05
TOPK, TAU = "top-k", "Kendall τ"
DELETION, INSERTION = "deletion below a random order", "insertion above a random order"
AT_DARK, AT_IMAGE, COSINE = "gradient at 5 % brightness", "gradient at the image", "cosine to input times gradient"
SHARES = (TOPK, DELETION, INSERTION)


def measure(pair: tuple[str, str], k: int, images: int) -> pd.DataFrame:
    """Every quantity of both networks of a pair, one row per image."""
    networks = [network_of(spec) for spec in pair]
    x, y = _images(networks, images)
    parts = [_measured(network, x, y, k).assign(network=spec) for network, spec in zip(networks, pair, strict=True)]
    return pd.concat(parts, ignore_index=True)


def _images(networks: list[Network], images: int) -> tuple[Tensor, Tensor]:
    data = hf.load_dataset(str(networks[0].found.dataset), "test")
    x, y = to_unit_interval(data.images[: 10 * images]), data.labels[: 10 * images]
    right = torch.ones(len(x), dtype=torch.bool)
    with torch.no_grad():
        for network in networks:
            right &= torch.cat([network.found.model(part) for part in x.split(200)]).argmax(1) == y
    rows = right.nonzero()[:images, 0]
    return x[rows], y[rows]


def _measured(network: Network, x: Tensor, y: Tensor, k: int) -> pd.DataFrame:
    model = network.found.model
    rows: list[pd.DataFrame] = []

    def note(explanation: str, quantity: str, values: Tensor) -> None:
        columns = {"explanation": explanation, "quantity": quantity, "image": range(len(values))}
        rows.append(pd.DataFrame({**columns, "value": values.detach().double().numpy().round(5)}))

    order, gradient = random_order(x, torch.Generator().manual_seed(0)), hf.InputXGradient()(model, x, y)
    deleted, inserted = deletion(model, x, y, order), insertion(model, x, y, order)
    for name, explanation in EXPLANATIONS.items():
        maps = explanation(model, x, y)
        note(name, TOPK, of_other_images(maps, hf.TopK(k)))
        note(name, TAU, of_other_images(maps, hf.KendallTau()))
        note(name, DELETION, deleted - deletion(model, x, y, maps))
        note(name, INSERTION, insertion(model, x, y, maps) - inserted)
        note(name, COSINE, hf.cosine_similarity(maps, gradient))
    for quantity, brightness in ((AT_DARK, DARK), (AT_IMAGE, 1.0)):
        note("", quantity, hf.Saliency()(model, brightness * x, y).flatten(1).norm(dim=1))
    return pd.concat(rows, ignore_index=True)


def document_of(records: pd.DataFrame) -> Document:
    """A table for each pair of networks, and what they say."""
    tables, said = [], []
    for (base, igr), k in PAIRS.items():
        own = records[records["network"].isin((base, igr))]
        title = _title(base)
        tables.append(_table(own, base, igr, k, title))
        with_igr, without = (_mean(own, name, "integrated gradients", TOPK) for name in (igr, base))
        said.append(f"{title}: {100 * with_igr.mean:.1f} % with it and {100 * without.mean:.1f} % without")
    answer = (
        "What IGR makes steady is not always about the image. This much of the top features of integrated gradients "
        f"two different images share: {'; '.join(said)}. {_reason(records)}"
    )
    return Document(TITLE, answer, (Section("", tuple(tables)),), warnings=(READING,))


def _title(spec: str) -> str:
    card = card_of(spec)
    return f"{dataset_title(spec.partition('/')[0])}, {card['title']}, seed {card['train']['seed']}"


def _reason(records: pd.DataFrame) -> str:
    """What IGR did to the gradient of the first pair's networks along the way from black to the image."""
    base, igr = next(iter(PAIRS))
    dark, image, cosine = (
        [_mean(records, name, explanation, quantity).mean for name in (base, igr)]
        for explanation, quantity in (("", AT_DARK), ("", AT_IMAGE), ("integrated gradients", COSINE))
    )
    return (
        f"On {_title(base).partition(',')[0]} training lowered the penalty near black, where the way to every image "
        f"begins: at 5 % of its brightness the gradient grew from {dark[0]:.3f} to {dark[1]:.2f} in length, beyond "
        f"that at the image itself ({image[1]:.2f}, as before). So a part that all images have in common makes up much "
        f"of the map, whose cosine to input times gradient fell from {cosine[0]:.2f} to {cosine[1]:.2f}. On the others "
        "nothing of this kind is to be seen; there deletion and insertion of integrated gradients change by "
        f"{_faithfulness(records)} points."
    )


def _faithfulness(records: pd.DataFrame) -> str:
    """What IGR changes in both, of every pair but the first."""
    said = []
    for base, igr in list(PAIRS)[1:]:
        parts = [(1.0, igr), (-1.0, base)]
        found = (_sample(records, parts, "integrated gradients", q).interval().mean for q in (DELETION, INSERTION))
        deleted, inserted = (number(mean, True, 1, signed=True) for mean in found)
        said.append(f"{deleted} and {inserted} ({_title(base)})")
    return listed(said)


READING = (
    "Each map is beside that of the next image of the list, whatever its class: similarity that an attack leaves "
    "counts only where it is above this. Deletion and insertion: how much sooner the label's probability falls, or "
    "rises, in the order of the map than in a random order, in per cent of the area (higher is more faithful). The "
    "gradient is that of the label's logit. Means over images with 95 % intervals, differences (of percentages in "
    "points) paired by image; of one network each, not of the methods."
)


def _table(records: pd.DataFrame, base: str, igr: str, k: int, title: str) -> Table:
    columns = tuple(Column(name, name) for name in ("without", "with IGR", "difference"))
    names = {TOPK: f"top-{k} of another image", TAU: "Kendall τ to another image"}
    shown = [(e, q) for e in EXPLANATIONS for q in (TOPK, TAU, DELETION, INSERTION)]
    shown += [("integrated gradients", COSINE), ("", AT_DARK), ("", AT_IMAGE)]
    rows = []
    for explanation, quantity in shown:
        cells = [_mean(records, name, explanation, quantity) for name in (base, igr)]
        cells.append(_sample(records, [(1.0, igr), (-1.0, base)], explanation, quantity).interval())
        about = f"{explanation}: {names.get(quantity, quantity)}" if explanation else f"length of the {quantity}"
        rows.append(Row(about + (" (%)" if quantity in SHARES else ""), tuple(_text(c, quantity) for c in cells)))
    features = {1000: 3072, 100: 784}[k]
    count = records["image"].nunique()
    note = f"{count} test images; two unrelated maps share {100 * k / features:.1f} % of their top {k}."
    return Table(base, title, columns, tuple(rows), (note,), first="Explanation and quantity")


def _text(found: Interval, quantity: str) -> str:
    percent = quantity in SHARES
    mean = number(found.mean, percent, 1)
    return mean if found.low is None or found.high is None else f"{mean} {interval(found.low, found.high, percent)}"


def _mean(records: pd.DataFrame, network: str, explanation: str, quantity: str) -> Interval:
    return _sample(records, [(1.0, network)], explanation, quantity).interval()


def _sample(records: pd.DataFrame, parts: list[tuple[float, str]], explanation: str, quantity: str) -> Sample:
    own = records[(records["explanation"] == explanation) & (records["quantity"] == quantity)]
    return over_images(own, parts, "value")


def _all(images: int) -> Iterator[pd.DataFrame]:
    for pair, k in PAIRS.items():
        yield measure(pair, k, images)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.other_images", description=__doc__)
    arguments.add_argument("--images", type=int, default=200)
    arguments.add_argument("--records", type=Path, default=RECORDS)
    arguments.add_argument("--page", type=Path, default=PAGE)
    options = arguments.parse_args()
    records = pd.concat(list(_all(options.images)), ignore_index=True)
    records.to_parquet(options.records, index=False)
    write_atomically(options.page, document_of(records).to_markdown())


if __name__ == "__main__":
    main()
