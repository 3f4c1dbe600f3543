"""Networks as people have them: outputs that are not plain logits, and normalisation that lives outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import HoldfastError
from holdfast.models.state import Model


def logits_of(output: Any, batch: int) -> Tensor:
    """The logits (batch, classes) in what a network returned.

    A mapping or an object gives its ``logits``, a tuple or list its first tensor. One logit per image, (batch, 1) or
    (batch,), is that of the second of two classes: it becomes ``(-z / 2, z / 2)``, whose softmax is the sigmoid of z.

    Raises:
        HoldfastError: anything else, with what it is.

    >>> logits_of({"logits": torch.ones(3, 5)}, 3).shape, logits_of(torch.tensor([[1.0], [3.0]]), 2)
    (torch.Size([3, 5]), tensor([[-0.5000,  0.5000],
            [-1.5000,  1.5000]]))
    """
    found = _tensor_in(output)
    if found is not None and found.shape in ((batch, 1), (batch,)):
        half = found.reshape(batch, 1) / 2
        return torch.cat([-half, half], dim=1)
    if found is None or found.ndim != 2 or len(found) != batch:
        shape = tuple(found.shape) if found is not None else type(output).__name__
        raise HoldfastError(
            f"the model returned {shape}; it must return logits of shape ({batch}, classes), or an object, dict or "
            "tuple that holds them."
        )
    return found


def _tensor_in(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        return output["logits"]
    if isinstance(getattr(output, "logits", None), Tensor):
        return output.logits
    if isinstance(output, Sequence) and not isinstance(output, str) and output and isinstance(output[0], Tensor):
        return output[0]
    return None


class Logits(nn.Module):
    """A network whose output is plain logits, whatever the wrapped one returns (see `logits_of`).

    Args:
        model: an ``nn.Module``, or any function of images.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    >>> Logits(net)(torch.rand(3, 1, 2, 2)).shape
    torch.Size([3, 2])
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.model(images), len(images))


def adapted(model: Model, output: Any, batch: int) -> Model:
    """``model`` itself where ``output``, what it returned for ``batch`` images, is plain logits; else in `Logits`."""
    if isinstance(output, Tensor) and output.ndim == 2 and len(output) == batch and output.shape[1] > 1:
        return model
    logits_of(output, batch)
    return Logits(model)


class OneLabel(nn.Module):
    """One label of a multi-label network as two classes: its logit z becomes ``(-z / 2, z / 2)``, absent and present.

    Args:
        model: maps images to one logit per label, each of a sigmoid of its own.
        label: which of them.

    >>> net = OneLabel(nn.Flatten(), 1)
    >>> net(torch.tensor([[[[5.0, 3.0]]]]))
    tensor([[-1.5000,  1.5000]])
    """

    def __init__(self, model: nn.Module, label: int) -> None:
        super().__init__()
        self.model = model
        self.label = label

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.model(images)[:, self.label], len(images))


class Normalized(nn.Module):
    """A network that takes images in [0, 1] and normalises them itself: ``model((images - mean) / std)``.

    Attacks and attributions need the normalisation inside: a radius is in pixels, and a baseline of 0 is black.

    Args:
        model: takes normalised images.
        mean, std: one number per channel, or one for all.

    Raises:
        HoldfastError: a standard deviation of 0 or less.

    >>> net = Normalized(nn.Flatten(), mean=[0.5], std=[0.25])
    >>> net(torch.tensor([[[[0.5, 1.0]]]]))
    tensor([[0., 2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float] | float, std: Sequence[float] | float) -> None:
        super().__init__()
        means, stds = (torch.as_tensor(v, dtype=torch.float32).reshape(1, -1, 1, 1) for v in (mean, std))
        if not bool((stds > 0).all()) or (means.shape[1] not in (1, stds.shape[1]) and stds.shape[1] != 1):
            raise HoldfastError(
                f"mean {means.flatten().tolist()} and std {stds.flatten().tolist()} do not fit; give one number per "
                "channel each, every std more than 0 (in pixels of [0, 1], such as 0.229)."
            )
        self.model = model
        self.register_buffer("mean", means, persistent=False)
        self.register_buffer("std", stds, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.model((images - self.mean.to(images)) / self.std.to(images))
