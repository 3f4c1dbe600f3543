"""A finished run comes back as a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

from holdfast import HoldfastError, find_model
from holdfast.models.find import dataset_of
from holdfast.train import RunFolder

Checkpoint = Literal["last", "best"]


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_the_weights_on_disk(finished_run: RunFolder, checkpoint: Checkpoint) -> None:
    model = find_model(str(finished_run.path), checkpoint=checkpoint).model
    assert not any(module.training for module in model.modules())
    stored = load_file(finished_run.path / f"{checkpoint}.safetensors")
    assert model.state_dict().keys() == stored.keys()
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


@pytest.fixture
def copy(finished_run: RunFolder, tmp_path: Path) -> Path:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return tmp_path / "run"


def test_in_the_current_folder(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy.parent)
    found = find_model("run")
    assert (found.name, found.dataset) == ("run", "digits")
    assert found.model(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_what_a_model_was_trained_on_is_told_without_loading_it(copy: Path) -> None:
    (copy / "last.safetensors").unlink()
    told = [dataset_of(spec) for spec in (str(copy), "fashion_mnist/trades", "small_cnn", "timm:resnet18")]
    assert told == ["digits", "fashion_mnist", None, None]


def test_errors(copy: Path) -> None:
    with pytest.raises(HoldfastError, match="does not exist; give a folder that holdfast train wrote"):
        find_model(str(copy.parent))
    with pytest.raises(HoldfastError, match="brings its own weights"):
        find_model(str(copy), weights="w.pt")
    with pytest.raises(HoldfastError, match=r"cannot take images of shape|do not fit"):
        find_model(str(copy), shape=(3, 32, 32), num_classes=10)
    (copy / "last.safetensors").write_bytes(b"junk")
    with pytest.raises(HoldfastError, match="cannot be read"):
        find_model(str(copy))
    (copy / "last.safetensors").unlink()
    with pytest.raises(HoldfastError, match="do not exist"):
        find_model(str(copy))


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_an_unfinished_run_is_not_loaded(copy: Path, checkpoint: Checkpoint) -> None:
    """Not even its best weights so far, which the run may yet replace."""
    (copy / "result.json").unlink()
    with pytest.raises(HoldfastError, match="not finished; finish it with holdfast train digits-trades-igr") as caught:
        find_model(str(copy), checkpoint=checkpoint)
    assert f"--out {copy} --resume" in str(caught.value)
