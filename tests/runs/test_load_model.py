"""A finished run comes back as a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from holdfast import HoldfastError, load_model
from holdfast.data.catalogue import KNOWN
from holdfast.data.image_data import ImageData
from holdfast.evaluate.target import resolve_target
from holdfast.models.pretrained import load_pretrained, pretrained_names
from holdfast.train import RunFolder


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_the_weights_on_disk(finished_run: RunFolder, checkpoint: str) -> None:
    model = load_model("run", dataset="digits", model_dir=finished_run.path.parent, checkpoint=checkpoint)  # type: ignore[arg-type]
    assert not any(module.training for module in model.modules())
    stored = load_file(finished_run.path / f"{checkpoint}.safetensors")
    assert model.state_dict().keys() == stored.keys()
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


def test_in_the_current_folder(finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished_run.path.parent)
    assert load_model("run", dataset="digits")(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@pytest.fixture
def copy(finished_run: RunFolder, tmp_path: Path) -> Path:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return tmp_path / "run"


def test_errors(copy: Path) -> None:
    with pytest.raises(HoldfastError, match="was trained on digits, not on mnist; pass dataset='digits'"):
        load_model("run", dataset="mnist", model_dir=copy.parent)
    with pytest.raises(HoldfastError, match="does not exist; give a folder that holdfast train wrote"):
        load_model("walk", dataset="digits", model_dir=copy.parent)
    (copy / "last.safetensors").write_bytes(b"junk")
    with pytest.raises(HoldfastError, match="cannot be read"):
        load_model("run", dataset="digits", model_dir=copy.parent)
    (copy / "last.safetensors").unlink()
    with pytest.raises(HoldfastError, match="do not exist"):
        load_model("run", dataset="digits", model_dir=copy.parent)


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_an_unfinished_run_is_not_evaluated(copy: Path, checkpoint: str) -> None:
    """Not even its best weights so far, which the run may yet replace."""
    (copy / "result.json").unlink()
    with pytest.raises(HoldfastError, match="not finished; finish it with holdfast train digits-trades-igr") as caught:
        resolve_target(str(copy), checkpoint=checkpoint)  # type: ignore[arg-type]
    assert f"--out {copy} --resume" in str(caught.value)


def test_what_a_target_is(copy: Path) -> None:
    run = resolve_target(str(copy), checkpoint="best")
    assert (run.name, run.model, run.dataset, run.weights, run.folder) == (
        "run",
        "small_cnn",
        "digits",
        copy / "best.safetensors",
        copy,
    )
    model = resolve_target("nets/mine.py:make", weights="w.pt")
    assert (model.name, model.dataset, model.weights) == ("nets_mine-make", None, Path("w.pt"))
    with pytest.raises(HoldfastError, match="brings its own weights"):
        resolve_target(str(copy), weights="w.pt")
    with pytest.raises(HoldfastError, match="unknown run or model"):
        resolve_target("nothing")


@pytest.mark.parametrize("name", pretrained_names())
def test_a_network_of_the_zoo_is_a_target(name: str) -> None:
    dataset, _, method = name.partition("/")
    target = resolve_target(name)
    images, classes = torch.zeros(1, 1, 28, 28, dtype=torch.uint8), KNOWN[dataset].classes
    data = ImageData(dataset, "test", images, torch.zeros(1, dtype=torch.int64), classes, "none")
    found, wanted = target.load(data, "cpu").state_dict(), load_pretrained(method, dataset=dataset).state_dict()
    assert (target.dataset, target.recipe) == (dataset, None)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
