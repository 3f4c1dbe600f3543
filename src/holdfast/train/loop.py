"""Train one configuration in one folder. A run stopped at any moment resumes to the same weights."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from holdfast.data.loader import DeviceLoader
from holdfast.errors import HoldfastError, HoldfastWarning, NotFinite
from holdfast.files import writable, write_atomically
from holdfast.models.weights import save_weights
from holdfast.objectives import LossOutput, Objective
from holdfast.objectives.base import check_output
from holdfast.part_json import config_hash
from holdfast.sealed import sealed
from holdfast.seeding import seed_of
from holdfast.train.checkpoint import Progress, load_checkpoint, save_checkpoint, share_checkpoint
from holdfast.train.config import TrainConfig
from holdfast.train.distributed import World, current_world, share_buffers, sum_gradients
from holdfast.train.folder import MetricsLog, Report, RunFolder
from holdfast.train.precision import Precision, arithmetic, check_precision, products
from holdfast.train.setup import at_radius, build_optimizer, learning_rate, network_and_loaders, radius_share
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
        self.device = next(model.parameters()).device
        self.generator = torch.Generator(self.device)
        self.optimizer = build_optimizer(config.optim, model)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.progress = Progress()
        self.metadata = {"config": config_hash(config), "model": config.model, "data": config.data.name}
        self.per_epoch = len(train_loader)
        self.total = config.optim.epochs * self.per_epoch

    def restore(self) -> None:
        """Go back to the newest checkpoint, and the log with it."""
        self.world.first(self.read)
        self.progress = share_checkpoint(self.world, self.model, self.optimizer, self.progress)

    def read(self) -> None:
        self.progress = load_checkpoint(self.folder.checkpoints, self.model, self.optimizer)
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

    def report(self, epoch: int, losses: dict[str, float], measured: dict[str, float] | None = None) -> Report:
        batch, epochs = self.config.optim.batch_size, self.config.optim.epochs
        size = (self.per_epoch - 1) * batch + self.train_loader.share(self.per_epoch - 1).total
        begun = (epoch - 1) * self.per_epoch
        images = (epoch - 1) * size + min((self.progress.step - begun) * batch, size)
        return Report(self.progress.step, self.total, epoch, epochs, images, epochs * size, losses, measured)

    def save(self) -> None:
        save_checkpoint(self.folder.checkpoints, self.model, self.optimizer, self.progress, self.metadata)

    def step(self) -> dict[str, float]:
        step = self.progress.step
        epoch, i = divmod(step, self.per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.optim, step, self.per_epoch)
        if self.config.precision != "float32" and i == 0:
            self.compare_precisions(step, epoch, i)
        losses = self.gradient(step, epoch, i, self.config.precision)
        self.optimizer.step()
        self.progress.step += 1
        return losses

    def gradient(self, step: int, epoch: int, i: int, precision: Precision) -> dict[str, float]:
        """Leave the gradient of batch ``i`` in the parameters; returns the terms of the loss."""
        own = (self.world.rank,) if self.world.rank else ()
        self.generator.manual_seed(seed_of(self.config.seed, "attack", step, *own))
        torch.manual_seed(seed_of(self.config.seed, "dropout", step, *own))
        x, y, weight = self.own_images(epoch, i)
        objective = at_radius(self.config.objective, radius_share(self.config.optim, step, self.total))
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        many, full = self.world.size > 1, precision == "float32"
        if many:
            share_buffers(self.model)
        with nullcontext() if full else arithmetic(precision, self.device):
            output = self.outcome(objective, x, y, step)
        losses = self.losses(output, weight, step)
        with nullcontext() if full else products(precision):
            (output.loss * weight).backward()
        if many:
            sum_gradients(self.parameters)
        return losses

    def outcome(self, objective: Objective, x: Tensor, y: Tensor, step: int) -> LossOutput:
        """The loss of a batch; an attack that meets NaN is told of with what a run can do about it."""
        with self.world.together() if self.world.size > 1 else nullcontext():
            try:
                output = objective(self.model, x, y, generator=self.generator)
            except NotFinite as error:
                raise HoldfastError(self.diverged(step, str(error).split(";")[0])) from None
            check_output(objective, output)
            return output

    def diverged(self, step: int, what: str) -> str:
        """What to do about numbers that are none."""
        return (
            f"the loss is not finite at step {step + 1} of {self.total} ({what}); no weights were changed by it: lower "
            f"--optim.lr (now {self.config.optim.lr:g}) or the objective's weights, and check the images."
        )

    def own_images(self, epoch: int, i: int) -> tuple[Tensor, Tensor, float]:
        """Images and labels of this process, and their weight in the mean over the global batch.

        A process that a short last batch leaves without images goes through the motions on one of weight 0, because
        the others wait for it wherever they exchange something.
        """
        share = self.train_loader.share(i)
        if len(share) > 0:
            return *self.train_loader.batch(epoch, i), share.weight
        x, y = self.train_loader.batch(epoch, 0)
        return x[:1], y[:1], 0.0

    def compare_precisions(self, step: int, epoch: int, i: int) -> None:
        """Once an epoch: the cosine between the step's gradients in the run's precision and in float32, logged."""
        before = deepcopy(self.progress), [b.clone() for b in self.model.buffers()]
        found = []
        precisions: tuple[Precision, ...] = ("float32", self.config.precision)
        for precision in precisions:
            self.gradient(step, epoch, i, precision)
            found.append(torch.cat([p.grad.flatten() for p in self.parameters if p.grad is not None]))
            with torch.no_grad():
                for buffer, old in zip(self.model.buffers(), before[1], strict=True):
                    buffer.copy_(old)
        self.progress = before[0]
        cosine = torch.cosine_similarity(found[0], found[1], dim=0).item()
        self.world.first(lambda: self.log.write(kind="precision", step=step, epoch=epoch + 1, gradient_cosine=cosine))
        if cosine < LEAST_COSINE:
            warnings.warn(
                f"at step {step + 1} the {self.config.precision} gradient has a cosine of only {cosine:.3f} to the "
                "float32 one; --precision float32 is safer here.",
                HoldfastWarning,
                stacklevel=2,
            )

    def losses(self, output: LossOutput, weight: float, step: int) -> dict[str, float]:
        """The terms over the global batch, the same in every process."""
        names = ["loss", *output.parts]
        own = torch.stack([output.loss.detach(), *output.parts.values()]).tolist()
        values = own if self.world.size == 1 else self.world.mean(own, weight)
        losses = dict(zip(names, values, strict=True))
        if not all(math.isfinite(v) for v in values):
            terms = ", ".join(f"{name} = {value:.4g}" for name, value in losses.items())
            raise self.world.refusal(self.diverged(step, terms))
        for name, value in losses.items():
            self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
        self.progress.count += 1
        return losses

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
            "device": str(self.device),
            "torch": torch.__version__,
            "log": sha256(self.folder.metrics.read_bytes()).hexdigest(),
        }
        write_atomically(self.folder.result, sealed(result))
