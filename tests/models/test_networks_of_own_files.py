"""What people name as their network, and what is said when it is none, or does something odd."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.cli import main
from holdfast.models.find import find_model

FILE = """
import torch
from torch import nn

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))

network = plain()

class Scan(nn.Module):
    def __init__(self, width):
        super().__init__()

class AtAge(nn.Module):
    def forward(self, image, age):
        return image

def one_logit():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))

class AsDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = plain()
    def forward(self, x):
        return {"logits": self.net(x)}
"""
X = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_networks.py").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("network", r"own_networks.py:network is a network already; name a function that makes it"),
        ("Scan", r"missing 1 required positional argument: 'width'\. It is called with no arguments, and"),
    ],
)
def test_what_makes_no_network(place: Path, name: str, said: str) -> None:
    with pytest.raises(hf.HoldfastError, match=said):
        find_model(f"own_networks.py:{name}")


def test_another_argument_is_no_matter_of_shapes(place: Path) -> None:
    with pytest.raises(hf.HoldfastError, match=r"TypeError: .*'age'\. A small module around it can hold"):
        hf.audit("own_networks.py:AtAge", X)


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.rest = nn.ReLU(inplace=True), nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.first(x))


def test_a_network_that_changes_its_images_is_refused() -> None:
    calls = (
        lambda: hf.audit(InPlace(), X.clone()),
        lambda: hf.evaluate(InPlace(), (X.clone(), torch.tensor([0, 1]))),
        lambda: hf.Saliency()(InPlace(), X.clone(), 0),
    )
    for call in calls:
        with pytest.raises(hf.HoldfastError, match="changes its input in place"):
            call()


class Breaks(nn.Module):
    """NaN or infinite logits for images brighter than a half on average."""

    def __init__(self, logits: bool) -> None:
        super().__init__()
        self.net, self.bad = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), float("nan" if logits else "inf")

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * torch.where(x.mean((1, 2, 3)) > 0.5, self.bad, 1.0)[:, None]


@pytest.mark.parametrize(
    ("logits", "said"), [(True, "the model returns NaN"), (False, "Saliency gives NaN or infinity")]
)
def test_an_audit_names_the_image_on_which_a_network_breaks(logits: bool, said: str) -> None:
    x = torch.cat([X[:1] * 0.1, X[1:] * 0.1, 0.9 + 0.1 * X[:1]])
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.01,), budget="light", certify=False)
    with pytest.raises(hf.HoldfastError, match=rf"{said} for image 2; find out where"):
        hf.audit(Breaks(logits), x, settings)


SMALL = "--n-examples 4 --n-attribution 1 --cw-steps 1 --ifia.steps 1 --auto None --score-n-steps 2 --device cpu"


def test_evaluate_reads_the_logits_out_of_what_a_network_returns(place: Path) -> None:
    assert main(["evaluate", "own_networks.py:AsDict", "--dataset", "digits", *SMALL.split(), "--out", "out"]) == 0
    assert (place / "out" / "report.html").is_file()


@pytest.mark.filterwarnings("ignore::holdfast.HoldfastWarning")
def test_a_folder_of_small_images_needs_no_k(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for name, level in (("dark", 40), ("light", 200)):
        (place / "test" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("L", (8, 8), level + i).save(place / "test" / name / f"{i}.png")
    command = ["evaluate", "own_networks.py:one_logit", "--dataset", "./test", *SMALL.split(), "--split", "all"]
    assert main([*command, "--out", "out"]) == 0, capsys.readouterr().err
    assert "Top-8" in capsys.readouterr().out


def test_a_file_alone_is_no_network(place: Path) -> None:
    with pytest.raises(hf.HoldfastError, match=r"own_networks.py is a file; name what makes the network in it"):
        find_model("own_networks.py")


def test_home_folders_are_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = place / "me"
    home.mkdir()
    (home / "at_home.py").write_text(FILE)
    monkeypatch.setenv("HOME", str(home))
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.01,), images=1, budget="light", certify=False)
    hf.audit("~/at_home.py:plain", X, settings, out="~/audited")
    assert (home / "audited" / "report.html").is_file()
    command = "evaluate ~/at_home.py:plain --dataset digits --out ~/evaluated --export ~/results"
    assert main([*command.split(), *SMALL.split()]) == 0
    assert (home / "evaluated" / "report.html").is_file()
    assert len(list((home / "results").iterdir())) == 2
    assert not (place / "~").exists()
