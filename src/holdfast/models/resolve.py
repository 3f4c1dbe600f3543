"""Build a network by name, a built-in or a user's factory (``module:factory``, ``file.py:factory``); time it."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import HoldfastError, HoldfastWarning, first_line, unknown_name
from holdfast.imports import imported
from holdfast.models.arithmetic import float32_products
from holdfast.models.built_in import ResNet18, SmallCNN
from holdfast.models.state import Model, evaluating, naming_misfits
from holdfast.validate import check_logits

BUILT_IN: dict[str, Callable[..., nn.Module]] = {
    "small_cnn": SmallCNN,
    "resnet18": ResNet18,
    "resnet18_quarter": partial(ResNet18, width=16),
}


def build_model(
    spec: str, shape: tuple[int, int, int] | None, num_classes: int | None, *, check: bool = True
) -> nn.Module:
    """A fresh network for images of ``shape`` (C, H, W).

    Args:
        spec: ``small_cnn``, ``resnet18``, ``package.module:factory`` or ``path/to/file.py:factory``. A
            factory is called with those of ``num_classes``, ``in_channels``, ``image_size`` that it names.
        shape: (C, H, W) of the images; None where nobody knows, and then nothing is checked.
        num_classes: number of labels, or None likewise.
        check: whether the network must give the logits themselves for such images.

    Raises:
        HoldfastError: when the factory cannot be imported, does not return an ``nn.Module``, or the module
            does not map such images to at least ``num_classes`` logits.
    """
    factory = _factory(spec)
    if isinstance(factory, nn.Module):
        raise HoldfastError(f"{spec} is a network already; name a function that makes it: def make(): return network.")
    offered = {} if shape is None else {"in_channels": shape[0], "image_size": shape[1]}
    offered |= {} if num_classes is None else {"num_classes": num_classes}
    accepted = _accepted(factory, offered)
    try:
        model = factory(**accepted)
    except HoldfastError:
        raise
    except Exception as error:
        given = f"those of {', '.join(offered)} that it names" if offered else "no arguments"
        raise HoldfastError(
            f"model {spec!r}: calling the factory failed with {type(error).__name__}: {error}. "
            f"It is called with {given}, and must return a torch.nn.Module."
        ) from error
    if not isinstance(model, nn.Module):
        raise HoldfastError(f"{spec} returned {type(model).__name__}; a factory must return a torch.nn.Module.")
    if check and shape is not None and num_classes is not None:
        check_model(model, spec, shape, num_classes)
    return model


def check_model(model: nn.Module, spec: str, shape: tuple[int, int, int], num_classes: int) -> None:
    """Raise unless ``model`` maps images of ``shape`` to enough logits; warn if they look like probabilities."""
    example = next(model.parameters(), torch.empty(()))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, *shape, generator=generator).to(example.device)
    logits = output_of(model, spec, images)
    check_logits(logits, len(images))
    if logits.shape[1] < num_classes:
        raise HoldfastError(
            f"model {spec} has {logits.shape[1]} logits, but the data has {num_classes} classes; "
            "build it with enough outputs."
        )
    warn_of_probabilities(spec, logits)


def output_of(model: Model, name: str | None, images: Tensor) -> Any:
    """What ``model`` returns for ``images`` in evaluation mode, in full float32; it is called ``name`` in errors.

    Raises:
        HoldfastError: the network cannot take such images.
    """
    with evaluating(model), torch.no_grad(), float32_products(tf32=False):
        try:
            with naming_misfits(model, images, name):
                return model(images)
        except HoldfastError:
            raise
        except Exception as error:
            kind = "" if isinstance(error, RuntimeError) else f"{type(error).__name__}: "
            remedy = "Choose a model for this shape, or another data set (of another --image-size)."
            if isinstance(error, TypeError) and "argument" in str(error):
                remedy = "A small module around it can hold its other arguments fixed: forward(x) alone is called."
            raise HoldfastError(
                f"{f'model {name}' if name else 'the model'} cannot take images of shape {tuple(images.shape[1:])}: "
                f"{kind}{first_line(error)}. {remedy}"
            ) from error


def check_training_pass(model: nn.Module, spec: str, images: Tensor, processes: int = 1) -> None:
    """Raise unless ``model`` gives logits of ``images`` in training mode; leaves its buffers and the global seed.

    ``processes``: how many share a batch, for the remedy.
    """
    before = [b.clone() for b in model.buffers()]
    remedy = "it must return logits in training mode as in evaluation"
    if len(images) == 1:
        where, fewer = "an epoch's last batch", ""
        if processes > 1:
            where, fewer = f"the share that one of {processes} processes has of a batch", ", or fewer processes"
        remedy = f"{where} holds 1 image; choose another --optim.batch-size or --data.train-size{fewer}"
    model.train()
    devices = [images.device] if images.is_cuda else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices), float32_products(tf32=False):
            check_logits(model(images), len(images))
    except Exception as error:
        raise HoldfastError(
            f"model {spec} cannot be trained on batches of {len(images)}: {first_line(error)}; {remedy}."
        ) from None
    with torch.no_grad():
        for buffer, old in zip(model.buffers(), before, strict=True):
            buffer.copy_(old)


def warn_of_probabilities(name: str, logits: Tensor) -> None:
    """Warn where the outputs of a model are non-negative and sum to 1."""
    sums = logits.sum(1)
    if bool((logits >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        warnings.warn(
            f"the outputs of model {name} look like probabilities (non-negative, summing to 1); holdfast expects "
            "logits: remove the final softmax, or its saturation will hide gradients from every attack.",
            HoldfastWarning,
            stacklevel=3,
        )


def _accepted(factory: Callable[..., Any], offered: dict[str, int]) -> dict[str, int]:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in offered.items() if name in parameters}


def _factory(spec: str) -> Callable[..., Any]:
    if spec in BUILT_IN:
        return BUILT_IN[spec]
    if ":" not in spec:
        raise unknown_name("model", spec, BUILT_IN, "Or give your own as module:factory or file.py:factory.")
    return imported(spec, "model")


BATCH = 64
ENOUGH_SECONDS = 0.3
GRADIENT = 2
"""Forward passes that a forward pass with its input gradient counts for."""


def seconds_per_forward(model: str, shape: tuple[int, int, int], device: str = "cpu", num_classes: int = 10) -> float:
    """Seconds of one F of a network by name, averaged over forward and backward passes of a batch.

    Takes well under a second for the networks of the paper.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(model, shape, num_classes).to(device)
    return seconds_per_pass(network, torch.rand(BATCH if shape[0] == 1 else BATCH // 8, *shape, device=device))


def seconds_per_pass(model: Model, images: Tensor) -> float:
    """Seconds of one F of a network on one of ``images``, averaged over forward and backward passes of the batch."""
    images = images.detach().clone().requires_grad_()

    def step() -> None:
        with evaluating(model):
            output = model(images)
            if output.requires_grad:
                torch.autograd.grad(output.sum(), images)
        if images.is_cuda:
            torch.cuda.synchronize()

    step()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < ENOUGH_SECONDS:
        step()
        done += 1
    return (time.perf_counter() - started) / (done * len(images) * GRADIENT)
