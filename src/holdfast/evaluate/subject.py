"""Which network and which images a folder of records belongs to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from holdfast.data.image_data import ImageData
from holdfast.errors import HoldfastError
from holdfast.files import write_atomically
from holdfast.models.state import Model


def fingerprint(model: Model) -> str:
    """SHA-256 over the names and values of a module's state; a plain function has none to tell apart.

    >>> net = nn.Linear(2, 2)
    >>> before = fingerprint(net)
    >>> with torch.no_grad():
    ...     _ = net.bias.add_(1)
    >>> fingerprint(net) == before
    False
    """
    digest = hashlib.sha256()
    for name, value in (model.state_dict() if isinstance(model, nn.Module) else {}).items():
        if isinstance(value, Tensor):
            values = value.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_subject(out: Path, model: Model, data: ImageData) -> None:
    """Note in ``out`` what is evaluated there; raise if its records were made with another network or images."""
    subject = {"network": fingerprint(model), "images": data.checksum()}
    stored = out / "subject.json"
    if not stored.is_file():
        write_atomically(stored, json.dumps(subject, indent=2) + "\n")
        return
    try:
        before = json.loads(stored.read_text())
        changed = [name for name, value in subject.items() if before[name] != value]
    except (KeyError, TypeError, ValueError):
        raise HoldfastError(f"{stored} is damaged; choose another --out.") from None
    if changed:
        raise HoldfastError(
            f"{out} holds records made with another network or other images ({', '.join(changed)} changed since); "
            "choose another --out."
        )
