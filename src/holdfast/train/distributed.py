"""One training run, or one evaluation, on several processes that torchrun starts.

Every process holds the whole network and computes on its share of each global batch; the gradients are
summed once the backward pass is over. The network is not wrapped in ``DistributedDataParallel``, which

- counts on one forward through the wrapper before one backward. An objective here runs the network many
  times a step, in both modes, inside attacks and under functional double backward;
- averages over processes, which is the mean over the images only where every share is of one size;
- gains its speed by hiding the exchange behind the backward pass, and next to an attack and a path integral
  one exchange a step is little to hide.

Summing ``.grad`` afterwards gives the same numbers and asks nothing of the objective.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from holdfast.errors import HoldfastError, HoldfastWarning

T = TypeVar("T")
PATIENCE = timedelta(days=1)
"""How long processes wait for each other: one may have an evaluation batch more than the others to do."""


class _Agreed(HoldfastError):
    """A refusal that every process raises, so that one of them is enough to tell it."""


@dataclass(frozen=True)
class World:
    """Which of how many processes this is, and how they agree. With one process `gather` and the like are trivial.

    Methods that exchange something must be called by all processes in the same order.

    >>> World().any(True, False), World().gather("a")
    ([True, False], ['a'])
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes files and prints."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """The values of all processes in rank order, in every process; anything that can be pickled."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def gather_numbers(self, values: Sequence[float]) -> list[list[float]]:
        """`gather` for equally many numbers in every process, quick enough for every step."""
        if self.size == 1:
            return [list(values)]
        own = torch.tensor(values, dtype=torch.float64)
        rows = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(rows, own)
        return [row.tolist() for row in rows]

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any process."""
        return [any(column) for column in zip(*self.gather_numbers(flags), strict=True)]

    def mean(self, values: Sequence[float], weight: float) -> list[float]:
        """The sum over the processes of ``weight`` times each value; the weights of all sum to 1."""
        rows = [(row[0], row[1:]) for row in self.gather_numbers([weight, *values])]
        return [sum(w * row[i] for w, row in rows if w > 0) for i in range(len(values))]

    def refusal(self, message: str) -> HoldfastError:
        """An error that all processes are about to raise; the command line prints it once."""
        return HoldfastError(message) if self.size == 1 else _Agreed(message)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block that may refuse in any process: a refusal in one of them is raised in all.

        The block itself exchanges nothing. Errors other than `HoldfastError` are left to torchrun, which ends
        the other processes.
        """
        if self.size == 1:
            yield
            return
        failure: HoldfastError | None = None
        try:
            yield
        except HoldfastError as error:
            failure = error
        for message in self.gather(None if failure is None else str(failure)):
            if message is not None:
                raise self.refusal(message) from failure

    def first(self, do: Callable[[], object]) -> None:
        """Call ``do`` in rank 0 alone; all wait, and raise what it refused with."""
        with self.together():
            if self.leads:
                do()

    @contextmanager
    def leading(self, held: AbstractContextManager[Any]) -> Iterator[None]:
        """Enter ``held`` in rank 0 alone; all go on once it is held, or raise what it refused with."""
        with ExitStack() as stack:
            self.first(lambda: stack.enter_context(held))
            yield

    def broadcast(self, content: bytes) -> bytes:
        """What rank 0 passed."""
        box = [content]
        dist.broadcast_object_list(box)
        return box[0]

    def device_of(self, name: str) -> str:
        """This process's own GPU where ``name`` is ``cuda`` and there are several processes; else ``name``."""
        if self.size == 1 or not name.startswith("cuda"):
            return name
        local, there = int(os.environ.get("LOCAL_RANK", self.rank)), torch.cuda.device_count()
        if name != "cuda":
            raise HoldfastError(f"device {name} is one GPU for {self.size} processes; choose cuda, or one process.")
        if local >= there:
            raise HoldfastError(
                f"this machine has {there} GPUs and at least {local + 1} processes; start one a GPU, or choose cpu."
            )
        torch.cuda.set_device(local)
        return f"cuda:{local}"


ALONE = World()


def current_world() -> World:
    """The processes of torch's default process group; `ALONE` where none was joined."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return ALONE


@contextmanager
def joined() -> Iterator[World]:
    """Join the processes that torchrun started, for one command. Without torchrun: `ALONE`.

    Numbers and objects travel over gloo, gradients on a GPU over nccl. Refusals that all processes raise
    leave the block in rank 0 alone, and warnings are those of rank 0. After any other error the group is left
    as it is (taking it down would wait for the others), and torchrun ends the other processes.

    Raises:
        HoldfastError: ``WORLD_SIZE`` is set without what else torchrun sets.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise HoldfastError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set; start the processes with torchrun, "
            "or unset WORLD_SIZE."
        )
    # An optimiser imports this on its first step, and its default arguments would keep the group of that moment,
    # with threads that can abort the process on its way out.
    import_module("torch.distributed.nn.functional")
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    world = current_world()
    try:
        with warnings.catch_warnings():
            if not world.leads:
                warnings.simplefilter("ignore", HoldfastWarning)
            yield world
    except _Agreed:
        dist.destroy_process_group()
        if world.leads:
            raise
    else:
        dist.destroy_process_group()


def share_buffers(model: nn.Module) -> None:
    """Give every process the buffers (running statistics) of rank 0."""
    for buffer in model.buffers():
        dist.broadcast(buffer, 0)


def sum_gradients(parameters: Sequence[Tensor]) -> None:
    """Replace every ``.grad`` by its sum over the processes, one exchange a dtype.

    A parameter that no process has a gradient of keeps None.
    """
    for dtype in sorted({p.dtype for p in parameters}, key=str):
        alike = [p for p in parameters if p.dtype == dtype]
        parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in alike]
        present = torch.tensor([p.grad is not None for p in alike], dtype=dtype, device=alike[0].device)
        flat = torch.cat([*parts, present])
        dist.all_reduce(flat)
        *parts, present = flat.split([*(p.numel() for p in alike), len(alike)])
        for p, part, processes in zip(alike, parts, present.tolist(), strict=True):
            p.grad = part.view_as(p) if processes else None
