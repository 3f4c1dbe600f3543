"""Weights on disk: safetensors, written atomically, checked when they are read."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from holdfast.errors import HoldfastError

FORMAT = "holdfast-weights-1"


def save_weights(model: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write a model's state to ``path`` (a temporary file first, then renamed)."""
    state = model.state_dict()
    tensors = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    unfinished = path.with_name(path.name + ".part")
    save_file(tensors, unfinished, metadata={"format": FORMAT, **metadata})
    os.replace(unfinished, path)


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a ``.safetensors`` file, or the state dict of a ``.pt`` / ``.pth`` file."""
    if not path.is_file():
        raise HoldfastError(f"weights {path} do not exist; give a run folder, a .safetensors or a .pt file.")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, Exception) as error:
        first = (str(error).splitlines() or [""])[0][:120]
        raise HoldfastError(
            f"weights {path} cannot be read ({first}): the file is cut short, damaged or of another kind; "
            "restore it or train again."
        ) from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise HoldfastError(f"weights {path} hold no state dict of tensors; save model.state_dict().")
    return state, {}


def load_weights(model: nn.Module, path: Path) -> dict[str, str]:
    """Load ``path`` into ``model``; every tensor must be there with the right shape. Returns the metadata."""
    state, metadata = read_weights(path)
    own = model.state_dict()
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
