"""Evaluate a network: records first, numbers from the records."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from holdfast.attacks import Attack
from holdfast.attacks.flags import coupling_flags
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError, HoldfastWarning
from holdfast.evaluate.accuracy import accuracy_rows, predict
from holdfast.evaluate.attribution import Others, attribution_rows, other_image_rows
from holdfast.evaluate.cost import Tell, protocol_cost
from holdfast.evaluate.faithfulness import another_image
from holdfast.evaluate.protocol import Protocol, by_name, protocol_differences, read_protocol, usual_settings
from holdfast.evaluate.records import KINDS, RecordFolder, rows_of, table_of
from holdfast.evaluate.result import EvaluationResult
from holdfast.evaluate.standard import default_protocol
from holdfast.evaluate.subject import Data, batch_of, check_subject, data_of, environment_of, subject_of
from holdfast.evaluate.summary import summarise
from holdfast.files import locked_share, refuse_to_replace, write_atomically
from holdfast.gradient.points import block_rows
from holdfast.metrics import Metric
from holdfast.models.arithmetic import float32_products
from holdfast.models.outputs import adapted, logits_of
from holdfast.models.resolve import output_of, seconds_per_pass, warn_of_probabilities
from holdfast.models.state import Model
from holdfast.part_json import refuse_nameless, to_json
from holdfast.sealed import sealed
from holdfast.train.distributed import ALONE, World, current_world
from holdfast.validate import check_classes, check_positive, pick_device

BatchRows = Callable[[Model, Tensor, Tensor, list[int], Protocol, Tell], dict[str, Any]]
OnImages = Callable[[str, float, int], None]
TIMED = 8
"""Images of the trial pass."""
WRITTEN = ("records", "subject.json", "environment.json", "summary.json", "report.html")
EPS = 8 / 255
"""The budget where none is given."""


def evaluate(
    model: Model,
    data: Any,
    protocol: Protocol | None = None,
    out: str | Path | None = None,
    *,
    eps: float | None = None,
    predictions: Mapping[str, Attack | str] | Iterable[Attack | str] | None = None,
    attributions: Iterable[Attribution | str] | None = None,
    attacks: Mapping[str, Attack | str] | Iterable[Attack | str] | None = None,
    metrics: Iterable[Metric | str] | None = None,
    n_examples: int | None = None,
    n_attribution: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    name: str | None = None,
    device: str | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    on_images: OnImages | None = None,
    on_start: Callable[[float], None] | None = None,
) -> EvaluationResult | None:
    """Accuracies under attack and attribution robustness of any ``model`` on ``data``.

    Args:
        model: maps images in [0, 1] to logits and normalises inside itself.
        data: a pair (images, labels) of tensors or arrays, a PyTorch ``Dataset`` or ``DataLoader`` of such pairs (read
            into memory, up to ``n_examples``), what `holdfast.load_dataset` returns, or a data set's name or folder.
        protocol: every setting; None takes FGSM, PGD and CW on predictions, and IFIA towards two goals and random signs
            on integrated gradients, all of radius ``eps`` (Linf, pixels in [0, 1]; 8/255 where it is not given).
        out: folder of the records, where a later call goes on; None keeps them in memory.
        predictions, attributions, attacks, metrics: parts, or their names, in place of the protocol's. Attacks may come
            in a dictionary that names them.
        n_examples, n_attribution, batch_size, seed: in place of the protocol's.
        name: what tables call the model; its class otherwise.
        device: where it runs; None is where the model is.
        rank, world_size: do one shard and wait for nobody. Without them, inside a process group (``torchrun``), the
            processes share the batches, wait for each other and all return the result; ``out`` must be one folder for
            all.
        on_images: told ("accuracy", "attribution" or "control", images done, images in all) before every batch, after
            every attack but its last, and at the end; a batch of which half the work is done counts by half.
        on_start: told the estimated seconds, before anything longer than a trial pass.

    Returns:
        The result; None means that other shards have not finished. Records land in ``out/records``, one file per batch;
        batches that are there are not done again, and any number of shards write the same records.

    Raises:
        HoldfastError: bad settings, or ``out`` holds records made with other settings, weights or images.

    Everything runs in full float32, without TF32. An image on which the network returns NaN, or whose map holds NaN, is
    reported in its records (``status``) and in the warnings, and stops nothing.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> images = torch.rand(6, 1, 4, 4)
        >>> result = evaluate(net, (images, net(images).argmax(1)), eps=0.1, attacks=["random-signs"])
        >>> result.summary.metrics["natural"].mean
        1.0
    """
    if eps is not None:
        check_positive("eps", eps, zero=True)
    most = n_examples if n_examples is not None or protocol is None else protocol.n_examples
    chosen = data_of(data, protocol.split if protocol else "test", most=most)
    if protocol is None:
        protocol = default_protocol(chosen.shape, EPS if eps is None else eps, dataset=chosen.name, split=chosen.split)
    elif eps is not None:
        raise HoldfastError("eps is given beside a protocol, whose attacks have their own; give one of the two.")
    given = {"n_examples": n_examples, "n_attribution": n_attribution, "batch_size": batch_size, "seed": seed}
    changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    usual = usual_settings(protocol)
    for key, parts in (("predictions", predictions), ("attacks", attacks)):
        if parts is not None:
            changed[key] = by_name(Attack, parts, usual)
    if attributions is not None:
        changed["attributions"] = tuple(by_name(Attribution, attributions).values())
    if metrics is not None:
        changed["metrics"] = tuple(by_name(Metric, metrics, usual).values())
    protocol = replace(protocol, **changed)
    alone = rank is not None or world_size is not None
    world = ALONE if alone else current_world()
    shard = (rank or 0, 1 if world_size is None else world_size) if alone else (world.rank, world.size)
    if out is None and shard[1] > 1:
        raise HoldfastError("several processes need one folder for their records; give out.")
    with TemporaryDirectory() if out is None else nullcontext(out) as folder:
        job = _Job(
            model,
            chosen,
            protocol,
            Path(folder).expanduser(),
            _device_of(model) if device is None else pick_device(device),
            world,
            *shard,
            on_images,
            name,
        )
        return job.result(name, keep=out is not None, on_start=on_start)


def _device_of(model: Model) -> str:
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return "cpu" if first is None else str(first.device)


class _Job:
    """One evaluation in one process."""

    def __init__(
        self,
        model: Model,
        data: Data,
        protocol: Protocol,
        out: Path,
        device: str,
        world: World,
        rank: int,
        world_size: int,
        on_images: OnImages | None,
        name: str | None,
    ) -> None:
        self.subject = subject_of(model, data)
        self.data, self.protocol, self.out, self.world = data, protocol, out, world
        self.device, self.rank, self.world_size = device, rank, world_size
        self.on_images = on_images or (lambda *_: None)
        self.model = self._with_logits(model, name)

    def result(
        self, name: str | None, *, keep: bool, on_start: Callable[[float], None] | None
    ) -> EvaluationResult | None:
        """Do this shard's missing batches; the result once every shard has done its own."""
        with ExitStack() as held:
            with self.world.together():
                self._check()
                refuse_to_replace(self.out, "protocol.json", WRITTEN)
                held.enter_context(locked_share(self.out, self.rank, self.world_size))
                if keep:
                    self._admit()
                if on_start is not None:
                    on_start(self._seconds(self.protocol.n_examples or len(self.data)))
            return self._result(name, keep=keep)

    def _result(self, name: str | None, *, keep: bool) -> EvaluationResult | None:
        protocol, images = self.protocol, torch.arange(self.protocol.n_examples or len(self.data))
        with float32_products(tf32=False), torch.autocast(torch.device(self.device).type, enabled=False):
            accuracy = self._records("accuracy", images, accuracy_rows)
            attacked = protocol.attributions and protocol.attacks
            correct = self._correct(images)[: protocol.n_attribution] if attacked else images[:0]
            attribution = self._records("attribution", correct, attribution_rows)
            others = correct if len(correct) > 1 else correct[:0]
            control = self._records("control", others, partial(other_image_rows, others=self._others(correct)))
        if accuracy is None or attribution is None or control is None:
            return None
        table = pa.concat_tables([accuracy, attribution, control])
        features = self.data.images[0].numel()
        summary = summarise(rows_of(table), protocol, features)
        text = sealed(summary.to_dict())
        self.world.first(lambda: write_atomically(self.out / "summary.json", text))
        environment = environment_of(self.device)
        name, folder = name or self.subject["model"], self.out if keep else None
        return EvaluationResult(name, protocol, self.subject, environment, table, summary, folder)

    def _with_logits(self, model: Model, name: str | None) -> Model:
        """The model itself, or around it what reads the logits in what it returns."""
        images, _ = batch_of(self.data, torch.arange(min(2, len(self.data))), self.device)
        output = output_of(model, name, images)
        logits = logits_of(output, len(images))
        check_classes(self.data.labels, logits.shape[1])
        warn_of_probabilities(self.subject["model"], logits)
        found = adapted(model, output, len(images))
        with float32_products(tf32=False):
            flags = coupling_flags(found, images)
        for flag in flags:
            warnings.warn(f"model {self.subject['model']}: {flag}", HoldfastWarning, stacklevel=4)
        return found

    def _check(self) -> None:
        self.protocol.check(len(self.data), self.data.shape)
        if not 0 <= self.rank < self.world_size:
            raise HoldfastError(f"rank {self.rank} of {self.world_size} does not exist; ranks are 0..world_size - 1.")

    def _admit(self) -> None:
        """Raise unless records of this network, these images and these settings may be written into the folder."""
        stored = self.out / "protocol.json"
        if stored.is_file() or self.world_size > 1:
            refuse_nameless(self.protocol, str(self.out))
        if stored.is_file():
            changed = protocol_differences(read_protocol(self.out), self.protocol)
            if changed:
                raise HoldfastError(
                    f"{self.out} holds records made with other settings ({'; '.join(changed)}); choose another --out."
                )
        else:
            write_atomically(stored, to_json(self.protocol))
        check_subject(self.out, self.subject)
        if self.rank == 0:
            write_atomically(self.out / "environment.json", sealed(environment_of(self.device)))

    def _seconds(self, images: int) -> float:
        """About how long this shard will take, from a timed pass and what the attacks cost."""
        size, forward_passes = self.protocol.batch_size, 0.0
        attacked = min(self.protocol.n_attribution, images) if self.protocol.attributions else 0
        for kind, count in zip(KINDS, (images, attacked, attacked), strict=True):
            batches = -(-count // size)
            left = len([*self._folder(kind).missing(batches, self.rank, self.world_size)])
            forward_passes += count * self._costs[kind] * left / max(batches, 1)
        if not forward_passes:
            return 0.0
        few, _ = batch_of(self.data, torch.arange(min(TIMED, size, len(self.data))), self.device)
        at_once = max(len(few), block_rows(few)) if few.device.type == "cpu" else len(few)
        several = few.repeat(-(-at_once // len(few)), *[1] * (few.ndim - 1))[:at_once]
        return forward_passes * seconds_per_pass(self.model, several)

    @cached_property
    def _costs(self) -> dict[str, float]:
        """Forward passes per image of each kind of records."""
        return dict(zip(KINDS, protocol_cost(self.protocol), strict=True))

    def _folder(self, kind: str) -> RecordFolder:
        protocol = self.protocol
        maps = len(protocol.attributions)
        rows = 1 + len(protocol.predictions), maps * len(protocol.attacks), maps
        return RecordFolder(self.out, kind, [metric.key for metric in protocol.metrics], rows[KINDS.index(kind)])

    def _records(self, kind: str, index: Tensor, make: BatchRows) -> pa.Table | None:
        folder = self._folder(kind)
        if len(index) == 0:
            return table_of({"index": []}, folder.metrics)
        batches = index.split(self.protocol.batch_size)
        with self.world.together():
            for b in folder.missing(len(batches), self.rank, self.world_size):
                done = self._teller(kind, b * self.protocol.batch_size, len(batches[b]), len(index))
                images, labels = batch_of(self.data, batches[b], self.device)
                folder.write(b, make(self.model, images, labels, batches[b].tolist(), self.protocol, done))
        self.on_images(kind, len(index), len(index))
        with self.world.together():
            return folder.read([batch.tolist() for batch in batches])

    def _teller(self, kind: str, before: int, count: int, total: int) -> Tell:
        """What reports a batch of ``count`` images, after ``before`` others, by the share of its work that is done."""
        whole = self._costs[kind]
        passes = 0.0

        def tell(made: float) -> None:
            nonlocal passes
            passes += made
            if passes < 0.999 * whole:
                self.on_images(kind, before + count * passes / whole, total)

        tell(0.0)
        return tell

    def _others(self, index: Tensor) -> Others:
        """What finds, for some of the images ``index``, another one of these with its label."""
        other = dict(zip(index.tolist(), index[another_image(self.data.labels[index])].tolist(), strict=True))
        return lambda some: batch_of(self.data, torch.tensor([other[i] for i in some]), self.device)

    def _correct(self, index: Tensor) -> Tensor:
        """Indices of the images that the model classifies correctly, in order."""
        hits = []
        for part in index.split(self.protocol.batch_size):
            images, labels = batch_of(self.data, part, self.device)
            hits.append((predict(self.model, images) == labels).cpu())
        return index[torch.cat(hits)]
