"""The sum of gradients along the straight path from a baseline to an image, with or without a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from holdfast.attribution.compiled import compiled
from holdfast.attribution.cpu_operators import input_gradients
from holdfast.attribution.memory import fits
from holdfast.attribution.quadrature import path_rule
from holdfast.attribution.second_order import SecondOrder
from holdfast.config import Method
from holdfast.errors import HoldfastError
from holdfast.models.arithmetic import autocast_state
from holdfast.models.state import Model, eagerly, evaluating, math_attention
from holdfast.validate import check_classes, check_logits

CPU_FEATURES = 100_000
ACCELERATOR_ROWS = 1024


def block_rows(x: Tensor) -> int:
    """Path points that run fastest at once: on a CPU a block whose activations stay near its caches."""
    return min(max(CPU_FEATURES // x[0].numel(), 4), 640) if x.device.type == "cpu" else ACCELERATOR_ROWS


def by_whole_paths(
    function: Callable[..., Tensor], n_steps: int, rows: int | None, images: Tensor, *others: Tensor
) -> Tensor:
    """``function(images, *others)``, image by image the same, on as many images at once as fill a block of ``rows``.

    So the graph of a whole path is there when its gradient is taken, while memory does not grow with the batch.
    """
    size = max((rows or block_rows(images)) // n_steps, 1)
    if size >= len(images):
        return function(images, *others)
    groups = zip(*(t.split(size) for t in (images, *others)), strict=True)
    return torch.cat([function(*group) for group in groups])


def selected_logits(logits: Tensor, target: Tensor) -> Tensor:
    """The sum over the batch of each point's target logit."""
    return logits.gather(1, target[:, None]).sum()


@dataclass(frozen=True)
class Path:
    """What is integrated: ``value(logits, target)`` of a model, along ``n_steps`` quadrature nodes.

    ``value`` is summed over the batch, each point's share a function of its own logits alone.
    """

    model: Model
    target: Tensor
    method: Method
    n_steps: int
    create_graph: bool = False
    weights: bool = True
    value: Callable[[Tensor, Tensor], Tensor] = selected_logits

    def rule(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return _rule_on(self.method, self.n_steps, like.device, like.dtype)

    def chunks(self, batch: int, rows: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Blocks of at most ``rows`` path points as (node index, image index)."""
        flat = torch.arange(self.n_steps * batch, device=device)
        for block in flat.split(rows):
            yield block // batch, block % batch

    def gradient(self, z: Tensor, target: Tensor) -> Tensor:
        """``d value / dz`` at the points ``z``."""
        return compiled((self.model, self.value), self.model, self._gradient, z, target)

    def _gradient(self, z: Tensor, target: Tensor) -> Tensor:
        with torch.enable_grad(), input_gradients(z.device):
            z = z.detach().requires_grad_()
            return torch.autograd.grad(self.value(self.model(z), target), z)[0]

    def gradient_with_graph(self, z: Tensor, target: Tensor) -> Tensor:
        """The same, differentiable."""
        with eagerly(), math_attention(), SecondOrder(weights=self.weights) as mode:
            output = self.value(self.model(z), target)
        return mode.input_gradient(output, z)


@lru_cache(maxsize=64, typed=True)
def _rule_on(method: Method, n_steps: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Nodes and weights where they are used, copied there once: a copy makes a GPU wait."""
    with torch.inference_mode(False):
        nodes, weights = (torch.from_numpy(values).to(device, dtype) for values in path_rule(method, n_steps))
    return nodes, weights


def _points(x: Tensor, baseline: Tensor, node: Tensor, alpha: Tensor, image: Tensor) -> Tensor:
    start = baseline[image]
    return torch.lerp(start, x[image], _scaled(alpha[node], start).expand_as(start))


def _scaled(weight: Tensor, like: Tensor) -> Tensor:
    return weight.view(-1, *[1] * (like.ndim - 1))


def sum_without_graph(path: Path, x: Tensor, baseline: Tensor, rows: int) -> Tensor:
    """``sum_k w_k grad f(z_k)``, ``rows`` path points at a time. Cost: 2 forward passes a point."""
    alpha, weight = path.rule(x)
    total = torch.zeros_like(x)
    with evaluating(path.model), torch.no_grad():
        for node, image in path.chunks(len(x), rows, x.device):
            z = _points(x, baseline, node, alpha, image)
            gradient = path.gradient(z, path.target[image])
            total.index_add_(0, image, gradient * _scaled(weight[node], gradient))
    return total


def sum_with_graph(path: Path, x: Tensor, baseline: Tensor, rows: int) -> Tensor:
    """The same sum with its graph held in memory, which grows with ``n_steps``; built ``rows`` at a time."""
    alpha, weight = path.rule(x)
    total = torch.zeros_like(x)
    with evaluating(path.model), torch.enable_grad():
        for node, image in path.chunks(len(x), rows, x.device):
            z = _points(x, baseline, node, alpha, image)
            if not z.requires_grad:
                z.requires_grad_()
            gradient = path.gradient_with_graph(z, path.target[image])
            total = total.index_add(0, image, gradient * _scaled(weight[node], gradient))
    return total


def holds_graph(path: Path, x: Tensor) -> bool:
    """Whether the graph of the whole path fits the memory; for a plain function nobody can tell."""
    model, points = path.model, path.n_steps * len(x)
    if not isinstance(model, nn.Module) or points <= block_rows(x):
        return True

    def some_points(rows: int) -> Tensor:
        z = x[:1].detach().expand(rows, *x.shape[1:]).contiguous().requires_grad_()
        return path.gradient_with_graph(z, path.target[:1].expand(rows))

    with evaluating(model), torch.enable_grad():
        return fits(model, some_points, points, x)


def sum_in_chunks(path: Path, x: Tensor, baseline: Tensor, rows: int) -> Tensor:
    """The same sum, differentiable, with memory bounded by ``rows`` path points whatever ``n_steps``."""
    return _ChunkedSum.apply(path, rows, x, baseline, *_parameters(path))


def _parameters(path: Path) -> list[Tensor]:
    if not path.weights:
        return []
    if isinstance(path.model, nn.Module):
        return [p for p in path.model.parameters() if p.requires_grad]
    raise HoldfastError(
        f"model is a {type(path.model).__name__}; create_graph with internal_batch_size recomputes the path "
        "in the backward pass and needs an nn.Module to find the parameters: wrap it, or leave "
        "internal_batch_size at None."
    )


def _versions(model: Model) -> list[int]:
    return [b._version for b in model.buffers()] if isinstance(model, nn.Module) else []


class _ChunkedSum(Function):
    @staticmethod
    def forward(ctx: Any, path: Path, rows: int, x: Tensor, baseline: Tensor, *parameters: Tensor) -> Tensor:
        ctx.path, ctx.rows, ctx.versions = path, rows, _versions(path.model)
        ctx.autocast = autocast_state(x.device)
        ctx.save_for_backward(x, baseline, *parameters)
        return sum_without_graph(path, x, baseline, rows)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        path: Path = ctx.path
        x, baseline, *parameters = ctx.saved_tensors
        if _versions(path.model) != ctx.versions:
            raise HoldfastError(
                "the model's buffers (batch-norm statistics?) changed between the forward and the backward "
                "pass of integrated gradients: call backward() before the model runs in training mode again."
            )
        alpha, weight = path.rule(x)
        needs_x, needs_baseline = ctx.needs_input_grad[2:4]
        grad_x = torch.zeros_like(x) if needs_x else None
        grad_baseline = torch.zeros_like(x) if needs_baseline else None
        totals: list[Tensor | None] = [None] * len(parameters)
        with evaluating(path.model), torch.enable_grad(), torch.autocast(*ctx.autocast):
            for node, image in path.chunks(len(x), ctx.rows, x.device):
                z = _points(x, baseline, node, alpha, image).requires_grad_()
                gradient = path.gradient_with_graph(z, path.target[image])
                if not gradient.requires_grad:
                    continue
                cotangent = grad[image] * _scaled(weight[node], gradient)
                wanted = [z, *parameters] if needs_x or needs_baseline else parameters
                grads = list(torch.autograd.grad(gradient, wanted, cotangent, allow_unused=True))
                if needs_x or needs_baseline:
                    grad_z, a = grads.pop(0), _scaled(alpha[node], z)
                    if grad_z is not None and grad_x is not None:
                        grad_x.index_add_(0, image, grad_z * a)
                    if grad_z is not None and grad_baseline is not None:
                        grad_baseline.index_add_(0, image, grad_z * (1 - a))
                for i, g in enumerate(grads):
                    if g is not None:
                        total = totals[i]
                        totals[i] = g if total is None else total.add_(g)
        return None, None, grad_x, grad_baseline, *totals


def check_target(model: Model, x: Tensor, target: Tensor) -> None:
    """One forward pass of one image: the model returns logits, and every target is one of its classes."""
    with evaluating(model), torch.no_grad():
        logits = model(x[:1])
    check_logits(logits, 1)
    check_classes(target, logits.shape[1])
