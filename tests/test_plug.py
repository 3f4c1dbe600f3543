"""One file outside the package defines a part of each kind, and `file.py:Class` drives them through the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from holdfast.attacks.base import Attack
from holdfast.attribution.base import Attribution
from holdfast.cli import main
from holdfast.objectives import Objective
from holdfast.part_json import from_json, to_json
from holdfast.parts import find
from holdfast.results import load_results
from holdfast.train import RunFolder, read_metrics
from holdfast.train.folder import load_config

MINE = '''
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from holdfast.attacks import PGD
from holdfast.attacks.attribution_attack import AttributionAttack, Found
from holdfast.attacks.base import Attack, random_start
from holdfast.attribution import IntegratedGradients
from holdfast.attribution.base import Attribution
from holdfast.metrics import Metric
from holdfast.objectives.base import LossOutput, Objective


@dataclass(frozen=True)
class Scaled(Attribution):
    """The gradient of the target's logit, times ``scale``."""

    scale: float = 2.0

    def __call__(self, model, x, target, *, create_graph=False, generator=None):
        return self.map(model, x, target, create_graph=create_graph)

    def map(self, model, x, target, *, create_graph=False, weights=True):
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            logit = model(x).gather(1, target[:, None]).sum()
            return self.scale * torch.autograd.grad(logit, x, create_graph=create_graph)[0]


@dataclass(frozen=True)
class Noise(Attack):
    """A random point of the ball."""

    eps: float = 0.1

    @property
    def cost(self):
        return 0.0

    def perturb(self, model, images, labels, generator):
        return random_start(images, self.eps, "Linf", generator)


@dataclass(frozen=True)
class Shift(AttributionAttack):
    """All pixels brighter; where the prediction holds, that is what was found."""

    eps: float = 0.1
    attribution: Attribution = IntegratedGradients(n_steps=2)

    def search(self, model, images, labels, attribution, generator):
        adv = (images + self.eps).clamp(0, 1)
        with torch.no_grad():
            kept = model(adv).argmax(1) == labels
        adv = torch.where(kept.view(-1, 1, 1, 1), adv, images)
        score = (attribution.map(model, adv, labels) - attribution.map(model, images, labels)).flatten(1).norm(dim=1)
        return Found(adv, kept, -score.detach(), kept.long(), -score.detach().mean()[None])


@dataclass(frozen=True)
class Smoothed(Objective):
    """Cross-entropy with smoothed labels on attacked images."""

    attack: Attack = PGD(eps=0.1, alpha=0.05, steps=2)
    smoothing: float = 0.1

    @property
    def cost(self):
        return 3.0 + self.attack.cost

    def __call__(self, model, x, y, *, generator=None):
        x_adv = self.attack(model, x, y, generator=generator)
        ce = F.cross_entropy(model(x_adv), y, label_smoothing=self.smoothing)
        return LossOutput(ce, {"smoothed": ce.detach()}, x_adv)
'''
METRIC = '''

@dataclass(frozen=True)
class Moved(Metric):
    """How far a map moved."""

    meaning = "How far a map moved: 0 is not at all."
    higher_is_better = False
    if_failed = 0.0
    power: float = 2.0

    def __call__(self, maps, reference):
        return (maps - reference).abs().flatten(1).pow(self.power).sum(1)
'''
SHORT = ["--device", "cpu", "--data.train-size", "64", "--val-size", "20", "--optim.epochs", "2", "--out", "run"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the file, as its author has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine.py").write_text(MINE + METRIC)
    return tmp_path


def train(recipe: str, *options: str) -> RunFolder:
    assert main(["train", recipe, *options, *SHORT]) == 0
    return RunFolder(Path("run"))


def stored(folder: RunFolder) -> dict:
    return json.loads(folder.config.read_text())["objective"]


def test_an_objective_and_its_fields(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train("digits-at", "--objective", "mine.py:Smoothed", "--objective.smoothing", "0.3")
    assert stored(folder)["part"] == f"{place / 'mine.py'}:Smoothed"
    assert stored(folder)["smoothing"] == 0.3
    assert stored(folder)["attack"]["part"] == "PGD"
    assert {"loss", "smoothed"} <= read_metrics(folder.metrics)[0].keys()
    assert load_config(folder.config).objective.title == "Smoothed"


def test_an_attack_on_predictions(place: Path) -> None:
    folder = train("digits-at", "--objective.attack", "mine.py:Noise", "--objective.attack.eps", "8/255")
    assert stored(folder)["part"] == "AT"
    assert stored(folder)["attack"] == {"part": f"{place / 'mine.py'}:Noise", "eps": 8 / 255}


def test_an_attack_on_attributions(place: Path) -> None:
    folder = train("digits-at-igr", "--objective.attack", "mine.py:Shift", "--objective.attack.eps", "0.05")
    assert stored(folder)["attack"]["part"] == f"{place / 'mine.py'}:Shift"
    assert stored(folder)["attack"]["eps"] == 0.05
    assert "igr" in read_metrics(folder.metrics)[0]


def test_an_attribution(place: Path) -> None:
    folder = train("digits-trades-igr", "--objective.attribution=mine.py:Scaled", "--objective.attribution.scale", "3")
    assert stored(folder)["attribution"] == {"part": f"{place / 'mine.py'}:Scaled", "scale": 3.0}
    assert load_config(folder.config).objective.title == "TRADES+IGR [Scaled]"


def test_all_at_once_and_the_base_of_igr(place: Path) -> None:
    folder = train(
        "digits-at-igr", "--objective.base", "mine.py:Smoothed", "--objective.base.attack", "mine.py:Noise",
        "--objective.attribution", "mine.py:Scaled", "--objective.lam", "0.5",
    )  # fmt: skip
    assert [stored(folder)[name]["part"].rpartition(":")[2] for name in ("base", "attribution")] == [
        "Smoothed",
        "Scaled",
    ]
    assert stored(folder)["base"]["attack"]["part"].endswith(":Noise")
    assert {"smoothed", "igr", "loss"} <= read_metrics(folder.metrics)[0].keys()


def test_a_stored_run_is_read_from_another_folder(
    place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(train("digits-at", "--objective", "mine.py:Smoothed").config)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load_config(place / "run" / "config.json") == config
    assert (
        main(["train", "digits-at", "--objective", str(place / "mine.py:Smoothed"), *SHORT[:-1], str(place / "run")])
        == 2
    )


@pytest.mark.parametrize(
    ("kind", "name"), [(Attribution, "Scaled"), (Attack, "Noise"), (Attack, "Shift"), (Objective, "Smoothed")]
)
def test_each_is_found_and_stored(kind: type, name: str, place: Path) -> None:
    part = find(kind, f"mine.py:{name}")()
    assert from_json(kind, to_json(part), "here") == part


def test_the_convention_in_python(place: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    x, y = torch.rand(4, 1, 8, 8), torch.arange(4)
    assert find(Attribution, "mine.py:Scaled")()(model, x, y).shape == x.shape
    for name in ("Noise", "Shift"):
        attack = find(Attack, f"mine.py:{name}")()
        assert float((attack(model, x, y) - x).abs().max()) <= 0.1 + 1e-6
        assert attack.run(model, x, y).succeeded.shape == (4,)


def test_evaluate_with_parts_of_each_kind(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table, page, records and stored result of a run and of a model have them all."""
    train("digits-at", "--objective", "mine.py:Smoothed")
    parts = (
        "--attribution saliency --attribution mine.py:Scaled --attack mine.py:Noise "
        "--attack mine.py:Shift --metric mine.py:Moved(power=1.0)"
    )
    short = (
        "--device cpu --n-examples 30 --n-attribution 4 --cw-steps 2 --ifia.steps 2 --batch-size 15 --export results"
    )
    assert main(["evaluate", "run", *parts.split(), *short.split()]) == 0
    shown = capsys.readouterr().out
    (out,) = Path("run").glob("eval-*")
    page = (out / "report.html").read_text()
    for text in (shown, page):
        for name in ("Scaled", "Saliency", "Noise", "Shift", "Moved"):
            assert name in text
    records = pd.read_parquet(out / "records")
    assert set(records["attribution"].dropna()) == {"Saliency", "Scaled"}
    assert {"Noise", "natural", "fgsm"} < set(records[records["kind"] == "accuracy"]["attack"])
    assert {"Shift", "ifia", "random"} < set(records[records["kind"] == "attribution"]["attack"])
    assert records["moved"].notna().tolist() == (records["kind"] != "accuracy").tolist()
    (result,) = load_results(Path("results"))
    assert result.name == "digits-at-0"
    assert result.train.objective.title == "Smoothed"
    assert {"Shift_moved", "worst_moved", "Scaled: kendall", "Noise"} <= set(result.summary["metrics"])


def test_audit_with_an_explanation_of_ones_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "net.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    words = "audit net.py:make digits --images 2 --eps 0.1 --k 8 --attribution mine.py:Scaled --out a --json"
    assert main(words.split()) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert {row["explanation"] for row in numbers["numbers"]} == {"Scaled"}
    assert (place / "a" / "report.html").is_file()


@pytest.mark.filterwarnings("ignore:there are no settings for data set")
def test_a_data_set_of_ones_own(place: Path) -> None:
    (place / "data.py").write_text(
        "import torch\n"
        "def pictures(split):\n"
        "    g = torch.Generator().manual_seed(len(split))\n"
        "    n = {'train': 60, 'val': 20, 'test': 20}[split]\n"
        "    y = torch.arange(n) % 2\n"
        "    x = torch.rand(n, 1, 8, 8, generator=g) * 0.5 + y.view(-1, 1, 1, 1) * 0.5\n"
        "    return (x * 255).to(torch.uint8), y, ('dark', 'light')\n"
    )
    words = ["train", "digits-at", "--profile", "smoke", "--data.name", "data.py:pictures", "--data.train-size", "60"]
    assert main([*words, "--out", "run"]) == 0
    assert (
        main(["evaluate", "run", "--profile", "smoke", "--n-examples", "20", "--n-attribution", "4", "--ifia.k", "8"])
        == 0
    )
    (evaluation,) = Path("run").glob("eval-*")
    records = pd.read_parquet(evaluation / "records")
    assert records["index"].nunique() == 20
    assert "data.py:pictures" in (evaluation / "subject.json").read_text()
