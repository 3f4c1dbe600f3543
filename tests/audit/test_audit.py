"""An audit end to end on tiny networks and folders: what it finds, keeps, says and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.audit.measure import ssim
from holdfast.audit.page import document_of
from holdfast.audit.result import AuditResult, _crossing
from holdfast.cli import main
from holdfast.data.image_data import ImageData
from holdfast.errors import HoldfastError
from holdfast.report.table import Table
from tests.audit.conftest import SETTINGS


def test_a_row_for_everything(result: AuditResult) -> None:
    rows = result.records
    assert result.images == 3
    counts = rows.groupby("what").size()
    assert counts.to_dict() == {"attack": 12, "map": 6, "noise": 12}
    assert result.folder is not None
    stored = pd.read_parquet(result.folder / "records.parquet")
    assert stored["index"].tolist() == rows["index"].tolist()
    pd.testing.assert_series_equal(stored[result.topk], rows[result.topk])


def test_the_attack_is_at_least_as_strong_as_noise_and_keeps_the_ball(result: AuditResult) -> None:
    rows = result.records
    for eps in SETTINGS.eps:
        at = rows[np.isclose(rows["eps"].astype(float), eps)]
        assert (at["largest_change"] <= eps + 1e-6).all()
        attack, noise = (at[at["what"] == what][result.topk].mean() for what in ("attack", "noise"))
        assert attack <= noise
    weak, strong = (result.mean("Saliency", "attack", result.topk, eps).mean for eps in SETTINGS.eps)
    assert strong < weak


def test_the_sentence_is_true_of_its_numbers(result: AuditResult) -> None:
    said = result.verdict()
    worst = min(result.explanations, key=lambda e: result.mean(e, "attack", result.topk, result.reference).mean)
    kept = result.mean(worst, "attack", result.topk, result.reference)
    assert f"{result.label(worst)} keeps {100 * kept.mean:.0f} %" in said
    assert result.score == pytest.approx(kept.mean)
    assert "Mean over 3 images" in said


def test_radii_are_printed_in_levels_of_255(result: AuditResult) -> None:
    for shown in (str(result), result._repr_html_()):
        assert all(level in shown for level in ("5.1/255", "25.5/255"))


def test_the_page_and_the_numbers(result: AuditResult) -> None:
    assert result.folder is not None
    page = (result.folder / "report.html").read_text()
    assert result.verdict().split(":")[0] in page
    assert page.count("data:image/png") >= 15, "three strips of five pictures"
    numbers = json.loads((result.folder / "audit.json").read_text())
    assert numbers["verdict"] == result.verdict()
    assert len(numbers["numbers"]) == 8


def test_a_folder_belongs_to_one_audit(net: nn.Module, images: Tensor, result: AuditResult) -> None:
    with pytest.raises(HoldfastError, match="holds the audit of another model, other images or other settings"):
        hf.audit(net, images, replace(SETTINGS, seed=1), out=result.folder)


def test_a_robust_map_and_a_fragile_one_come_out_apart(images: Tensor) -> None:
    """The gradient of a linear network never moves; that of a sharply bent one does."""
    torch.manual_seed(3)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.05,), k=6, images=3, certify=False)
    firm = hf.audit(linear, images, settings)
    bent = nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 3)).eval()
    soft = hf.audit(bent, images, settings)
    assert firm.score == 1.0
    assert firm.verdict().startswith("The explanations of this model hold:")
    assert soft.score < 0.8


def test_blank_maps_are_counted_not_compared(images: Tensor, tmp_path: Path) -> None:
    dead = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    nn.init.zeros_(dead[1].weight)
    found = hf.audit(dead, images, hf.AuditSettings((hf.Saliency(),), eps=(0.05,), k=6, images=3, certify=False))
    assert found.blank("Saliency") == 1.0
    assert any("Saliency is blank on 100 %" in step for step in found.next_steps())
    found.to_html(tmp_path / "page.html")
    assert "every map (3 images) is blank" in (tmp_path / "page.html").read_text()


def test_half_gone_by_hand() -> None:
    eps, share = pd.Series([0.1, 0.2, 0.4]), pd.Series([0.8, 0.6, 0.2])
    assert _crossing(eps, share) == pytest.approx(0.25)
    assert _crossing(eps, pd.Series([0.9, 0.8, 0.7])) == float("inf")
    assert _crossing(eps, pd.Series([0.5, 0.4, 0.3])) == pytest.approx(0.1)


def test_ssim_of_equal_and_of_inverted_images() -> None:
    x = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ssim(x, x), torch.ones(2))
    assert bool((ssim(x, 1 - x) < 0).all())
    assert bool((ssim(x, (x + 0.01).clamp(0, 1)) > 0.9).all())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("audit", "the model is missing"),
        ("audit mnist/trades-igr", "the folder of images is missing"),
        ("audit nope nowhere", "unknown model 'nope'"),
        ("audit mnist/trades-igr nowhere --eps 8", "at most 1; 8 levels of 255 are written 8/255."),
        (
            "audit mnist/trades-igr nowhere --eps 300",
            "eps is 300; it is a part of the pixel range, above 0 and at most 1.",
        ),
        ("audit mnist/trades-igr digits --image-size 0", "must be positive"),
        ("audit mnist/trades-igr nowhere --eps 0", "eps is 0"),
        ("audit mnist/trades-igr nowhere --time-limit soon", "--time-limit is 'soon'"),
        ("audit mnist/trades-igr nowhere --attribution salience", "unknown attribution 'salience'; did you mean"),
        ("audit mnist/trades-igr nowhere --budget all", "all"),
    ],
)
def test_bad_input_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_method_whose_maps_are_all_blank_is_not_the_verdict(images: Tensor) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    settings = hf.AuditSettings(
        (hf.Saliency(), hf.External(f"{__file__}:blank")), eps=(0.05,), k=6, images=1, certify=False
    )
    found = hf.audit(net, images, settings)
    assert found.measured == ["Saliency"]
    assert found.score == found.mean("Saliency", "attack", found.topk, 0.05).mean
    assert "every map of blank is blank" in found.verdict()
    (table,) = (block for section in document_of(found).sections for block in section.blocks
                if isinstance(block, Table) and block.key == "explanations")  # fmt: skip
    assert table.rows[1].cells == (None,) * 7 + (1.0,), "no number, not nan"


def often_blank(x: Tensor, target: Tensor) -> Tensor:
    return x * (x.flatten(1)[:, :1, None, None] > 0.9)


def test_a_method_that_is_blank_on_most_images_is_not_said_to_hold_best() -> None:
    """Its one map holds better than saliency, which the sentence calls best."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 3)).eval()
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.8
    images[0, 0, 0, 0] = 1.0
    methods = (hf.Saliency(), hf.External(f"{__file__}:often_blank"), hf.IntegratedGradients(4))
    found = hf.audit(net, images, hf.AuditSettings(methods, eps=(0.05,), k=6, images=3, certify=False))
    assert found.blank(found.explanations[1]) == pytest.approx(2 / 3)
    assert found.best != found.explanations[1]
    assert "; often_blank is blank on 67 % of the images and does not count. Mean over" in found.verdict()


@pytest.mark.parametrize(("right", "said"), [(20, False), (10, True)])
def test_an_accuracy_that_guessing_reaches_is_noted(right: int, said: bool) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = net(images).argmax(1)
    labels[right:] = 1 - labels[right:]
    data = ImageData("mine", "all", images, labels, ("a", "b"), "made")
    found = hf.audit(net, data, hf.AuditSettings((hf.Saliency(),), eps=(0.01,), k=6, budget="light", certify=False))
    assert found.accuracy == right / 20
    assert any("is no better than guessing among 2 classes" in note for note in found.notes) is said


def blank(x: Tensor, target: Tensor) -> Tensor:
    return torch.zeros_like(x)
