"""What people pass to ``hf.audit`` and ``hf.evaluate`` from a notebook: taken where it is plain, else one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.paper.targets import parts_of

X = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
NET = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
QUICK: dict[str, Any] = {"images": 1, "budget": "light", "certify": False}
SETTINGS = hf.AuditSettings((hf.Saliency(),), eps=(0.05,), **QUICK)
PLAIN: dict[str, Any] = {"attributions": ["saliency"], "attacks": ["random-signs"], "predictions": [], "eps": 0.1}


@pytest.mark.parametrize(
    ("model", "said"), [(lambda x: NET(x), "function"), (nn.Linear, "type"), (NET.state_dict(), "OrderedDict")]
)
def test_what_is_no_network(model: Any, said: str) -> None:
    with pytest.raises(hf.HoldfastError, match=rf"the model is a {said}; give an nn\.Module"):
        hf.audit(model, X, SETTINGS)


@pytest.mark.parametrize(("images", "said"), [([X], "list"), (None, "NoneType")])
def test_what_are_no_images(images: Any, said: str) -> None:
    with pytest.raises(hf.HoldfastError, match=f"the images are a {said}; give an image folder"):
        hf.audit(NET, images, SETTINGS)


def test_bytes_and_paths_are_images(tmp_path: Path) -> None:
    from PIL import Image

    levels = (255 * X).to(torch.uint8)
    found = hf.audit(NET, levels, SETTINGS)
    assert found.score == hf.audit(NET, levels.float() / 255, SETTINGS).score
    Image.fromarray(levels[0, 0].numpy()).save(tmp_path / "one.png")
    assert hf.audit(NET, tmp_path, SETTINGS).score == found.score


def test_one_explanation_and_one_radius_need_no_tuple() -> None:
    assert hf.AuditSettings(hf.Saliency(), eps=0.05, **QUICK) == SETTINGS  # type: ignore[arg-type]
    assert hf.AuditSettings([hf.Saliency()], eps=[0.05], **QUICK) == SETTINGS  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"attributions": "saliency"}, "'saliency' is no attribution"),
        ({"attributions": (hf.Saliency,)}, "is no attribution; give one such as"),
        ({"eps": "8/255"}, "eps is '8/255'; it must be one number"),
    ],
)
def test_settings_of_another_kind(given: dict[str, Any], said: str) -> None:
    with pytest.raises(hf.HoldfastError, match=said):
        hf.AuditSettings(**given)


@pytest.mark.parametrize(
    "given",
    [{"attributions": "saliency"}, {"attacks": hf.RandomSigns(0.1, 2, 4)}, {"metrics": "cosine"}],
)
def test_one_part_needs_no_list(given: dict[str, Any]) -> None:
    found = hf.evaluate(NET, (X, NET(X).argmax(1)), **{**PLAIN, **given})
    assert found is not None
    assert len(found.protocol.attacks) == len(found.protocol.attributions) == 1


def test_a_radius_in_words() -> None:
    with pytest.raises(hf.HoldfastError, match="eps is '8/255'; it must be one number"):
        hf.evaluate(NET, (X, NET(X).argmax(1)), eps="8/255")  # type: ignore[arg-type]


class Blank(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0 * x.flatten(1)[:, :2]


def test_results_in_a_notebook() -> None:
    found = hf.audit(Blank(), X, SETTINGS)
    assert "None" not in repr(found)
    assert "<table" in found._repr_html_()
    data = hf.load_dataset("digits", "test")
    assert repr(data) == "ImageData(digits, test: 400 images of 1×8×8, 10 classes)"


def test_one_image_is_no_plural() -> None:
    found = hf.evaluate(NET, (X[:1], NET(X[:1]).argmax(1)), **PLAIN)
    assert found is not None
    assert found.counts.startswith("1 image; 1 of those")
    assert any("only 1 correctly classified image was there" in warning for warning in found.warnings)
    assert hf.audit(NET, X[:1], SETTINGS).data == "1 image"


def test_targets_are_listed_once() -> None:
    with pytest.raises(hf.HoldfastError, match="unknown target 'nosuch'") as caught:
        parts_of("nosuch")
    assert str(caught.value).count("theorem1") == 1
