"""One evaluation in one process: records first, numbers from the records."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from holdfast.attacks.flags import coupling_flags
from holdfast.errors import HoldfastError, HoldfastWarning
from holdfast.evaluate.accuracy import accuracy_rows, predict
from holdfast.evaluate.attribution import Others, attribution_rows, other_image_rows
from holdfast.evaluate.cost import Tell, protocol_cost
from holdfast.evaluate.faithfulness import another_image
from holdfast.evaluate.protocol import Protocol, protocol_differences, read_protocol
from holdfast.evaluate.records import KINDS, RecordFolder, rows_of, table_of
from holdfast.evaluate.result import EvaluationResult
from holdfast.evaluate.subject import Data, batch_of, check_subject, environment_of, subject_of
from holdfast.evaluate.summary import summarise
from holdfast.files import locked_share, refuse_to_replace, write_atomically
from holdfast.gradient.points import block_rows
from holdfast.models.arithmetic import float32_products
from holdfast.models.outputs import adapted, logits_of
from holdfast.models.resolve import output_of, seconds_per_pass, warn_of_probabilities
from holdfast.models.state import Model
from holdfast.part_json import refuse_nameless, to_json
from holdfast.sealed import sealed
from holdfast.train.distributed import World
from holdfast.validate import check_classes

BatchRows = Callable[[Model, Tensor, Tensor, list[int], Protocol, Tell], dict[str, Any]]
OnImages = Callable[[str, float, int], None]
TIMED = 8
"""Images of the trial pass."""
WRITTEN = ("records", "subject.json", "environment.json", "summary.json", "report.html")


class Job:
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
