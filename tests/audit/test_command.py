"""What a page says under "Make it again" gives, when pasted, the audit that it was made from."""

from __future__ import annotations

import html
import re
import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks.auto_members import STEPS
from holdfast.audit import AuditSettings, audit, load_audit
from holdfast.audit.command import Asked, asked_from, lines_of
from holdfast.audit.result import AuditResult
from holdfast.cli import main
from holdfast.cli.audit import AuditOptions
from holdfast.cli.parse import parse
from tests.audit.conftest import SETTINGS

FILE = """from dataclasses import dataclass

import torch
from torch import nn

import holdfast as hf


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 3))


def brightness(x, target):
    return x


@dataclass(frozen=True)
class Scaled(hf.Saliency):
    scale: float = 1.0
"""
ALL = """--attribution 'IntegratedGradients(n_steps=3, baseline=0.1)' --attribution mine.py:brightness
--attribution 'mine.py:Scaled(scale=2.5)' --eps 0.0123 --images 1 --k 5 --budget standard --draws 2 --certify True
--samples 7 --weights 'w 1.pt' --mean 0.4 --std 0.30000000000000004 --image-size 8 6 --strict --seed 3 --device cpu
--data-dir elsewhere --out 'my audit'"""
DECIDES_NOTHING = {"time_limit", "fail_under", "json", "quiet", "yes"}
"""Options that say how long to work, what to print and how to end; every other one is in the page's command."""


@dataclass
class Calls:
    """What the command line asked `audit` for, which was done."""

    models: list[str]
    images: list[str]
    settings: list[AuditSettings]
    others: list[dict[str, Any]]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """In a folder with a network, its weights and an image; attacks take a few steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    Path("mine.py").write_text(FILE)
    torch.save({"1.weight": torch.linspace(-1, 1, 144).view(3, 48).cos(), "1.bias": torch.zeros(3)}, "w 1.pt")
    Path("pictures").mkdir()
    Image.fromarray(np.arange(99, dtype=np.uint8).reshape(11, 9)).save("pictures/a b.png")
    seen = Calls([], [], [], [])

    def noted(model: str, images: str, settings: AuditSettings, **others: Any) -> AuditResult:
        found = audit(model, images, settings, **others)
        seen.models.append(model)
        seen.images.append(images)
        seen.settings.append(settings)
        seen.others.append({k: v for k, v in others.items() if not callable(v) and k != "time_limit"})
        return found

    monkeypatch.setitem(STEPS, "standard", 4)
    monkeypatch.setattr("holdfast.audit.audit", noted)
    return seen


def lines_on(page: Path) -> list[str]:
    """The commands of the last <pre> of a page."""
    found = re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page.read_text(), re.DOTALL)[-1]
    return html.unescape(found).strip().splitlines()


def test_the_command_on_a_page_holds_everything_that_was_given(calls: Calls) -> None:
    assert main(["audit", "mine.py:net", "pictures", *shlex.split(ALL)]) == 0
    (line,) = lines_on(Path("my audit/report.html"))
    first = load_audit("my audit")
    assert main(shlex.split(line)[1:]) == 0
    assert calls.models == ["mine.py:net"] * 2
    assert calls.images == ["pictures"] * 2
    assert calls.others[1] == {**calls.others[0], "out": Path("my audit")}
    assert calls.others[1]["mean"] == (0.4,)
    assert calls.others[1]["image_size"] == (8, 6)
    assert calls.settings[1] == first.settings, "the fitted ones, to the last digit"
    given = parse(AuditOptions(), shlex.split(ALL), "audit", "")
    usual = {f.name: f.default for f in fields(AuditOptions)}
    left_out = {name for name, value in vars(given).items() if value == usual[name]}
    assert left_out == DECIDES_NOTHING | {"checkpoint", "multi_label"}, "give the option that is new above too"


def test_the_weights_of_a_run_and_many_labels() -> None:
    settings = replace(SETTINGS, multi_label=True, attributions=(hf.GradCAM(layer="a.0"),), eps=(1e-6,))
    (line,) = lines_of(Asked("runs/a", "mnist", checkpoint="best", image_size=28), settings, None)
    words = shlex.split(line)
    assert words[:4] == ["holdfast", "audit", "runs/a", "mnist"]
    options = parse(AuditOptions(), words[4:], "audit", "")
    assert (options.checkpoint, options.multi_label, options.image_size) == ("best", True, 28)
    assert (options.eps, options.attribution) == ((1e-6,), ("GradCAM(layer='a.0')",))


@pytest.mark.slow
def test_what_is_in_memory_is_a_call(net: nn.Module, images: Tensor, tmp_path: Path) -> None:
    """With the very settings, from the folder."""
    out = tmp_path / "a"
    found = hf.audit(net, images, SETTINGS, out=out)
    (line,) = lines_on(out / "report.html")
    again = eval(line, {"hf": hf, "model": net, "images": images})
    assert again.records.equals(found.records.reindex(columns=again.records.columns))
    assert again.settings == found.settings
    assert lines_of(found.asked, found.settings, None) == ("hf.audit(model, images, settings, device='cpu')",)


@dataclass(frozen=True)
class Around(hf.Saliency):
    inner: hf.Saliency = hf.Saliency()


def test_an_explanation_that_no_option_can_spell_is_a_call() -> None:
    asked = Asked("a.py:net", "pictures", weights="w.pt", mean=(0.5,), image_size=8, strict=True)
    settings = replace(SETTINGS, attributions=(Around(hf.InputXGradient()),))  # type: ignore[arg-type]
    assert lines_of(asked, settings, None) == (
        "hf.audit('a.py:net', 'pictures', settings, weights='w.pt', mean=(0.5,), image_size=8, strict=True, "
        "device='cpu')",
    )


@pytest.mark.slow
def test_a_comparison_says_how_both_audits_are_made(calls: Calls) -> None:
    shared = "pictures --image-size 8 6 --attribution saliency --eps 8/255 --k 5 --images 1 --certify False"
    for name, weights in (("a", []), ("b b", ["--weights", "w 1.pt"])):
        assert main(["audit", "mine.py:net", *shared.split(), *weights, "--out", name]) == 0
    assert main(["audit", "--compare", "a", "b b", "--out", "both"]) == 0
    first, second, compared = lines_on(Path("both/report.html"))
    assert compared == "holdfast audit --compare a 'b b'"
    assert "--weights" not in first
    for line in (first, second, compared):
        assert main(shlex.split(line)[1:]) == 0
    assert calls.settings[2:] == [load_audit("a").settings, load_audit("b b").settings]
    assert calls.others[3] == {**calls.others[1], "out": Path("b b")}


def test_an_audit_that_knows_nothing_of_it_still_loads() -> None:
    assert asked_from({}) == Asked()


def test_the_command_that_goes_on_after_an_interrupt_is_the_one_given(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: Any, **others: Any) -> AuditResult:
        raise KeyboardInterrupt

    words = ["audit", "mine.py:net", "pictures", *shlex.split(ALL), "--time-limit", "10m"]
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.audit.audit", interrupted)
        assert main(words) == 130
    told = capsys.readouterr().err.strip().partition("Go on with: ")[2]
    assert shlex.split(told) == ["holdfast", *words]
