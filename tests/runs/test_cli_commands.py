"""What the commands do and print when all is well."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from holdfast import __version__, find_model
from holdfast.cli import COMMANDS, main
from holdfast.evaluate.protocol import read_protocol
from holdfast.evaluate.standard import config_of
from holdfast.parts import differences, settings
from holdfast.recipes import evaluation, recipe, recipe_names
from holdfast.train import RunFolder
from holdfast.train.config import TrainConfig
from holdfast.train.folder import load_config

SHORT = "--device cpu --data.train-size 64 --optim.batch-size 32 --val-size 20"
SHORT_EVAL = (
    "--device cpu --n-examples 20 --n-attribution 8 --cw-steps 3 --score-n-steps 4 --random-draws 2 --batch-size 10 "
    "--ifia.steps 3 --ifia.n-steps 4"
)


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def output_of(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(line.split()) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("line", ["", "--help", "-h", "help"])
def test_help(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = output_of(line, capsys)
    assert all(f"  {name}" in shown for name in COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert output_of("--version", capsys) == f"holdfast {__version__}\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train --help", ["--optim.lr", "--objective.lam", "--objective.base.attack.eps", "--resume", "--out"]),
        ("train mnist-at-igr --help", ["--optim.lr", "--objective.lam", "--objective.attribution.n-steps", "--resume"]),
        ("evaluate --help", ["--ifia.steps", "--dataset", "--weights", "--n-attribution"]),
        ("evaluate small_cnn --help", ["--ifia.steps", "--dataset"]),
        ("demo --help", ["--out", "--device"]),
    ],
)
def test_help_of_a_command(line: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in words)


@pytest.mark.parametrize(
    ("line", "words"), [("recipes --help", "[NAME]"), ("data --help", "prepare"), ("data", "info")]
)
def test_short_help(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in output_of(line, capsys)


def test_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    shown = output_of("recipes", capsys)
    assert all(name in shown for name in recipe_names())
    (line,) = (line for line in shown.splitlines() if "mnist-at-igr " in line and "fashion" not in line)
    assert "163" in line
    assert "90" in line


def test_one_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {
        cells[0].strip(): [cell.strip() for cell in cells[1:]]
        for line in output_of("recipes mnist-trades-igr", capsys).splitlines()
        if len(cells := line.strip("│ ").split("│")) == 3
    }
    for field, value in settings(recipe("mnist-trades-igr")):
        assert rows[field][0] == str(value)
    for field, value in settings(evaluation("mnist"), "evaluation."):
        assert rows[field][0] == str(value)
    assert rows["optim.lr"] == ["0.0001", "paper"]
    assert rows["objective.base.attack.steps"] == ["40", "cited code"]
    assert rows["objective"][0] == "IGR"
    assert rows["objective.lam"][1] == "ours"
    assert rows["evaluation.ifia.k"] == ["100", "paper"]


def test_data(capsys: pytest.CaptureFixture[str]) -> None:
    shown = output_of("data list", capsys)
    assert "in the package" in shown
    assert "1×8×8" in shown
    assert "cifar10" in shown
    for line in ("data prepare digits", "data info digits"):
        shown = output_of(line, capsys)
        assert "1197" in shown
        assert "1×8×8" in shown
    assert "sha256" in shown
    assert "images a class: 0 " in shown


def test_train_stores_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        f"train digits-mart-igr --out run {SHORT} --optim.epochs 1 --objective.lam 0.5 --seed 3 --optim.milestones 4 5"
    )
    shown = output_of(line, capsys)
    assert "holdfast evaluate run" in shown
    config = load_config(tmp_path / "run" / "config.json")
    assert (config.seed, config.optim.milestones, config.val_size) == (3, (4, 5), 20)
    assert config.recipe == "digits-mart-igr"
    assert differences(recipe("digits-mart-igr").objective, config.objective) == ["lam: 1.0 -> 0.5"]
    assert sorted(p.name for p in (tmp_path / "run").iterdir() if not p.name.startswith(".")) == [
        "best.safetensors",
        "checkpoints",
        "config.json",
        "last.safetensors",
        "metrics.jsonl",
        "result.json",
    ]


def test_train_goes_to_runs_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(f"train digits-standard {SHORT} --optim.epochs 2".split()) == 0
    captured = capsys.readouterr()
    assert RunFolder(tmp_path / "runs" / "digits-standard").finished
    lines = captured.err.splitlines()
    assert lines[0] == "digits-standard"
    assert [line.split("  ")[0] for line in lines[2:]] == ["epoch 1/2", "epoch 2/2"], "where nobody watches"
    assert re.fullmatch(r"epoch 1/2  loss \S+  acc \S+/\S+  cos \S+  \d+ img/s  left \S+ s", lines[2])
    assert max(map(len, lines)) <= 80


def test_evaluate_a_run(finished_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "eval"
    shown = output_of(f"evaluate {finished_run.path} --out {out} {SHORT_EVAL}", capsys)
    summary = json.loads((out / "summary.json").read_text())
    assert f"{summary['metrics']['natural']['mean']:.1%}".rstrip("%") in shown
    assert (out / "report.html").is_file()
    assert "chance" in shown
    assert "20 images; " in shown
    assert str(out) in shown
    config = config_of(read_protocol(out))
    assert (config.dataset, config.n_examples, config.ifia.k) == ("digits", 20, evaluation("digits").ifia.k)
    again = output_of(f"evaluate {finished_run.path} --out {out} {SHORT_EVAL}", capsys)
    assert again == shown
    numbers = json.loads(output_of(f"evaluate {finished_run.path} --out {out} --json {SHORT_EVAL}", capsys))
    assert numbers == {name: value for name, value in summary.items() if name != "sha256"}


@pytest.mark.slow
def test_each_setting_has_a_folder_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output_of(f"train digits-standard --out run {SHORT} --optim.epochs 1", capsys)
    for extra in ("", "--checkpoint best", "--eps 0.2", "--eps 0.2"):
        output_of(f"evaluate run {SHORT_EVAL} {extra}", capsys)
    folders = [path for path in (tmp_path / "run").glob("eval-*") if (path / "summary.json").is_file()]
    assert len(folders) == 3


FACTORY = """
from torch import nn

def make(in_channels, num_classes, image_size):
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1),
        nn.Linear(8 * ((image_size - 2) // 2) ** 2, 32), nn.ReLU(), nn.Linear(32, num_classes),
    )
"""


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_evaluate_a_model_of_ones_own(
    suffix: str, tmp_path: Path, toy: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(FACTORY)
    if suffix == "pt":
        torch.save({"state_dict": toy.state_dict()}, tmp_path / "w.pt")
    else:
        save_file(toy.state_dict(), tmp_path / "w.safetensors")
    output_of(f"evaluate mine.py:make --dataset digits --weights w.{suffix} {SHORT_EVAL}", capsys)
    (summary,) = (tmp_path / "runs").rglob("summary.json")
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["natural"]["mean"] > 0.7
    assert metrics["kendall"]["n"] == 8


def test_weights_that_changed_since_are_not_mixed(
    tmp_path: Path, toy: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command after training on: the records of the old weights are not shown as the new ones'."""
    (tmp_path / "mine.py").write_text(FACTORY)
    line = f"evaluate mine.py:make --dataset digits --weights w.safetensors {SHORT_EVAL}"
    save_file(toy.state_dict(), tmp_path / "w.safetensors")
    output_of(line, capsys)
    weights = load_file(tmp_path / "w.safetensors")
    save_file({name: value * 0.9 for name, value in weights.items()}, tmp_path / "w.safetensors")
    assert main(line.split()) == 2
    assert "another network" in capsys.readouterr().err


def test_a_model_without_weights_resumes_with_the_same_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"evaluate small_cnn --dataset digits {SHORT_EVAL}"
    output_of(line, capsys)
    (records,) = (tmp_path / "runs").rglob("records")
    file = records / "accuracy-00001.parquet"
    before = file.read_bytes()
    file.unlink()
    output_of(line, capsys)
    assert file.read_bytes() == before


def test_a_trained_run_loads_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output_of(f"train digits-at --out run {SHORT} --optim.epochs 1", capsys)
    assert find_model("run").model(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_interrupted(
    tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("holdfast.train.loop._Run.step", interrupt)
    assert main(f"train digits-at --out run {SHORT}".split()) == 130
    again = f"Go on with: holdfast train digits-at --out run {SHORT} --resume"
    assert capsys.readouterr().err == f"holdfast: interrupted; what was finished is kept. {again}\n"
