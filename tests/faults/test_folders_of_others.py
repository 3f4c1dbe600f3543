"""What lies in a folder that is no audit's or evaluation's is not written over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import holdfast as hf

X = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
NET = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
QUICK = hf.AuditSettings((hf.Saliency(),), eps=(0.05,), images=1, budget="light", certify=False)


def audited(out: Path) -> None:
    hf.audit(NET, X, QUICK, out=out)


def evaluated(out: Path) -> None:
    hf.evaluate(NET, (X, NET(X).argmax(1)), out=out, attributions=[hf.Saliency()], attacks=["random-signs"])


@pytest.mark.parametrize("call", [audited, evaluated])
def test_a_page_of_something_else_stays(call: object, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(hf.HoldfastError, match=r"holds something else \(report.html\).*choose another --out"):
        call(tmp_path)  # type: ignore[operator]
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "mine"


def test_a_folder_of_images_is_not_mixed_with_those_of_an_audit(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "labels.json").write_text("{}")
    with pytest.raises(hf.HoldfastError, match=r"holds something else \(images\)"):
        audited(tmp_path)


def test_audits_and_evaluations_keep_apart(tmp_path: Path) -> None:
    audited(tmp_path / "a")
    evaluated(tmp_path / "b")
    with pytest.raises(hf.HoldfastError, match="holds something else"):
        evaluated(tmp_path / "a")
    (tmp_path / "b" / "report.html").write_text("the page of the evaluation")
    with pytest.raises(hf.HoldfastError, match="holds something else"):
        audited(tmp_path / "b")
    (tmp_path / "notes.txt").write_text("other files are no matter")
    audited(tmp_path)
    audited(tmp_path)
