"""Which network and which images an evaluation is about, what may be given as images, and what it was made with."""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import holdfast
from holdfast.data import load_dataset
from holdfast.data.given import GIVE, given_images
from holdfast.data.image_data import ImageData
from holdfast.data.loader import to_unit_interval
from holdfast.errors import HoldfastError
from holdfast.files import write_atomically
from holdfast.models.state import Model
from holdfast.sealed import sealed, unsealed
from holdfast.validate import check_images, check_labels


@dataclass(frozen=True, eq=False)
class TensorData:
    """Inputs (N, ...) in [0, 1] and labels (N,) that a user has in memory."""

    images: Tensor
    labels: Tensor
    name: str = "tensors"
    split: str = "test"

    def __post_init__(self) -> None:
        check_images(self.images)
        check_labels(self.labels, len(self.images))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape[1:])

    def first(self, n: int) -> TensorData:
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def checksum(self) -> str:
        """SHA-256 over shape, dtype, inputs and labels."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)} {self.images.dtype}".encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


Data = ImageData | TensorData


def data_of(given: Any, split: str = "test", data_dir: str | None = None, most: int | None = None) -> Data:
    """The data behind a name or folder, ``ImageData``, a pair (images, labels), a PyTorch data set or loader.

    Of the last two at most the first ``most`` images are read. Pixels are in [0, 1], or uint8.

    Raises:
        HoldfastError: anything else.

    >>> len(data_of((torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 1]))))
    3
    """
    if isinstance(given, str | Path):
        return load_dataset(str(given), split, data_dir=data_dir)
    if isinstance(given, ImageData | TensorData):
        return given
    found = given_images(given, most)
    if found is None:
        raise HoldfastError(f"data is {type(given).__name__}; give {GIVE}.")
    images = found.images
    return TensorData(to_unit_interval(images) if images.dtype == torch.uint8 else images, found.labels)


def batch_of(data: Data, index: Tensor, device: str) -> tuple[Tensor, Tensor]:
    """Inputs in [0, 1] and labels at ``index``, on ``device``."""
    images = data.images[index].to(device)
    return images if images.is_floating_point() else to_unit_interval(images), data.labels[index].to(device)


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
