"""Audits of models and folders as people have them: Captum, programs, several labels, one logit, broken files."""

from __future__ import annotations

import json
from pathlib import Path

import captum.attr
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import holdfast as hf
from holdfast.audit.store import pictures_of
from holdfast.cli import main
from holdfast.errors import HoldfastError


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
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out.strip() == numbers["verdict"]
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
