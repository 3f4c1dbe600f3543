"""Borrow a model, or a setting of the whole process, and give it back as it was; in any number of threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import RLock
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize

from holdfast.errors import HoldfastError

Model = Callable[[Tensor], Tensor]
"""Maps images (B, C, H, W) in [0, 1] to logits (B, classes)."""


def hides_operators(model: Model) -> bool:
    """Whether PyTorch's function modes cannot see into it as it is: TorchScript, or ``DataParallel``, inside it too."""
    hiding = (torch.jit.ScriptModule, nn.DataParallel)
    if isinstance(model, nn.Module):
        return any(isinstance(m, hiding) for m in model.modules())
    return isinstance(model, torch.jit.ScriptFunction)


_lock = RLock()


class _Lent:
    """A change of the whole process: made by the first that enters, undone by the last that leaves."""

    def __init__(self, change: Callable[[], AbstractContextManager[Any]]) -> None:
        self.change = change
        self.users = 0
        self.made: AbstractContextManager[Any] | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with _lock:
            if self.users == 0:
                self.made = self.change()
                self.made.__enter__()
            self.users += 1
        try:
            yield
        finally:
            with _lock:
                self.users -= 1
                if self.users == 0 and self.made is not None:
                    self.made.__exit__(None, None, None)
                    self.made = None


@contextmanager
def _plain_checkpoints() -> Iterator[None]:
    module: Any = torch.utils.checkpoint
    names = "CheckpointFunction", "_checkpoint_without_reentrant_generator"
    before = [getattr(module, name) for name in names]
    for name, plain in zip(names, (_PlainCheckpoint, _nothing_around), strict=True):
        setattr(module, name, plain)
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(module, name, value)


class _PlainCheckpoint:
    @staticmethod
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        return function(*args)


def _nothing_around(*args: Any, **kwargs: Any) -> Iterator[None]:
    yield


def _force_eager() -> AbstractContextManager[Any]:
    """Without the compiler, which takes seconds to import, nothing is compiled."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


_eager = _Lent(_force_eager)
_math_attention = _Lent(lambda: sdpa_kernel(SDPBackend.MATH))
_no_checkpoints = _Lent(_plain_checkpoints)


def eagerly() -> AbstractContextManager[None]:
    """Run compiled networks (``torch.compile``) as they were written.

    Compiled code has no second derivatives, and does not see what a ``TorchFunctionMode`` changes. PyTorch's stance
    is the whole process's: it is put back when the last thread leaves.
    """
    return _eager()


def math_attention() -> AbstractContextManager[None]:
    """Run attention on the one kernel that can be differentiated twice; put back when the last thread leaves."""
    return _math_attention()


def without_checkpoints() -> AbstractContextManager[None]:
    """``torch.utils.checkpoint`` keeps activations, instead of running a part of the network again in the backward.

    There no mode of the caller's is on, so that it would fail or differentiate another network; and a reentrant
    checkpoint lets no gradient through to the images at all. The numbers are those of the network without checkpoints;
    other threads lose the memory that these save, while this lasts.
    """
    return _no_checkpoints()


@dataclass
class _Borrowed:
    module: nn.Module
    training: bool
    users: int = 0


_borrowed: dict[int, _Borrowed] = {}


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Put every submodule in evaluation mode (frozen normalisation, no dropout); restore each flag after.

    Threads may do so with one model at a time of their own: it is restored when the last of them leaves.

    Weights that ``parametrize.cached()`` keeps are computed anew, since what a pass without a graph left there has no
    gradient. Autocast forgets its casts at the end: older PyTorch would hand those made without a graph to a later
    pass that needs one.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    >>> _ = net[1].eval()
    >>> with evaluating(net):
    ...     net.training
    False
    >>> net.training, net[1].training
    (True, False)
    """
    every = model.modules() if isinstance(model, nn.Module) else []
    modules = [m for m in every if hasattr(m, "training")]  # frozen TorchScript has no modes
    with _lock:
        for module in modules:
            _borrowed.setdefault(id(module), _Borrowed(module, module.training)).users += 1
            module.training = False
        cached = parametrize._cache_enabled
        parametrize._cache_enabled -= cached
    try:
        yield
    finally:
        with _lock:
            parametrize._cache_enabled += cached
            for module in modules:
                entry = _borrowed[id(module)]
                entry.users -= 1
                if entry.users == 0:
                    module.training = entry.training
                    del _borrowed[id(module)]
        torch.clear_autocast_cache()


@contextmanager
def naming_misfits(model: Model, images: Tensor, name: str | None = None) -> Iterator[None]:
    """Turn PyTorch's error about two types, or about the number of images, into one line with the remedy.

    A model that is found by its ``name`` is for the images of the command line, which have one type: it must change.
    One that changed ``images`` themselves is refused.
    """
    before = None if images.is_inference() else images._version
    try:
        yield
        if before is not None and before != images._version:
            raise HoldfastError(
                f"{name or 'the model'} changes its input in place (x.mul_(2), ReLU(inplace=True) as the first layer), "
                "and so the images themselves; let it make a new tensor: x = x * 2, inplace=False."
            )
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise HoldfastError(
            "the model normalises by the statistics of the batch in evaluation mode too, which one image does not "
            "have; track statistics in its batch normalisation (track_running_stats=True), and train it so."
        ) from None
    except RuntimeError as error:
        weights = model.parameters() if isinstance(model, nn.Module) else ()
        kinds = sorted({str(p.dtype) for p in weights if p.is_floating_point()})
        if kinds in ([], [str(images.dtype)]) or "type" not in str(error):
            if (only := _only_batch(model, images)) is not None:
                raise HoldfastError(
                    f"{name or 'the model'} takes {only} images at once and no other number; let its forward pass "
                    "follow the batch: x.flatten(1) or x.reshape(len(x), ...) in place of a fixed number."
                ) from error
            raise
        of, found = (f"model {name}'s" if name else "the model's"), " and ".join(kinds)
        remedy = f"convert the model with model.to({images.dtype})"
        if name is not None:
            remedy = f"convert it with .to({images.dtype}) where it is made or saved"
        elif len(kinds) == 1:
            remedy = f"pass images.to({found}), or {remedy}"
        raise HoldfastError(f"images are {images.dtype} and {of} weights {found}: {remedy}.") from error


def _only_batch(model: Model, images: Tensor) -> int | None:
    """The one number of images that a model takes, of the powers of two up to 64 and that of ``images``; else None."""
    taken = []
    for size in sorted({len(images), *(2**i for i in range(7))}):
        batch = images[:1].repeat(size, *[1] * (images.ndim - 1))
        try:
            with evaluating(model), torch.no_grad():
                model(batch)
            taken.append(size)
        except RuntimeError:
            continue
    return taken[0] if len(taken) == 1 else None


@contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Leave ``torch.inference_mode``, in which nothing can be differentiated, for one without gradients by default."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


def usable(*tensors: Tensor) -> list[Tensor]:
    """Tensors as autograd can use them: copies, made outside inference mode, of what was made in it."""
    return [t.clone() if t.is_inference() else t for t in tensors]


def is_transformed() -> bool:
    """Whether this runs inside ``torch.func.vmap`` or another transform, which takes PyTorch's own operators alone."""
    return torch._C._functorch.maybe_current_level() is not None
