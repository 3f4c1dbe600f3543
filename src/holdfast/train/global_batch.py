"""What in a training step looks beyond the images of one process: random numbers and batch statistics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

from holdfast.data.loader import DeviceLoader, Share
from holdfast.train.distributed import World

IN_PLACE = {
    Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.random_, Tensor.exponential_,
}  # fmt: skip
LIKE = {torch.rand_like, torch.randn_like, torch.randint_like, torch.bernoulli}
SIZED = {torch.rand, torch.randn}
DROPOUT = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d}


def own_part(loader: DeviceLoader, epoch: int, i: int) -> tuple[Tensor, Tensor, Share, float]:
    """Images and labels of this process, which rows of the global batch they are, and their weight in its mean.

    A process that a short last batch leaves without images goes through the motions on an image of weight 0,
    because the others wait for it wherever they exchange something.
    """
    share = loader.share(i)
    if len(share) > 0:
        return *loader.batch(epoch, i), share, share.weight
    x, y = loader.batch(epoch, 0)
    return x[:1], y[:1], Share(0, 1, share.total), 0.0


def as_in_global_batch(world: World, share: Share, weight: float) -> AbstractContextManager[Any]:
    """Inside, a network and an attack on the rows ``share`` do what they would do to them in the whole batch.

    Random numbers are drawn for the whole batch, in every process from the same generators, and each process
    keeps the rows of its images: random starts and dropout masks are those of a single process. Batch
    normalisation in training mode uses the statistics of the whole batch, and its gradient crosses processes.

    A tensor counts as one row an image when its length is ``k`` times the number of images, as when clean and
    attacked images are joined; draws of other lengths are the same in every process. What is not seen is
    randomness inside fused operators (dropout of ``nn.MultiheadAttention`` and ``nn.LSTM``), random orders of
    the batch, and batch normalisation without running statistics: those stay a process's own.
    """
    return nullcontext() if world.size == 1 else _GlobalBatch(share, weight)


class _GlobalBatch(TorchFunctionMode):
    def __init__(self, share: Share, weight: float) -> None:
        super().__init__()
        self.share, self.weight = share, weight

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in IN_PLACE and args and self._has_rows(args[0]):
            whole = func(self._whole(args[0]), *map(self._whole_argument, args[1:]), **kwargs)
            return args[0].copy_(self._own(whole))
        if func in LIKE and args and self._has_rows(args[0]):
            return self._own(func(self._whole(args[0]), *args[1:], **kwargs))
        if func in SIZED:
            return self._sized(func, args, kwargs)
        if func in DROPOUT:
            return self._dropout(func, *args, **kwargs)
        if func is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        return func(*args, **kwargs)

    def _has_rows(self, x: Any) -> bool:
        return isinstance(x, Tensor) and x.ndim > 0 and len(x) > 0 and len(x) % len(self.share) == 0

    def _whole(self, x: Tensor) -> Tensor:
        """``k`` global batches of zeros, but for the rows of ``x``."""
        whole = x.new_zeros(len(x) // len(self.share), self.share.total, *x.shape[1:])
        whole[:, self.share.rows] = x.reshape(-1, len(self.share), *x.shape[1:])
        return whole.flatten(0, 1)

    def _whole_argument(self, value: Any) -> Any:
        return self._whole(value) if self._has_rows(value) else value

    def _own(self, whole: Tensor) -> Tensor:
        return whole.unflatten(0, (-1, self.share.total))[:, self.share.rows].flatten(0, 1)

    def _sized(self, func: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        size = kwargs.pop("size", args[0] if len(args) == 1 and not isinstance(args[0], int) else args)
        if not size or size[0] == 0 or size[0] % len(self.share):
            return func(size, **kwargs)
        batches = size[0] // len(self.share)
        return self._own(func((batches * self.share.total, *size[1:]), **kwargs))

    def _dropout(
        self, func: Callable[..., Tensor], input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or not self._has_rows(input):
            return func(input, p, training, inplace)
        return self._own(func(self._whole(input), p, True))

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training or running_mean is None or running_var is None or not self._has_rows(input):
            return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        x = input.to(torch.promote_types(input.dtype, running_mean.dtype))
        others, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        count = x.numel() // x.shape[1] // len(self.share) * self.share.total
        mean = self._sum(x, others) / count
        centred = x - mean.view(shape)
        var = self._sum(centred.square(), others) / count
        with torch.no_grad():
            running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
            running_var.mul_(1 - momentum).add_(var, alpha=momentum * count / max(count - 1, 1))
        scale = (var + eps).rsqrt()
        scale = scale if weight is None else scale * weight
        out = centred * scale.view(shape)
        return (out if bias is None else out + bias.view(shape)).to(input.dtype)

    def _sum(self, x: Tensor, dims: list[int]) -> Tensor:
        own = x.sum(dims)
        return _SumOverProcesses.apply(own if self.weight > 0 else own * 0)


class _SumOverProcesses(Function):
    """The sum over all processes; so is its gradient, since every process's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _SumOverProcesses.apply(grad)
