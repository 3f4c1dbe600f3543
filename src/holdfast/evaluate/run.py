"""Evaluate a network: records first, numbers from the records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from holdfast.config import EvalConfig
from holdfast.data.image_data import ImageData, to_unit_interval
from holdfast.errors import HoldfastError
from holdfast.evaluate.accuracy import accuracy_records, predict
from holdfast.evaluate.attribution import attribution_records
from holdfast.evaluate.records import Record, RecordFolder
from holdfast.evaluate.subject import check_subject
from holdfast.evaluate.summary import Summary, summarise
from holdfast.files import make_folder, write_atomically
from holdfast.models.arithmetic import float32_products
from holdfast.models.state import Model
from holdfast.parts import differences, from_json, to_json
from holdfast.train.distributed import ALONE, World, current_world

BatchRecords = Callable[[Model, Tensor, Tensor, list[int], int, EvalConfig], list[Record]]
OnBatch = Callable[[str, int, int], None]


def check_eval_config(config: EvalConfig, data: ImageData) -> None:
    """Raise on values that no evaluation could use, before any work is done."""
    features = data.images[0].numel()
    if not 1 <= config.ifia.k <= features:
        raise HoldfastError(
            f"ifia.k is {config.ifia.k}; images of {config.dataset} have {features} features: choose 1 to {features}."
        )
    for name, value in (("eps", config.eps), ("ifia.eps", config.ifia.eps)):
        if not 0 <= value < float("inf"):
            raise HoldfastError(f"{name} is {value}; it must be a finite number of at least 0 (pixels in [0, 1]).")
    beta = config.ifia.surrogate_beta
    for name, count in (
        ("ifia.surrogate_beta", 1.0 if beta is None else beta),
        ("pgd_alpha", config.pgd_alpha),
        ("ifia.alpha", config.ifia.alpha),
        ("ifia.steps", config.ifia.steps),
        ("ifia.n_steps", config.ifia.n_steps),
        ("ifia.restarts", config.ifia.restarts),
        ("cw_steps", config.cw_steps),
        ("score_n_steps", config.score_n_steps),
        ("random_draws", config.random_draws),
        ("batch_size", config.batch_size),
        ("n_attribution", config.n_attribution),
    ):
        if not 0 < count < float("inf"):
            raise HoldfastError(f"{name} is {count}; it must be more than 0.")
    if config.n_examples is not None and not 1 <= config.n_examples <= len(data):
        raise HoldfastError(
            f"n_examples is {config.n_examples}; the {config.split} split of {config.dataset} has {len(data)} images."
        )


def evaluate(
    model: Model,
    data: ImageData,
    config: EvalConfig,
    out: str | Path,
    *,
    device: str = "cpu",
    rank: int | None = None,
    world_size: int | None = None,
    on_batch: OnBatch | None = None,
) -> Summary | None:
    """Accuracies under attack and attribution robustness of ``model`` on ``data``.

    Records land in ``out/records``, one file a batch; batches that are there are not done again, and any
    number of shards write the same records. When all are there, ``out/summary.json`` is written and
    returned; None means that other shards have not finished. Everything runs in full float32, without TF32.

    With ``rank`` and ``world_size`` this process does one shard and waits for nobody. Without them, inside a
    process group (``torchrun``), the processes share the batches, wait for each other and all return the
    summary; ``out`` must be one folder for all.

    Raises:
        HoldfastError: bad settings, or ``out`` holds records made with other settings, weights or images.
    """
    out = Path(out)
    alone = rank is not None or world_size is not None
    world = ALONE if alone else current_world()
    shard = (rank or 0, 1 if world_size is None else world_size) if alone else (world.rank, world.size)
    with world.together():
        _admit(model, data, config, out, *shard)
    chosen = data if config.n_examples is None else data.first(config.n_examples)
    job = _Job(model, chosen, config, out, device, world, *shard, on_batch or (lambda *_: None))
    with float32_products(tf32=False):
        accuracy = job.records("accuracy", torch.arange(len(chosen)), accuracy_records)
        attribution = job.records("attribution", job.correct()[: config.n_attribution], attribution_records)
    if accuracy is None or attribution is None:
        return None
    summary = summarise(accuracy, attribution, config, data.images[0].numel())
    world.first(lambda: write_atomically(out / "summary.json", json.dumps(summary.to_dict(), indent=2) + "\n"))
    return summary


def _admit(model: Model, data: ImageData, config: EvalConfig, out: Path, rank: int, world_size: int) -> None:
    """Raise unless records of this network, these images and these settings may be written into ``out``."""
    check_eval_config(config, data)
    if not 0 <= rank < world_size:
        raise HoldfastError(f"rank {rank} of {world_size} does not exist; ranks are 0..world_size - 1.")
    make_folder(out)
    stored = out / "config.json"
    if stored.is_file():
        changed = differences(from_json(EvalConfig, stored.read_bytes(), str(stored)), config)
        if changed:
            raise HoldfastError(
                f"{out} holds records made with other settings ({'; '.join(changed)}); choose another --out."
            )
    else:
        write_atomically(stored, to_json(config))
    check_subject(out, model, data)


class _Job:
    def __init__(
        self,
        model: Model,
        data: ImageData,
        config: EvalConfig,
        out: Path,
        device: str,
        world: World,
        rank: int,
        world_size: int,
        on_batch: OnBatch,
    ) -> None:
        self.model, self.data, self.config, self.out, self.world = model, data, config, out, world
        self.device, self.rank, self.world_size, self.on_batch = device, rank, world_size, on_batch

    def records(self, kind: str, index: Tensor, make: BatchRecords) -> list[Record] | None:
        """Do this shard's missing batches of ``index``; all records once every shard has done its own."""
        if len(index) == 0:
            return []
        batches = index.split(self.config.batch_size)
        folder = RecordFolder(self.out, kind)
        with self.world.together():
            for b in folder.missing(len(batches), self.rank, self.world_size):
                self.on_batch(kind, b, len(batches))
                images, labels = self.images(batches[b])
                folder.write(b, make(self.model, images, labels, batches[b].tolist(), b, self.config))
        self.on_batch(kind, len(batches), len(batches))
        with self.world.together():
            return folder.read([batch.tolist() for batch in batches])

    def correct(self) -> Tensor:
        """Indices of the images that the model classifies correctly, in order."""
        hits = []
        for index in torch.arange(len(self.data)).split(self.config.batch_size):
            images, labels = self.images(index)
            hits.append((predict(self.model, images) == labels).cpu())
        return torch.cat(hits).nonzero()[:, 0]

    def images(self, index: Tensor) -> tuple[Tensor, Tensor]:
        images = to_unit_interval(self.data.images[index].to(self.device))
        return images, self.data.labels[index].to(self.device)
