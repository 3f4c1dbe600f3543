"""What a batch needs of a network in training mode is found before the first step, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from holdfast import HoldfastError
from holdfast.cli import main
from holdfast.models.resolve import check_training_pass


def with_norm(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), norm, nn.ReLU(), nn.Linear(32, 10))


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = with_norm(nn.Identity())

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return (self.net(x), self.net(x)) if self.training else self.net(x)


class Squeezing(Auxiliary):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze()


class AuxiliaryDict(Auxiliary):
    def forward(self, x: Tensor) -> dict[str, Tensor] | Tensor:
        return {"logits": self.net(x)} if self.training else self.net(x)


REFUSED: dict[str, tuple[Callable[[], nn.Module], int, str]] = {
    "batch norm": (lambda: with_norm(nn.BatchNorm1d(32)), 1, r"more than 1 value.*last batch holds 1 image"),
    "lazy batch norm": (lambda: with_norm(nn.BatchNorm1d(32, affine=False)), 1, r"more than 1 value.*1 image"),
    "batch norm at the end of a pool": (
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 10)),
        1,
        r"more than 1 value.*1 image",
    ),
    "squeeze": (Squeezing, 1, r"returned \(10,\).*1 image"),
    "tuple in training": (Auxiliary, 2, r"returned tuple.*in training mode as in evaluation"),
    "dict in training": (AuxiliaryDict, 2, r"returned dict.*in training mode as in evaluation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_cannot_be_trained_so(name: str) -> None:
    make, rows, words = REFUSED[name]
    with pytest.raises(HoldfastError, match=words) as caught:
        check_training_pass(make(), "net", torch.rand(rows, 1, 8, 8))
    assert "\n" not in str(caught.value)


def test_a_share_of_one_image_is_not_called_the_last_batch() -> None:
    with pytest.raises(HoldfastError, match=r"one of 2 processes .* 1 image; .* or fewer processes") as caught:
        check_training_pass(with_norm(nn.BatchNorm1d(32)), "net", torch.rand(1, 1, 8, 8), processes=2)
    assert "last batch" not in str(caught.value)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(32), nn.LayerNorm(32), nn.GroupNorm(4, 32), nn.Identity()])
def test_others_pass_and_keep_their_statistics(norm: nn.Module) -> None:
    net = with_norm(norm)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    check_training_pass(net, "net", torch.rand(2, 1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    if not isinstance(norm, nn.BatchNorm1d):
        check_training_pass(net, "net", torch.rand(1, 1, 8, 8))


MODELS = """
import torch.nn as nn
def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))
class Nothing(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :10]
def frozen():
    return net().requires_grad_(False)
"""


@pytest.mark.parametrize(
    ("name", "images", "words"),
    [
        ("net", 65, "cannot be trained on batches of 1"),
        ("Nothing", 64, "no weights to train"),
        ("frozen", 64, "no weights to train"),
    ],
)
def test_the_command_line_refuses_before_it_writes(
    name: str, images: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.py").write_text(MODELS)
    line = f"train digits-at --profile smoke --model {tmp_path}/m.py:{name} --data.train-size {images}"
    assert main([*line.split(), "--optim.batch-size", "32", "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
