"""Which network and which images a folder of records belongs to, and what they were made with."""

from __future__ import annotations

import hashlib
import platform
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import holdfast
from holdfast.errors import HoldfastError
from holdfast.evaluate.given import Data
from holdfast.files import write_atomically
from holdfast.models.state import Model
from holdfast.sealed import sealed, unsealed


def fingerprint(model: Model) -> str:
    """SHA-256 over a module's structure, and the names and values of its state; a plain function has its name alone.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> before = fingerprint(net)
    >>> with torch.no_grad():
    ...     _ = net[0].bias.add_(1)
    >>> fingerprint(net) == before
    False
    """
    digest = hashlib.sha256(_structure(model).encode())
    for name, value in (model.state_dict() if isinstance(model, nn.Module) else {}).items():
        if isinstance(value, Tensor):
            values = value.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _structure(model: Model) -> str:
    """How a module prints, without addresses in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(model)) if isinstance(model, nn.Module) else _title(model)


def _title(model: Model) -> str:
    return type(model).__name__ if isinstance(model, nn.Module) else getattr(model, "__name__", type(model).__name__)


def subject_of(model: Model, data: Data) -> dict[str, str]:
    """What an evaluation is about: the network and the images, by name and by SHA-256."""
    return {
        "model": _title(model),
        "network": fingerprint(model),
        "data": f"{data.name} ({data.split}, {len(data)} images)",
        "images": data.checksum(),
    }


def environment_of(device: str) -> dict[str, str]:
    """What an evaluation was made with."""
    cuda = device.startswith("cuda")
    return {
        "holdfast": holdfast.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if cuda else f"CPU, {torch.get_num_threads()} threads",
    }


def check_subject(out: Path, subject: dict[str, str]) -> None:
    """Note in ``out`` what is evaluated there; raise if its records were made with another network or images."""
    stored = out / "subject.json"
    if not stored.is_file():
        write_atomically(stored, sealed(subject))
        return
    before = read_json(stored)
    changed = [name for name in ("network", "images") if before.get(name) != subject[name]]
    if changed:
        raise HoldfastError(
            f"{out} holds records made with another network or other images ({', '.join(changed)} changed since); "
            "choose another --out."
        )


def read_json(path: Path) -> dict[str, Any]:
    """An object that an evaluation stored.

    Raises:
        HoldfastError: it is damaged.
    """
    try:
        return unsealed(path.read_bytes())
    except OSError as error:
        raise HoldfastError(f"{path} cannot be read ({error.strerror}); evaluate again into another --out.") from None
    except ValueError:
        raise HoldfastError(f"{path} is damaged; choose another --out.") from None
