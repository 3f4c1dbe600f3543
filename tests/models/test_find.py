"""Networks as people hand them over: schemes, outputs, normalisation, and what is said where one does not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from holdfast.errors import HoldfastError, HoldfastWarning
from holdfast.models.find import FoundModel, find_model, fitted
from holdfast.models.outputs import Logits, Normalized, logits_of


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3)).eval()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda z: z,
        lambda z: {"logits": z, "hidden": None},
        lambda z: SimpleNamespace(logits=z),
        lambda z: (z, None),
        lambda z: [z],
    ],
)
def test_logits_in_every_wrapping(wrap: Any) -> None:
    z = torch.rand(4, 3)
    assert torch.equal(logits_of(wrap(z), 4), z)


@pytest.mark.parametrize("shape", [(4, 1), (4,)])
def test_one_logit_is_two_classes(shape: tuple[int, ...]) -> None:
    z = torch.linspace(-2, 2, 4)
    two = logits_of(z.view(shape), 4)
    torch.testing.assert_close(two.softmax(1)[:, 1], z.sigmoid())


@pytest.mark.parametrize(
    "output", [None, "logits", torch.rand(3, 2), torch.rand(4, 2, 2), {"scores": torch.rand(4, 2)}]
)
def test_what_is_no_logits(output: Any) -> None:
    with pytest.raises(HoldfastError, match=r"it must return logits of shape \(4, classes\)"):
        logits_of(output, 4)


def test_normalised_inside_equals_normalised_outside(net: nn.Module) -> None:
    x, mean, std = torch.rand(2, 3, 2, 2), [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    outside = (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    assert torch.equal(Normalized(net, mean, std)(x), net(outside))
    with pytest.raises(HoldfastError, match="every std more than 0"):
        Normalized(net, mean, [0.5, 0.0, 0.7])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_of_export_and_torchscript(net: nn.Module, tmp_path: Path) -> None:
    x = torch.rand(3, 3, 2, 2)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "net.pt2")
    torch.jit.trace(net, x).save(str(tmp_path / "net.pt"))
    for file in ("net.pt2", "net.pt"):
        found = find_model(str(tmp_path / file))
        assert found.name == "net"
        torch.testing.assert_close(found.model(x[:2]), net(x[:2]))


def test_file_factory_with_weights_and_normalisation(net: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        "from torch import nn\n"
        "def make(): return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))\n"
    )
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}, "epoch": 3}, tmp_path / "w.pt")
    found = find_model(f"{tmp_path}/made.py:make", weights=str(tmp_path / "w.pt"), mean=[0.5] * 3, std=[0.2] * 3)
    x = torch.rand(2, 3, 2, 2)
    torch.testing.assert_close(found.model(x), net((x - 0.5) / 0.2))
    assert not found.model.training


def test_a_network_of_the_zoo() -> None:
    found = find_model("mnist/trades-igr")
    assert found.dataset == "mnist"
    assert found.model(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


class Wrapped(nn.Module):
    def __init__(self, net: nn.Module, key: str) -> None:
        super().__init__()
        self.net, self.key = net, key

    def forward(self, x: Tensor) -> Any:
        return {self.key: self.net(x)}


def test_fitted_says_what_it_did(net: nn.Module) -> None:
    x = torch.rand(4, 3, 2, 2)
    found = fitted(FoundModel(Wrapped(net, "logits"), "mine"), x)
    assert isinstance(found.model, Logits)
    assert found.notes == ("the output (dict) is read as logits of 3 classes",)
    assert fitted(FoundModel(net, "mine"), x).model is net


def test_probabilities_are_warned_of(net: nn.Module) -> None:
    with pytest.warns(HoldfastWarning, match="look like probabilities"):
        fitted(FoundModel(nn.Sequential(net, nn.Softmax(1)), "mine"), torch.rand(4, 3, 2, 2))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nope", "unknown model 'nope'.*Or give a run folder"),
        ("mnist/trades_igr", "did you mean mnist/trades-igr"),
        ("missing.pt2", "missing.pt2 does not exist"),
        ("timm:resnet18", r"pip install 'holdfast\[timm\]'"),
        ("hf:./nowhere", r"there is no folder \./nowhere; give the one that save_pretrained wrote"),
        ("hf:some/model", r"pip install 'holdfast\[transformers\]'"),
        ("nothing_here:make", "importing nothing_here failed"),
    ],
)
def test_what_cannot_be_found(spec: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(HoldfastError, match=message):
        find_model(spec)


def test_a_state_dict_is_no_program(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(HoldfastError, match="goes with --weights"):
        find_model(str(tmp_path / "weights.pt"))


def test_images_of_another_shape(net: nn.Module) -> None:
    with pytest.raises(HoldfastError, match="model mine cannot take images of shape"):
        fitted(FoundModel(net, "mine"), torch.rand(2, 3, 5, 5))


def test_an_untrained_network_of_a_library_is_the_same_in_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was drawn before, and without a trace in what is drawn after."""
    config = {"input_size": (3, 2, 2), "mean": (0.5,), "std": (0.5,), "interpolation": "bicubic", "crop_pct": 1.0}
    timm = SimpleNamespace(
        create_model=lambda name, pretrained: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)),
        data=SimpleNamespace(resolve_model_data_config=lambda m: config, infer_imagenet_subset=lambda m: None),
    )
    monkeypatch.setattr("holdfast.models.libraries._library", lambda module, extra: timm)
    torch.manual_seed(5)
    first = find_model("timm:any", weights="random").model
    drawn = torch.rand(1)
    second = find_model("timm:any", weights="random").model
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
