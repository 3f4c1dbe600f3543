"""Weights on disk: safetensors, written atomically, checked when they are read."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from holdfast.errors import HoldfastError, first_line
from holdfast.sealed import parsed

FORMAT = "holdfast-weights-1"


def save_weights(model: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write a model's state to ``path`` (a temporary file first, then renamed)."""
    state = model.state_dict()
    tensors = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    unfinished = path.with_name(path.name + ".part")
    save_file(tensors, unfinished, metadata=_packed({**metadata, "sha256": _digest(tensors, metadata)}))
    os.replace(unfinished, path)


CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts usually save a state dict beside other things."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before every name."""


def _packed(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata as one entry: a header of several is written in random order, and equal weights are equal files."""
    return {"holdfast": json.dumps({"format": FORMAT, **metadata}, sort_keys=True)}


def _unpacked(tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, str]:
    """The metadata of a file without its checksum, which must be that of the rest where there is one."""
    if "holdfast" not in metadata:
        return metadata
    found = parsed(metadata["holdfast"])
    noted = found.pop("sha256", None)
    if noted is not None and noted != _digest(tensors, {k: v for k, v in found.items() if k != "format"}):
        raise ValueError("its checksum does not match")
    return found


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a ``.safetensors`` file, or the state dict of a ``.pt`` / ``.pth`` file.

    Nothing but tensors and plain values is unpickled. A state dict may lie under one of `CONTAINERS`.
    """
    if not path.is_file():
        raise HoldfastError(f"weights {path} do not exist; give a run folder, a .safetensors or a .pt file.")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return tensors, _unpacked(tensors, file.metadata() or {})
        except (SafetensorError, OSError, ValueError) as error:
            raise _unreadable(path, error) from None
    state = _unpickled(path)
    for key in CONTAINERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise HoldfastError(f"weights {path} hold no state dict of tensors; save model.state_dict().")
    return dict(state), {}


def _unpickled(path: Path) -> Any:
    if _is_script(path):
        raise HoldfastError(
            f"{path} is a TorchScript program, not weights; give it as the model itself, without --weights."
        )
    try:
        refuse_broken_archive(path)
        with torch.serialization.safe_globals([Namespace, *_numpy_scalars()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"an object of {found[1]}" if found else "objects other than tensors"
        raise HoldfastError(
            f"weights {path} hold {what} (a whole module?), which only code of yours can unpickle safely; load it "
            "where it was made and save model.state_dict()."
        ) from None
    except Exception as error:
        raise _unreadable(path, error) from None


def refuse_broken_archive(path: Path) -> None:
    """Raise ValueError if a part of what ``torch.save`` wrote has lost its CRC, which ``torch.load`` does not check."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {broken} does not match")


def _numpy_scalars() -> list[Any]:
    """What NumPy numbers, as training scripts keep for the best score, are pickled with."""
    numpy: Any = np
    kinds = (np.float64, np.float32, np.int64, np.int32, np.bool_)
    return [np.dtype, numpy._core.multiarray.scalar, *(type(np.dtype(kind)) for kind in kinds)]


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("constants.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _unreadable(path: Path, error: Exception) -> HoldfastError:
    return HoldfastError(
        f"weights {path} cannot be read ({first_line(error)[:120]}): the file is cut short, damaged or of another "
        "kind; restore it or train again."
    )


def _fitted(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without a prefix that the network's own names do not have, and with the names of tied tensors."""
    for prefix in PREFIXES:
        if state and all(k.startswith(prefix) for k in state) and not any(k.startswith(prefix) for k in own):
            state = {k.removeprefix(prefix): v for k, v in state.items()}
    by_storage: dict[tuple[int, torch.Size], str] = {}
    for name, tensor in own.items():
        first = by_storage.setdefault((tensor.data_ptr(), tensor.shape), name)
        other = next((n for n in (first, name) if n in state), None)
        if other is not None and tensor.numel() and own[other].data_ptr() == tensor.data_ptr():
            state = {name: state[other], first: state[other]} | state
    return state


def load_weights(model: nn.Module, path: Path) -> dict[str, str]:
    """Load ``path`` into ``model``; every tensor must be there with the right shape. Returns the metadata."""
    own = model.state_dict()
    state, metadata = read_weights(path)
    state = _fitted(state, own)
    missing = sorted(own.keys() - state.keys())
    foreign = sorted(state.keys() - own.keys())
    unequal = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    if missing or foreign or unequal:
        problems = [
            f"{text} {', '.join(names[:3])}{'…' if len(names) > 3 else ''}"
            for text, names in (("missing", missing), ("unknown", foreign), ("misshapen", unequal))
            if names
        ]
        raise HoldfastError(
            f"weights {path} do not fit {type(model).__name__}: {'; '.join(problems)}. "
            "Use the model and data set that they were trained with."
        )
    model.load_state_dict(state)
    return metadata
