from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from holdfast import HoldfastError
from holdfast.models.weights import load_weights, read_weights, save_weights


def network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 36, 4))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight
        self.register_buffer("flipped", torch.arange(6.0).view(2, 3).T)


def assert_same_state(a: nn.Module, b: nn.Module) -> None:
    assert a.state_dict().keys() == b.state_dict().keys()
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name
        assert value.dtype == b.state_dict()[name].dtype


@pytest.mark.parametrize("build", [network, Tied])
def test_round_trip(tmp_path: Path, build: type[nn.Module]) -> None:
    first, second = build(), build()
    with torch.no_grad():
        for value in first.state_dict().values():
            value.add_(1)
    path = tmp_path / "model.safetensors"
    save_weights(first, path, {"model": "mine", "epoch": "3"})
    metadata = load_weights(second, path)
    assert metadata["model"] == "mine"
    assert metadata["epoch"] == "3"
    assert "format" in metadata
    assert_same_state(first, second)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_saving_replaces_and_never_leaves_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    first = network()
    save_weights(first, path, {})

    def interrupted(tensors: object, filename: Path, **_: object) -> None:
        Path(filename).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("holdfast.models.weights.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_weights(network(), path, {})
    fresh = network()
    load_weights(fresh, path)
    assert_same_state(first, fresh)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_torch_files(tmp_path: Path, wrapped: bool, suffix: str) -> None:
    first, second = network(), network()
    state = first.state_dict()
    torch.save({"state_dict": state} if wrapped else state, tmp_path / f"model{suffix}")
    assert load_weights(second, tmp_path / f"model{suffix}") == {}
    assert_same_state(first, second)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_a_file_cut_short(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save(network().state_dict(), path)
    else:
        save_weights(network(), path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else int(keep)])
    with pytest.raises(HoldfastError, match=r"model\S+ cannot be read .*cut short"):
        read_weights(path)


def test_code_in_a_pickle_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(
        HoldfastError, match=r"hold an object of torch\.nn\.modules\.linear\.Linear.*save model\.state_dict"
    ):
        read_weights(path)


def test_what_is_no_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for content in ([torch.ones(2)], {"epoch": 3}, {"state_dict": 3}):
        torch.save(content, path)
        with pytest.raises(HoldfastError, match="hold no state dict"):
            read_weights(path)
    torch.save({"state_dict": torch.ones(2)}, path)
    with pytest.raises(HoldfastError, match=r"do not fit Sequential.*unknown state_dict"):
        load_weights(network(), path)


def test_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(HoldfastError, match=rf"{path} do not exist"):
            read_weights(path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    net = network()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}

    save_weights(network(5), path, {})
    with pytest.raises(
        HoldfastError, match=r"do not fit Sequential.*misshapen.*\(5, 1, 3, 3\) instead of \(3, 1, 3, 3\)"
    ):
        load_weights(net, path)
    save_file({**state, "extra.bias": torch.ones(2)}, path)
    with pytest.raises(HoldfastError, match=r"unknown extra\.bias"):
        load_weights(net, path)
    save_file({k: v for k, v in state.items() if k != "3.bias"}, path)
    with pytest.raises(HoldfastError, match=r"missing 3\.bias"):
        load_weights(net, path)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
