"""Where a command runs."""

from __future__ import annotations

from holdfast.errors import HoldfastError


def pick_device(name: str) -> str:
    """ "auto" is cuda when there is one, else cpu; anything else must exist."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()  # "meta" is a device, but holds no numbers
    except (RuntimeError, AssertionError):
        raise HoldfastError(f"device {name!r} is not available here; choose cpu or auto.") from None
    return name
