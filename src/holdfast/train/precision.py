"""The arithmetic of the training pass: float32 in full, or less by request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch
from torch import nn

from holdfast.errors import HoldfastError
from holdfast.models.arithmetic import float32_products

Precision = Literal["float32", "tfloat32", "bfloat16"]


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise where ``precision`` would be float32 by another name."""
    if precision == "tfloat32" and device.type != "cuda":
        raise HoldfastError(
            f"--precision tfloat32 is arithmetic of NVIDIA GPUs, and this run is on {device}; "
            "choose float32, or bfloat16, which a CPU has too."
        )


def lay_out(model: nn.Module, precision: Precision, device: torch.device) -> nn.Module:
    """Channels last where tensor cores, which take that layout, do the work; else as the network was built."""
    if device.type == "cuda" and precision != "float32":
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def products(precision: Precision) -> AbstractContextManager[None]:
    """Float32 convolutions and matrix products as ``precision`` has them; all that a backward pass needs."""
    return float32_products(tf32=precision == "tfloat32")


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Inside, networks compute in ``precision``.

    Without autocast's cache, which would hand casts made inside an attack, without a graph, to the loss.
    """
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)
    with products(precision), autocast:
        yield
