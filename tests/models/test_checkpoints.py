"""Sound checkpoints of every usual layout load; others are named for what they are."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from holdfast.errors import HoldfastError
from holdfast.models.weights import load_weights, read_weights, save_weights


def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))


def layouts(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    def prefixed(text: str) -> dict[str, torch.Tensor]:
        return {text + name: tensor for name, tensor in state.items()}

    return {
        "plain": state,
        "numpy numbers": {"state_dict": state, "best": np.float64(0.9), "epoch": np.int64(3)},
        "argparse": {"state_dict": state, "args": argparse.Namespace(lr=1)},
        "DataParallel": prefixed("module."),
        "compiled": prefixed("_orig_mod."),
        "compiled DataParallel": prefixed("module._orig_mod."),
        "lightning": {"state_dict": prefixed("model."), "epoch": 3},
        "tutorial": {"model_state_dict": state, "optimizer_state_dict": {}, "epoch": 3},
        "timm": {"model": state},
        "net": {"net": state, "acc": 93.0},
    }


@pytest.mark.parametrize("layout", list(layouts({})))
def test_usual_layouts(layout: str, tmp_path: Path) -> None:
    own, other = net(), net()
    torch.save(layouts(dict(own.state_dict()))[layout], tmp_path / "w.pt")
    load_weights(other, tmp_path / "w.pt")
    assert all(torch.equal(a, b) for a, b in zip(own.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_whole_module_is_named(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "w.pt")
    with pytest.raises(HoldfastError, match=r"hold an object of torch.nn.modules.container.Sequential"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_named(tmp_path: Path) -> None:
    torch.jit.trace(net(), torch.rand(1, 6)).save(str(tmp_path / "w.pt"))
    with pytest.raises(HoldfastError, match="is a TorchScript program, not weights"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_cut_file(name: str, tmp_path: Path) -> None:
    own = net()
    save_weights(own, tmp_path / "w.safetensors", {})
    torch.save(own.state_dict(), tmp_path / "w.pt")
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HoldfastError, match="cut short"):
        read_weights(tmp_path / name)


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    network[2].weight = network[0].weight
    return network


def test_tied_weights_saved_once(tmp_path: Path) -> None:
    own, other = tied(), tied()
    save_model(own, str(tmp_path / "w.safetensors"))
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other[0].weight, own[0].weight)
    assert other[2].weight is other[0].weight


def test_tensors_of_one_shape_are_not_taken_for_each_other(tmp_path: Path) -> None:
    own = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    torch.save({k: v for k, v in own.state_dict().items() if not k.startswith("1.")}, tmp_path / "w.pt")
    with pytest.raises(HoldfastError, match=r"missing 1.bias, 1.weight"):
        load_weights(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), tmp_path / "w.pt")


@pytest.mark.slow
def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    """The header is written in a random order by the library, so that each file is made by a process of its own."""
    code = (
        "import sys, torch\nfrom pathlib import Path\nfrom torch import nn\n"
        "from holdfast.models.weights import save_weights\ntorch.manual_seed(0)\n"
        "nets = nn.Linear(3, 2), nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), nn.GRU(3, 2).half()\n"
        "for i, net in enumerate(nets):\n"
        "    path = Path(sys.argv[1]) / f'{i}.safetensors'\n"
        "    save_weights(net, path, {'config': 'a', 'model': 'b', 'data': 'c', 'epoch': '1'})\n"
    )
    for process in "abc":
        (tmp_path / process).mkdir()
        subprocess.run([sys.executable, "-c", code, str(tmp_path / process)], check=True)
    for i in range(3):
        assert len({(tmp_path / process / f"{i}.safetensors").read_bytes() for process in "abc"}) == 1
    assert read_weights(tmp_path / "a" / "0.safetensors")[1]["model"] == "b"
