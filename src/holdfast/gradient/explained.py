"""What PyTorch says of networks that it cannot differentiate (twice), with the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.errors import HoldfastError

REMEDIES = {
    "is not implemented": (
        "the network has an operation that PyTorch cannot differentiate twice: write it in operations that can "
        "be (attention: F.scaled_dot_product_attention), or choose an attribution that needs no second derivative."
    ),
    "must override the setup_context": (
        "the network has an autograd.Function that torch.func cannot transform: give it a setup_context, or call "
        "the network without vmap."
    ),
    "Inference tensors cannot be saved": (
        "the network's weights were made in torch.inference_mode, where nothing can be differentiated: build or "
        "load it outside."
    ),
    "not have been used in the graph": (
        "the logits do not depend on the images by anything that can be differentiated (detach, NumPy or no_grad "
        "inside the network?)."
    ),
    "does not require grad and does not have a grad_fn": (
        "the logits do not depend on the images by anything that can be differentiated (detach, NumPy or no_grad "
        "inside the network?)."
    ),
}


@contextmanager
def explained() -> Iterator[None]:
    """Raise PyTorch's errors of this kind as one line that says what to do.

    >>> import torch
    >>> with explained():
    ...     torch.ones(1).sum().backward()
    Traceback (most recent call last):
        ...
    holdfast.errors.HoldfastError: the logits do not depend on the images by anything that can be differentiated \
(detach, NumPy or no_grad inside the network?). PyTorch: element 0 of tensors does not require grad and does not have \
a grad_fn
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        for sign, remedy in REMEDIES.items():
            if sign in text:
                raise HoldfastError(f"{remedy} PyTorch: {text.splitlines()[0]}") from error
        raise
