from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from holdfast import HoldfastError, HoldfastWarning
from holdfast.models import ResNet18, SmallCNN, build_model

SHAPE = (1, 8, 8)
MINE = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class Settings:
    width: int = 5

class Net(nn.Module):
    def __init__(self, num_classes, image_size=3):
        super().__init__()
        self.seen = num_classes, image_size
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(image_size ** 2, num_classes), nn.Dropout())
    def forward(self, x):
        return self.layers(x)

def fixed(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def every(num_classes, in_channels, image_size): return Net(num_classes, image_size)
def not_a_module(): return 3
def a_function(): return lambda x: x
def few(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
def maps(): return nn.Identity()
def wide(): return nn.Linear(9, 9)
def probabilities(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))
def double(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
number = 5
"""


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "networks_of_mine.py"
    path.write_text(MINE)
    known = set(sys.modules)
    yield str(path)
    for name in set(sys.modules) - known:
        if name.startswith(("networks_of_mine", "broken_network")):
            del sys.modules[name]


def test_built_in() -> None:
    small = build_model("small_cnn", (3, 8, 8), 7)
    assert isinstance(small, SmallCNN)
    assert small(torch.rand(2, 3, 8, 8)).shape == (2, 7)
    assert isinstance(build_model("resnet18", SHAPE, 4), ResNet18)


def test_own_file(mine: str) -> None:
    net = build_model(f"{mine}:Net", SHAPE, 4)
    assert net.seen == (4, 8)
    assert net.training
    assert build_model(f"{mine}:every", SHAPE, 4).seen == (4, 8)
    assert isinstance(build_model(f"{mine}:fixed", SHAPE, 10), nn.Sequential)


def test_own_module(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(mine).parent))
    assert isinstance(build_model("networks_of_mine:fixed", SHAPE, 10), nn.Sequential)


def test_a_module_in_the_working_folder_is_a_file(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(mine).parent.parent)
    folder, name = Path(mine).parent.name, Path(mine).stem
    with pytest.raises(HoldfastError, match=rf"a file: give {folder}/{name}\.py:fixed\.$"):
        build_model(f"{folder}.{name}:fixed", SHAPE, 10)


def test_building_leaves_the_random_state_to_the_factory(mine: str) -> None:
    torch.manual_seed(3)
    first = build_model(f"{mine}:fixed", SHAPE, 10)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(first[1].weight, nn.Linear(64, 10).weight)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fixd", "unknown model in .*'fixd'; did you mean fixed"),
        ("number", "unknown model in .*'number'"),
        ("not_a_module", "returned int"),
        ("double", r"images are torch.float32 and model .*:double's weights torch.float64.*convert"),
        ("a_function", "returned function.*torch.nn.Module"),
        ("few", "3 logits.*10 classes"),
        ("maps", r"returned \(4, 1, 8, 8\)"),
        ("wide", r"cannot take images of shape \(1, 8, 8\).*mat1 and mat2"),
    ],
)
def test_what_is_wrong_with_an_own_file(mine: str, name: str, message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build_model(f"{mine}:{name}", SHAPE, 10)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smal_cnn", "unknown model 'smal_cnn'; did you mean small_cnn.*file.py:factory"),
        ("vgg", "unknown model 'vgg'.*small_cnn, resnet18"),
        ("nowhere/net.py:factory", "nowhere/net.py does not exist"),
        ("no_such_package.nets:factory", "importing no_such_package.nets failed with ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_found(spec: str, message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build_model(spec, SHAPE, 10)


@pytest.mark.parametrize(("code", "error"), [("import absent_thing", "ModuleNotFoundError"), ("def (", "SyntaxError")])
def test_a_file_that_does_not_import(mine: str, code: str, error: str) -> None:
    broken = Path(mine).with_name("broken_network.py")
    broken.write_text(code)
    with pytest.raises(HoldfastError, match=f"broken_network.py failed with {error}"):
        build_model(f"{broken}:factory", SHAPE, 10)
    assert "broken_network" not in sys.modules


def test_probabilities_are_warned_of(mine: str) -> None:
    with pytest.warns(HoldfastWarning, match="look like probabilities.*remove the final softmax"):
        build_model(f"{mine}:probabilities", SHAPE, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_model(f"{mine}:fixed", SHAPE, 10)
        build_model("small_cnn", SHAPE, 10)


def test_oblong_images_are_refused_by_a_square_network() -> None:
    with pytest.raises(HoldfastError, match=r"cannot take images of shape \(1, 28, 20\)"):
        build_model("small_cnn", (1, 28, 20), 10)
