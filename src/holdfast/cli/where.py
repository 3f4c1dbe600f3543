"""Where a command runs."""

from __future__ import annotations

from contextlib import AbstractContextManager

from holdfast.config import Acceleration
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


def acceleration(how: Acceleration, device: str) -> AbstractContextManager[None]:
    """What ``--cuda-graphs`` and ``--compile`` ask for."""
    from holdfast.attacks.accelerated import accelerated

    check_acceleration(how, device)
    return accelerated(how)


def check_acceleration(how: Acceleration, device: str) -> None:
    """Raise where there is nothing to be accelerated."""
    for flag, wanted in (("--cuda-graphs", how.cuda_graphs), ("--compile", how.compile)):
        if wanted and not device.startswith("cuda"):
            raise HoldfastError(f"{flag} needs a CUDA device, and this runs on {device}; leave it out.")
