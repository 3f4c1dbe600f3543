"""Checkpoints: a folder a step, complete or absent."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from holdfast.errors import HoldfastError, first_line
from holdfast.files import writable
from holdfast.models.weights import load_weights, refuse_broken_archive, save_weights
from holdfast.train.distributed import World


@dataclass
class Progress:
    """How far a run has come, beside its weights and its optimiser."""

    step: int = 0
    best_score: float = -1.0
    best_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, metadata: dict[str, str]
) -> None:
    """Write ``folder/step-N`` (under another name first, then renamed) and remove the older ones."""
    final = folder / f"step-{progress.step:09d}"
    unfinished = folder / f".part-{progress.step:09d}"
    _remove_unfinished(folder)
    with writable(final), _removing(unfinished):
        unfinished.mkdir(parents=True)
        save_weights(model, unfinished / "model.safetensors", metadata)
        with open(unfinished / "state.pt", "wb") as file:
            torch.save({"optimizer": optimizer.state_dict(), "progress": vars(progress)}, file)
            file.flush()
            os.fsync(file.fileno())
        if final.exists():
            shutil.rmtree(final)
        os.replace(unfinished, final)
    for old in _steps(folder)[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def _remove_unfinished(folder: Path) -> None:
    for leftover in folder.glob(".part-*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _removing(unfinished: Path) -> Iterator[None]:
    """Leave nothing behind on a disk that is full."""
    try:
        yield
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Restore the newest checkpoint into ``model`` and ``optimizer``; a fresh `Progress` when there is none."""
    steps = _steps(folder)
    if not steps:
        return Progress()
    newest = steps[-1]
    load_weights(model, newest / "model.safetensors")
    state = _read_state(newest / "state.pt")
    try:
        optimizer.load_state_dict(state["optimizer"])
        return Progress(**state["progress"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise HoldfastError(
            f"checkpoint {newest} does not fit this run ({error}); delete it and start the run again."
        ) from None


def share_checkpoint(world: World, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> Progress:
    """Give every process the weights, the optimiser state and the progress of rank 0."""
    if world.size == 1:
        return progress
    buffer = io.BytesIO()
    if world.leads:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": vars(progress)}
        torch.save(state, buffer)
    received = world.broadcast(buffer.getvalue())
    if world.leads:
        return progress
    state = torch.load(io.BytesIO(received), map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])


def _read_state(path: Path) -> dict[str, Any]:
    try:
        refuse_broken_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise HoldfastError(
            f"checkpoint {path} cannot be read ({first_line(error)[:120]}): it is damaged or not a checkpoint; "
            f"delete {path.parent} and start the run again."
        ) from None
