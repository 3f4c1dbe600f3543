"""What an audit does within its time: budgets, a limit, pages on the way, and going on after a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.audit.light import Explanation, LightAttack, Moved
from holdfast.audit.result import AuditResult
from holdfast.audit.run import passes
from holdfast.audit.settings import fitted_settings, with_budget
from holdfast.errors import HoldfastError
from tests.audit.conftest import SETTINGS


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
    page = (tmp_path / "a" / "report.html").read_text()
    assert page.replace(str(tmp_path / "a"), str(result.folder)) == (result.folder / "report.html").read_text()


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

    def begun(seconds: float) -> None:
        assert seconds == cost["standard"]
        raise InterruptedError

    with pytest.raises(InterruptedError):
        hf.audit(net, images, settings, time_limit=10 * cost["standard"], on_start=begun)


def test_a_time_limit_shorter_than_one_image(net: nn.Module, images: Tensor) -> None:
    with pytest.raises(HoldfastError, match=r"of 1e-06 s is shorter than one image, which takes about \S*[1-9]"):
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


def test_what_the_attack_finds_within_a_radius_counts_at_every_larger_one(
    net: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also at the reference radius, which is attacked first."""
    left = {1 / 255: 0.5, 2 / 255: 0.9, 4 / 255: 0.7, 8 / 255: 0.4}

    def climbed(self: LightAttack, of: Explanation, start: Tensor, eps: float, steps: int) -> Moved:
        return Moved(of.x, of.clean, left[eps], "light climb")

    monkeypatch.setattr(LightAttack, "_climbed", climbed)
    target = torch.zeros(1, dtype=torch.int64)
    of = Explanation(net, images[:1], target, hf.Saliency(), hf.Saliency()(net, images[:1], target))
    found = LightAttack(tuple(left), 2 / 255, 6).run(of, torch.Generator().manual_seed(0))
    assert found[0][0] == 2 / 255
    shares = {eps: moved.topk for eps, moved, _ in found}
    assert all(shares[eps] <= min(left[e] for e in left if e <= eps) for eps in left)
    assert sorted(shares.values(), reverse=True) == [shares[eps] for eps in sorted(shares)]


def test_quick_is_light_on_large_images_alone() -> None:
    for side, budget, draws in ((64, "quick", 5), (65, "light", 1)):
        x = torch.rand(1, 1, side, side)
        net = nn.Sequential(nn.Flatten(), nn.Linear(side * side, 2))
        fitted = fitted_settings(hf.AuditSettings(), net, x)
        assert (fitted.budget, fitted.draws) == (budget, draws)
        assert fitted_settings(hf.AuditSettings(budget="standard"), net, x).budget == "standard"
