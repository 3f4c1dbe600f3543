"""Train one configuration in one folder. A run stopped at any moment resumes to the same weights."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn

from holdfast.data.loader import DeviceLoader
from holdfast.errors import HoldfastWarning
from holdfast.files import writable, write_atomically
from holdfast.models.weights import save_weights
from holdfast.part_json import config_hash
from holdfast.sealed import sealed
from holdfast.train.checkpoint import Progress, load_checkpoint, save_checkpoint, share_checkpoint
from holdfast.train.config import TrainConfig
from holdfast.train.distributed import World, current_world
from holdfast.train.folder import MetricsLog, Report, RunFolder
from holdfast.train.precision import check_precision, products
from holdfast.train.setup import network_and_loaders
from holdfast.train.step import Stepper
from holdfast.train.validation import validate
from holdfast.validate import pick_device

CHECKPOINT_SECONDS = 300.0
LINES_PER_EPOCH = 20
LEAST_COSINE = 0.8
"""A bfloat16 gradient that agrees less than this with the float32 one is warned of."""


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    device: str = "cpu",
    data_dir: str | None = None,
    resume: bool = False,
    on_start: Callable[[DeviceLoader], None] | None = None,
    on_step: Callable[[Report], None] | None = None,
    stop: Callable[[], bool] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> RunFolder:
    """Train ``config`` and leave ``config.json``, ``metrics.jsonl``, weights and ``result.json`` in ``out``.

    Every random number is a function of the seed and the step, so that only weights, optimiser state and the
    step need saving. On a CPU a resumed run ends bit-identical to one that was never stopped. The global
    random state is left as it was. When ``stop`` says so after a step, the run is saved and left unfinished.
    ``on_start`` is called when all is checked and nothing is written yet, and may refuse.

    Inside a process group (``torchrun``; gloo for CPU tensors) all processes call this with the same arguments
    but for their ``device``, with the usual semantics of data parallel training: each takes its own part of every
    global batch, draws its own random numbers, and normalises over its own images with the running statistics of
    rank 0; the gradient is the mean over all images. Where nothing is random and nothing couples images, the weights
    are those of one process up to the order of floating-point sums. Rank 0 alone writes; a ``stop`` in any process
    stops all; any number of processes may resume.

    Raises:
        HoldfastError: bad settings, missing data, a folder in use or finished, a loss that is not finite; in all
            processes alike.
    """
    world, device = current_world(), pick_device(device)
    with torch.random.fork_rng(devices=_cuda_devices(device)):
        with world.together():
            check_precision(config.precision, torch.device(device))
            parts = network_and_loaders(config, world, device, data_dir)
            run = _Run(config, RunFolder(Path(out).expanduser()), world, *parts, on_step, stop, checkpoint_seconds)
        world.first(lambda: run.folder.check(config, resume=resume))
        if on_start is not None:
            world.first(lambda: on_start(run.train_loader))
        with world.leading(run.folder.writing(config, resume=resume)), products("float32"):
            run.restore()
            run.go()
    return run.folder


def _cuda_devices(device: str) -> list[int]:
    if not device.startswith("cuda"):
        return []
    return [torch.device(device).index or 0]


class _Run:
    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        world: World,
        model: nn.Module,
        train_loader: DeviceLoader,
        val_loader: DeviceLoader,
        on_step: Callable[[Report], None] | None,
        stop: Callable[[], bool] | None,
        checkpoint_seconds: float,
    ) -> None:
        self.config, self.folder, self.world, self.model = config, folder, world, model
        self.train_loader, self.val_loader = train_loader, val_loader
        self.on_step = on_step or (lambda report: None)
        self.stop = stop or (lambda: False)
        self.checkpoint_seconds = checkpoint_seconds
        self.stepper = Stepper(config, world, model, train_loader)
        self.progress = Progress()
        self.metadata = {"config": config_hash(config), "model": config.model, "data": config.data.name}
        self.per_epoch, self.total = self.stepper.per_epoch, self.stepper.total

    def restore(self) -> None:
        """Go back to the newest checkpoint, and the log with it."""
        self.world.first(self.read)
        self.progress = share_checkpoint(self.world, self.model, self.stepper.optimizer, self.progress)

    def read(self) -> None:
        self.progress = load_checkpoint(self.folder.checkpoints, self.model, self.stepper.optimizer)
        self.log = MetricsLog(self.folder.metrics, self.progress.step)

    def go(self) -> None:
        every = max(1, self.per_epoch // LINES_PER_EPOCH)
        started = saved = time.monotonic()
        before = self.progress.seconds
        while self.progress.step < self.total:
            losses = self.step()
            progress = self.progress
            progress.seconds = before + time.monotonic() - started
            epoch = (progress.step - 1) // self.per_epoch + 1
            if progress.step % every == 0:
                self.write_window(epoch)
            self.on_step(self.report(epoch, losses))
            ends_epoch = progress.step % self.per_epoch == 0
            if ends_epoch:
                self.end_epoch(epoch, losses)
            stopped, due = self.world.any(
                self.stop() and progress.step < self.total, time.monotonic() - saved > self.checkpoint_seconds
            )
            if ends_epoch or stopped or due:
                self.world.first(self.save)
                saved = time.monotonic()
            if stopped:
                return
        self.world.first(self.finish)

    def step(self) -> dict[str, float]:
        progress = self.progress
        if self.config.precision != "float32" and progress.step % self.per_epoch == 0:
            self.compare_precisions()
        losses = self.stepper.step(progress.step)
        for name, value in losses.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.count += 1
        progress.step += 1
        return losses

    def compare_precisions(self) -> None:
        """Once an epoch: how far the gradient of the run's precision agrees with the float32 one, logged."""
        step = self.progress.step
        cosine = self.stepper.agreement(step)
        epoch = step // self.per_epoch + 1
        self.world.first(lambda: self.log.write(kind="precision", step=step, epoch=epoch, gradient_cosine=cosine))
        if cosine < LEAST_COSINE:
            warnings.warn(
                f"at step {step + 1} the {self.config.precision} gradient has a cosine of only {cosine:.3f} to the "
                "float32 one; --precision float32 is safer here.",
                HoldfastWarning,
                stacklevel=2,
            )

    def report(self, epoch: int, losses: dict[str, float], measured: dict[str, float] | None = None) -> Report:
        batch, epochs = self.config.optim.batch_size, self.config.optim.epochs
        size = (self.per_epoch - 1) * batch + self.train_loader.share(self.per_epoch - 1).total
        begun = (epoch - 1) * self.per_epoch
        images = (epoch - 1) * size + min((self.progress.step - begun) * batch, size)
        return Report(self.progress.step, self.total, epoch, epochs, images, epochs * size, losses, measured)

    def save(self) -> None:
        save_checkpoint(self.folder.checkpoints, self.model, self.stepper.optimizer, self.progress, self.metadata)

    def write_window(self, epoch: int) -> None:
        progress = self.progress
        means = {name: total / progress.count for name, total in progress.sums.items()}
        self.world.first(lambda: self.log.write(kind="train", step=progress.step, epoch=epoch, **means))
        progress.sums, progress.count = {}, 0

    def end_epoch(self, epoch: int, losses: dict[str, float]) -> None:
        progress = self.progress
        measured = validate(self.model, self.val_loader, self.config)
        score = measured[self.config.objective.chooses_by]
        if score > progress.best_score:
            progress.best_score, progress.best_epoch = score, epoch
            self.world.first(self.keep_best)
        self.world.first(lambda: self.log.write(kind="validation", step=progress.step, epoch=epoch, **measured))
        self.on_step(self.report(epoch, losses, measured))

    def keep_best(self) -> None:
        with writable(self.folder.best):
            metadata = {**self.metadata, "epoch": str(self.progress.best_epoch)}
            save_weights(self.model, self.folder.best, metadata)

    def finish(self) -> None:
        progress = self.progress
        with writable(self.folder.last):
            save_weights(self.model, self.folder.last, {**self.metadata, "epoch": str(self.config.optim.epochs)})
        result = {
            "steps": progress.step,
            "epochs": self.config.optim.epochs,
            "best_epoch": progress.best_epoch,
            "best_validation": progress.best_score,
            "seconds": round(progress.seconds, 1),
            "images": self.train_loader.encoding,
            "device": str(self.stepper.device),
            "torch": torch.__version__,
            "log": sha256(self.folder.metrics.read_bytes()).hexdigest(),
        }
        write_atomically(self.folder.result, sealed(result))
