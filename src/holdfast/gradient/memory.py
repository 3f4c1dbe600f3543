"""Whether the graph of a sum over points fits the memory, from what autograd keeps of one more point.

It buys the choice between the whole graph (4 F per point) and chunks (6 F) without asking the caller.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path as File
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from holdfast.models.twin import SoftplusTwin

SMALL = 2**28
"""Bytes below which nobody asks what there is."""
SHARE = 0.4
"""Part of the device's memory that one graph may take; the backward pass takes as much again.

Of all the memory, not of what happens to be free, so that a run resumed on its machine rounds as it did before.
"""

_per_point: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], int]] = WeakKeyDictionary()


def capacity_bytes(device: torch.device) -> int:
    """The memory of a GPU, or of this machine within the process's control group."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    capacity = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = File("/sys/fs/cgroup/memory.max")
    if limit.is_file() and limit.read_text().strip().isdigit():
        capacity = min(capacity, int(limit.read_text()))
    return capacity


def kept_bytes(run: Callable[[int], object], owned: nn.Module) -> int:
    """What autograd keeps of one more row in ``run(rows)``, the parameters and buffers of ``owned`` aside.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> kept_bytes(lambda rows: net(torch.zeros(rows, 1, 2, 2, requires_grad=True)), net)  # 4 pixels, 8 ReLUs
    48
    """
    own = {t.untyped_storage().data_ptr() for t in [*owned.parameters(), *owned.buffers()]}

    def kept(rows: int) -> int:
        sizes: dict[int, int] = {}
        held: list[Tensor] = []

        def note(tensor: Tensor) -> int:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
            return len(held) - 1

        with torch.autograd.graph.saved_tensors_hooks(note, held.__getitem__):
            output = run(rows)
        del output
        held.clear()  # an output that a node has kept leads back to the node: nobody else would free the two
        return sum(sizes.values())

    return max(kept(3) - kept(2), 0)


def fits(model: nn.Module, run: Callable[[int], object], points: int, x: Tensor) -> bool:
    """Whether the graphs of ``points`` path points fit together; measured once a model and shape of image.

    The softplus twins of one network, of which an attack makes many, keep as much as each other.
    """
    key: tuple[object, ...] = (tuple(x.shape[1:]), x.dtype, x.device)
    owner = model
    if isinstance(model, SoftplusTwin) and isinstance(model.model, nn.Module):
        owner, key = model.model, (*key, "twin", model.pooling)
    shapes = _per_point.setdefault(owner, {})
    if key not in shapes:
        shapes[key] = kept_bytes(run, model)
    need = shapes[key] * points
    return need <= SMALL or need <= SHARE * capacity_bytes(x.device)
