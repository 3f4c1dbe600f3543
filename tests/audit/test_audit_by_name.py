"""A model that is given by its name is the trained one: weights reach it, and its shape is that of the images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.audit.result import AuditResult
from holdfast.models.find import find_model
from holdfast.models.weights import save_weights
from holdfast.recipes import recipe
from holdfast.train import train

SETTINGS = hf.AuditSettings(attributions=(hf.Saliency(),), eps=(0.05,), images=3, certify=False)


def predicted(result: AuditResult) -> list[int]:
    rows = result.records[result.records["what"] == "attack"]
    return [int(p) for p in rows.sort_values("index")["prediction"]]


def classes_of(net: nn.Module) -> list[int]:
    images = hf.load_dataset("digits", "test").images[:3].float() / 255
    with torch.no_grad():
        return net.eval()(images).argmax(1).tolist()


def test_weights_reach_a_built_in_network(tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = hf.models.SmallCNN(image_size=8)
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    save_weights(net, tmp_path / "net.safetensors", {})
    result = hf.audit("small_cnn", "digits", SETTINGS, weights=str(tmp_path / "net.safetensors"))
    assert predicted(result) == classes_of(net)


def test_a_run_has_the_shape_of_its_images(tmp_path: Path) -> None:
    config = recipe("digits-standard", "smoke")
    small = replace(config, data=replace(config.data, train_size=100), optim=replace(config.optim, epochs=1))
    train(replace(small, val_size=20), tmp_path / "run")
    result = hf.audit(str(tmp_path / "run"), "digits", SETTINGS)
    net = find_model(str(tmp_path / "run"), shape=(1, 8, 8), num_classes=10).model
    assert predicted(result) == classes_of(net)


def test_weights_of_a_module_are_refused(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(hf.HoldfastError, match="weights, checkpoint, mean and std are for a model given by its name"):
        hf.audit(net, torch.rand(2, 1, 8, 8), SETTINGS, weights="net.pt")
