"""Explanations that only this Python process knows: evaluated and audited, but never gone on with by another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import holdfast as hf
from holdfast.audit import load_audit
from holdfast.evaluate.protocol import read_protocol

IMAGES = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(0))
NET = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
DATA = (IMAGES, NET(IMAGES).argmax(1))
SETTINGS: dict[str, Any] = {"eps": 0.1, "attacks": ["random-signs"], "predictions": [], "n_attribution": 3}


class Explainer:
    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def attribute(self, x: Tensor, target: Tensor) -> Tensor:
        return x * (target.view(-1, 1, 1, 1) + 1)


def importable(x: Tensor, target: Tensor) -> Tensor:
    return x + 1


NAMELESS = {
    "<lambda>": lambda x, target: x,
    "<Explainer.attribute>": Explainer(NET).attribute,
    "<Explainer>": Explainer(NET),
}


@pytest.mark.parametrize(("name", "fn"), NAMELESS.items())
def test_an_evaluation_keeps_its_name_but_nobody_goes_on(tmp_path: Path, name: str, fn: Any) -> None:
    result = hf.evaluate(NET, DATA, attributions=[hf.External(fn)], out=tmp_path, **SETTINGS)
    assert result is not None
    assert list(result.to_frame()["attribution"].unique())[-1] == f"External(fn='{name}')"
    with pytest.raises(hf.HoldfastError, match=f"{name} is known to one Python process alone"):
        hf.evaluate(NET, DATA, attributions=[hf.External(fn)], out=tmp_path, **SETTINGS)
    with pytest.raises(hf.HoldfastError, match="known to one Python process alone"):
        hf.evaluate(NET, DATA, attributions=[hf.External(fn)], out=tmp_path / "new", rank=0, world_size=2, **SETTINGS)
    (stored,) = read_protocol(tmp_path).attributions
    with pytest.raises(hf.HoldfastError, match=f"{name} was an object of the Python process"):
        stored(NET, IMAGES, 0)


def test_what_can_be_imported_is_stored_by_its_name(tmp_path: Path) -> None:
    for _ in range(2):
        hf.evaluate(NET, DATA, attributions=[hf.External(importable)], out=tmp_path, **SETTINGS)
    (stored,) = json.loads((tmp_path / "protocol.json").read_text())["attributions"]
    assert stored["fn"] == f"{__name__}:importable"
    assert torch.equal(read_protocol(tmp_path).attributions[0](NET, IMAGES, 0), IMAGES + 1)


@pytest.mark.parametrize("folder", [None, "audit"])
def test_an_audit(tmp_path: Path, folder: str | None) -> None:
    settings = hf.AuditSettings((hf.External(NAMELESS["<Explainer>"]),), eps=(0.05,), k=6, images=2, certify=False)
    out = None if folder is None else tmp_path / folder
    assert "Explainer keeps" in hf.audit(NET, DATA, settings, out=out).verdict()
    if out is not None:
        assert "hf.audit(model, images, settings, device" in (out / "report.html").read_text()
        assert load_audit(out).settings.attributions == (hf.External("<Explainer>"),)
        with pytest.raises(hf.HoldfastError, match="<Explainer> is known to one Python process alone"):
            hf.audit(NET, DATA, settings, out=out)


def test_parts_of_a_notebook_work_in_memory(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Mine(hf.Attribution):
        def map(
            self, model: Any, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True
        ) -> Tensor:
            return x * 2

    result = hf.evaluate(NET, DATA, attributions=[Mine()], **SETTINGS)
    assert result is not None
    assert "Mine" in result._repr_html_()
    result.to_html(tmp_path / "page.html")
    settings = hf.AuditSettings((Mine(),), eps=(0.05,), k=6, images=2, certify=False)
    audit = hf.audit(NET, IMAGES, settings)
    audit.to_html(tmp_path / "audit.html")
    assert "Mine keeps" in audit.verdict()
    for call in (
        lambda out: hf.evaluate(NET, DATA, attributions=[Mine()], out=out, **SETTINGS),
        lambda out: hf.audit(NET, IMAGES, settings, out=out),
    ):
        with pytest.raises(hf.HoldfastError, match="Mine cannot be stored"):
            call(tmp_path / "kept")


@pytest.mark.parametrize(
    ("given", "remedy"),
    [(hf.Saliency, r"give one of them, as Saliency\(\)"), (NAMELESS["<lambda>"], "holdfast.External")],
)
def test_what_is_no_attribution(given: Any, remedy: str) -> None:
    with pytest.raises(hf.HoldfastError, match=f"is no attribution; .*{remedy}"):
        hf.evaluate(NET, DATA, attributions=[given], **SETTINGS)
