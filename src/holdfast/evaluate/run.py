"""``hf.evaluate``: what is asked for, as one protocol, and one process's share of the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from holdfast.attacks import Attack
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError
from holdfast.evaluate.job import Job, OnImages
from holdfast.evaluate.protocol import Protocol, by_name, usual_settings
from holdfast.evaluate.result import EvaluationResult
from holdfast.evaluate.standard import default_protocol
from holdfast.evaluate.subject import data_of
from holdfast.metrics import Metric
from holdfast.models.state import Model
from holdfast.train.distributed import ALONE, current_world
from holdfast.validate import check_positive, pick_device

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
        >>> import torch
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
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
        job = Job(
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
