"""The precision of products: float32 in full or with inputs rounded to TF32, and autocast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Any

import torch


@contextmanager
def float32_products(*, tf32: bool) -> Iterator[None]:
    """Convolutions and matrix products of float32 tensors in full precision, or in TF32 (10 bits of mantissa).

    PyTorch's own default on CUDA is TF32 for convolutions alone. The flags are PyTorch's and the whole process's: they
    are put back as they were when the last thread leaves, and while threads disagree, full precision holds for all.

    >>> with float32_products(tf32=False):
    ...     torch.backends.cudnn.allow_tf32
    False
    """
    thread = get_ident()
    with _lock:
        if not _asked:
            _before.append(tf32_flags())
        _asked.setdefault(thread, []).append(tf32)
        _agree()
    try:
        yield
    finally:
        with _lock:
            _asked[thread].pop()
            if not _asked[thread]:
                del _asked[thread]
            _set(_before.pop()) if not _asked else _agree()


_lock = Lock()
_asked: dict[int, list[bool]] = {}
"""What each thread asked for, the innermost last."""
_before: list[tuple[Any, ...]] = []


def _agree() -> None:
    tf32 = all(asked[-1] for asked in _asked.values())
    older = len(_before[0]) == 2
    _set((tf32, "high" if tf32 else "highest") if older else ("tf32" if tf32 else "ieee",) * 3)


def tf32_flags() -> tuple[Any, ...]:
    """PyTorch's flags: two of its older interface, three of the newer where a caller has set those apart."""
    try:
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    except RuntimeError:
        return tuple(part.fp32_precision for part in _parts())


def autocast_state(device: torch.device) -> tuple[str, torch.dtype, bool]:
    """What ``torch.autocast`` takes to restore it, in a backward pass for example."""
    return device.type, torch.get_autocast_dtype(device.type), torch.is_autocast_enabled(device.type)


def _set(flags: tuple[Any, ...]) -> None:
    if len(flags) == 2:
        torch.backends.cudnn.allow_tf32, level = flags
        torch.set_float32_matmul_precision(level)
    else:
        for part, value in zip(_parts(), flags, strict=True):
            part.fp32_precision = value


def _parts() -> tuple[Any, ...]:
    cudnn: Any = torch.backends.cudnn
    return cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul
