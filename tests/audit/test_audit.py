"""An audit end to end on tiny networks and folders: what it finds, keeps, says and refuses."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import captum.attr
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import holdfast as hf
from holdfast.audit.measure import ssim
from holdfast.audit.page import _command
from holdfast.audit.result import AuditResult, _crossing
from holdfast.audit.run import passes
from holdfast.audit.settings import fitted_settings, with_budget
from holdfast.audit.store import pictures_of
from holdfast.cli import main
from holdfast.cli.audit import AuditOptions, explanations
from holdfast.cli.parse import parse
from holdfast.errors import HoldfastError

SETTINGS = hf.AuditSettings((hf.Saliency(), hf.IntegratedGradients(4)), eps=(0.02, 0.1), k=6, images=3, certify=False)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def result(net: nn.Module, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> AuditResult:
    return hf.audit(net, images, SETTINGS, out=tmp_path_factory.mktemp("audit") / "a")


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


def test_the_page_and_the_numbers(result: AuditResult) -> None:
    assert result.folder is not None
    page = (result.folder / "report.html").read_text()
    assert result.verdict().split(":")[0] in page
    assert page.count("data:image/png") >= 15, "three strips of five pictures"
    numbers = json.loads((result.folder / "audit.json").read_text())
    assert numbers["verdict"] == result.verdict()
    assert len(numbers["numbers"]) == 8


def test_stopped_after_any_image_it_goes_on_to_the_same_result(
    net: nn.Module, images: Tensor, result: AuditResult, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop_at(image: int) -> None:
        def told(done: int, total: int) -> None:
            if done == image:
                raise Stopped

        with pytest.raises(Stopped):
            hf.audit(net, images, SETTINGS, out=tmp_path / "a", on_image=told)

    stop_at(1)
    stop_at(2)
    again = hf.audit(net, images, SETTINGS, out=tmp_path / "a")
    pd.testing.assert_frame_equal(again.records, result.records)
    assert result.folder is not None
    assert (tmp_path / "a" / "report.html").read_text() == (result.folder / "report.html").read_text()


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


def test_blank_maps_are_counted_not_compared(images: Tensor) -> None:
    dead = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    nn.init.zeros_(dead[1].weight)
    found = hf.audit(dead, images, hf.AuditSettings((hf.Saliency(),), eps=(0.05,), k=6, images=3, certify=False))
    assert found.blank("Saliency") == 1.0
    assert any("Saliency is blank on 100%" in step for step in found.next_steps())


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


def test_a_captum_explanation(net: nn.Module, images: Tensor) -> None:
    settings = hf.AuditSettings((hf.External("captum.attr:Saliency"),), eps=(0.1,), k=6, images=2, certify=False)
    found = hf.audit(net, images, settings)
    assert 0 <= found.score < 1


def layer_grad_cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    return captum.attr.LayerGradCam(model, model[0]).attribute(x, target)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
@pytest.mark.parametrize("method", ["DeepLift", "LayerGradCam"])
def test_captum_explanations_of_a_layer_and_of_hooks(method: str, images: Tensor) -> None:
    """DeepLift hooks modules for a while; LayerGradCam gives a small map of one channel."""
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)).eval()

    explanation = hf.External("captum.attr:DeepLift" if method == "DeepLift" else f"{__file__}:layer_grad_cam")
    settings = hf.AuditSettings((explanation,), eps=(0.1,), k=6, images=1, certify=False)
    assert 0 <= hf.audit(conv, images, settings).score <= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("suffix", [".pt2", ".pt"])
def test_a_program_is_audited_like_the_network_it_was_made_from(
    suffix: str, net: nn.Module, images: Tensor, tmp_path: Path
) -> None:
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.1,), k=6, images=2, certify=False)
    file = tmp_path / f"net{suffix}"
    if suffix == ".pt2":
        batch = torch.export.Dim("batch", min=1, max=512)
        torch.export.save(torch.export.export(net, (images,), dynamic_shapes=({0: batch},)), file)
    else:
        torch.jit.save(torch.jit.trace(net, images), str(file))
    found = hf.audit(str(file), images, settings)
    own = hf.audit(net, images, settings)
    noise = [r.per_image("Saliency", "noise", r.topk, 0.1).tolist() for r in (found, own)]
    assert noise[0] == pytest.approx(noise[1])
    assert found.score <= np.mean(noise[0])


def test_every_predicted_label_is_explained_on_its_own(images: Tensor, tmp_path: Path) -> None:
    """Of three labels of a linear network, two are present; each map is that of its own half logit."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    with torch.no_grad():
        net[1].bias.copy_(torch.tensor([20.0, 20.0, -20.0]))
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.05,), k=6, images=2, certify=False, multi_label=True)
    found = hf.audit(net, images, settings, out=tmp_path / "a")
    attacks = found.records[found.records["what"] == "attack"]
    assert attacks["prediction"].tolist() == [0, 1, 0, 1]
    assert (attacks["index"].tolist(), found.images) == ([0, 0, 1, 1], 2)
    for label in (0, 1):
        kept = pictures_of(tmp_path / "a", 0, "Saliency", label)
        assert kept is not None
        np.testing.assert_allclose(kept["clean"].ravel(), net[1].weight[label].detach().numpy() / 2, atol=1e-3)
    assert "Which classes are worst" in (tmp_path / "a" / "report.html").read_text()
    with torch.no_grad():
        net[1].bias.fill_(-20.0)
    with pytest.raises(HoldfastError, match="predicts no label on any of the 2 images"):
        hf.audit(net, images, settings)
    with pytest.raises(HoldfastError, match="look like probabilities"):
        hf.audit(nn.Sequential(net, nn.Sigmoid()), images, settings)


class OneLogit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.relu(x).flatten(1))


def one_logit() -> nn.Module:
    torch.manual_seed(0)
    return OneLogit()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("ill", "well"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(2):
            pixels = rng.integers(0, 65536, (8, 8), dtype=np.uint16)
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{i}.png")
    (tmp_path / "pictures" / "ill" / "broken.png").write_bytes(b"not a picture")
    return tmp_path / "pictures"


@pytest.mark.filterwarnings("ignore:1 file of")
def test_the_command_line_on_16_bit_images_and_one_logit(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    words = ["audit", f"{__file__}:one_logit", str(folder), "--eps", "8/255", "--images", "2", "--k", "6",
             "--attribution", "saliency", "--out", "a"]  # fmt: skip
    assert main([*words, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["reference_eps"] == pytest.approx(8 / 255)
    assert any("broken.png" in note for note in numbers["notes"])
    assert main([*words, "--fail-under", "1.01"]) == 1
    assert "fewer than --fail-under" in capsys.readouterr().err


BROKEN = {
    "cut.png": lambda whole: whole[:60],
    "cut.jpg": lambda whole: whole[:20],
    "empty.png": lambda whole: b"",
    "text.jpg": lambda whole: b"<html>404 not found</html>",
    "zeros.png": lambda whole: bytes(200),
    "flipped.png": lambda whole: bytes([whole[0] ^ 255]) + whole[1:],
    "header.gif": lambda whole: b"GIF89a",
    "noise.bmp": lambda whole: b"BM" + bytes(range(100)),
    "medical.dcm": lambda whole: bytes(128) + b"DICM",
    "body.webp": lambda whole: b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(8),
}
"""Ten files that are no pictures, each in its own way, from the bytes of a sound PNG."""


@pytest.mark.filterwarnings("ignore:10 files of")
def test_ten_broken_files_are_named_and_the_rest_is_audited(
    net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"sound{i}.png")
    for name, broken in BROKEN.items():
        (pictures / name).write_bytes(broken((pictures / "sound0.png").read_bytes()))
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.1,), k=6, certify=False)
    found = hf.audit(net, str(pictures), settings)
    assert found.images == 2
    assert [name for name in BROKEN if not any(name in note for note in found.notes)] == []
    with pytest.raises(HoldfastError, match="10 files of"):
        hf.audit(net, str(pictures), settings, strict=True)


def test_the_page_is_there_from_the_first_image_on(net: nn.Module, images: Tensor, tmp_path: Path) -> None:
    pages: list[str] = []

    def told(done: int, total: int) -> None:
        if 0 < done < total:
            pages.append((tmp_path / "a" / "report.html").read_text())

    hf.audit(net, images, SETTINGS, out=tmp_path / "a", on_image=told)
    assert len(pages) == 2
    assert all("This page is of 1 of 3 images" in page for page in pages), "one page a minute"
    assert "The self-checks of the attack come after the last image" in pages[0]
    final = (tmp_path / "a" / "report.html").read_text()
    assert "This page is of" not in final
    assert "come after the last image" not in final


def test_a_time_limit_weakens_the_attack_before_it_leaves_out_images(
    net: nn.Module, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, budget="standard")
    asked = fitted_settings(settings, net, images)
    cost = {budget: passes(images, with_budget(asked, budget)) for budget in ("light", "quick", "standard")}
    assert cost["light"] < cost["quick"] < cost["standard"]
    monkeypatch.setattr("holdfast.audit.run.seconds_per_pass", lambda *_: 1.0)
    told: list[float] = []
    found = hf.audit(net, images, settings, out=tmp_path / "a", time_limit=cost["quick"] - 1, on_start=told.append)
    assert (found.settings.budget, found.images, told) == ("light", 3, [cost["light"]])
    assert "light instead of standard, to keep the time limit" in " ".join(found.notes)
    again = hf.audit(net, images, settings, out=tmp_path / "a", time_limit=10 * cost["standard"])
    assert again.settings.budget == "light", "a stopped audit goes on with the budget that it had"
    fresh = hf.audit(net, images, settings, time_limit=10 * cost["standard"], on_start=told.append)
    assert fresh.settings.budget == "standard"


def test_the_command_of_the_page_makes_the_same_settings(result: AuditResult) -> None:
    words = shlex.split(_command(result))
    assert words[:4] == ["holdfast", "audit", "Sequential", "IMAGES"]
    options = parse(AuditOptions(), words[4:], "audit", "")
    assert explanations(options.attribution) == SETTINGS.attributions
    assert options.eps == pytest.approx(SETTINGS.eps, rel=1e-3)
    assert (options.images, options.k, options.certify, options.budget) == (3, 6, False, "quick")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("audit", "the model is missing"),
        ("audit mnist/trades-igr", "the folder of images is missing"),
        ("audit nope nowhere", "unknown model 'nope'"),
        ("audit mnist/trades-igr nowhere --eps 8", "eps is 8; it is a part of the pixel range"),
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


def test_a_time_limit_shorter_than_one_image(net: nn.Module, images: Tensor) -> None:
    with pytest.raises(HoldfastError, match="shorter than one image"):
        hf.audit(net, images, SETTINGS, time_limit=1e-6)


def test_the_light_budget_keeps_the_ball_and_counts_noise_as_an_attack(net: nn.Module, images: Tensor) -> None:
    explanations = (hf.IntegratedGradients(4), hf.External("captum.attr:Saliency"))
    settings = hf.AuditSettings(explanations, eps=(0.02, 0.05, 0.1), k=6, images=2, certify=False, budget="light")
    found = hf.audit(net, images, settings)
    for row in found.records[found.records["what"] == "attack"].itertuples():
        assert row.largest_change <= row.eps + 1e-6
    for name in found.explanations:
        attack, noise = (
            np.stack([found.per_image(name, what, found.topk, eps) for eps in settings.eps])
            for what in ("attack", "noise")
        )
        assert (attack <= noise).all()
        assert (np.diff(attack, axis=0) <= 0).all(), "what a smaller radius allows, a larger one does"
    assert found.mean(found.explanations[0], "attack", found.topk, 0.1).mean < 0.9


def test_quick_is_light_on_large_images_alone() -> None:
    for side, budget, draws in ((64, "quick", 5), (65, "light", 1)):
        x = torch.rand(1, 1, side, side)
        net = nn.Sequential(nn.Flatten(), nn.Linear(side * side, 2))
        fitted = fitted_settings(hf.AuditSettings(), net, x)
        assert (fitted.budget, fitted.draws) == (budget, draws)
        assert fitted_settings(hf.AuditSettings(budget="standard"), net, x).budget == "standard"


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


def blank(x: Tensor, target: Tensor) -> Tensor:
    return torch.zeros_like(x)
