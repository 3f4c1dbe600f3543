"""Numbers from records: means, intervals, chance levels, and images on which the attack failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import nn

from holdfast.config import EvalConfig
from holdfast.data.image_data import ImageData
from holdfast.evaluate import Interval, Summary, evaluate
from holdfast.evaluate.summary import SIMILARITIES, summarise
from holdfast.report import results_table


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    files = sorted((folder / "records").glob(f"{kind}-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def stored(finished_evaluation: Path) -> dict[str, Any]:
    return json.loads((finished_evaluation / "summary.json").read_text())


def test_recomputed_from_the_records(finished_evaluation: Path, stored: dict[str, Any], tiny_eval: EvalConfig) -> None:
    accuracy, attribution = rows(finished_evaluation, "accuracy"), rows(finished_evaluation, "attribution")
    again = summarise(accuracy, attribution, tiny_eval, 64)
    assert json.loads(json.dumps(again.to_dict())) == stored
    metrics = stored["metrics"]
    for name, column in (("natural", "prediction"), *((n, n) for n in ("fgsm", "pgd20", "pgd40", "cw_inf"))):
        assert metrics[name]["mean"] == pytest.approx(fmean(row[column] == row["label"] for row in accuracy)), name
        assert metrics[name]["n"] == 40
    for name in SIMILARITIES:
        assert metrics[name]["mean"] == pytest.approx(fmean(row[name] for row in attribution)), name
        assert metrics[name]["n"] == 8
    for name in ("topk", "kendall"):
        worst = fmean(min(row[name], row[f"rank_{name}"], row[f"random_{name}"]) for row in attribution)
        assert metrics[f"worst_{name}"]["mean"] == pytest.approx(worst)
        assert metrics[f"worst_{name}"]["mean"] <= metrics[name]["mean"]
    assert metrics["failure_rate"]["mean"] == fmean(not row["succeeded"] for row in attribution)
    assert all(value["low"] <= value["mean"] <= value["high"] for value in metrics.values())


def test_chance_levels(stored: dict[str, Any]) -> None:
    assert (stored["k"], stored["n_features"]) == (8, 64)
    assert stored["chance"] == {"topk": 0.125, "kendall": 0.0}


def test_attacks_do_something(stored: dict[str, Any]) -> None:
    metrics = stored["metrics"]
    assert metrics["natural"]["mean"] > 0.7
    assert metrics["pgd20"]["mean"] < metrics["natural"]["mean"] - 0.2
    assert metrics["kendall"]["mean"] < 0.9
    assert metrics["failure_rate"]["mean"] < 1


def test_a_row_of_the_report(stored: dict[str, Any]) -> None:
    table = results_table({"A": stored, "B": stored}, "digits")
    assert [(row.title, row.style) for row in table.rows] == [("A", ""), ("B", "highlight"), ("chance", "chance")]
    place = [column.key for column in table.columns].index("kendall")
    kendall = table.rows[0].cells[place]
    assert isinstance(kendall, Interval)
    assert [kendall.mean, kendall.low, kendall.high, kendall.n] == [
        stored["metrics"]["kendall"][key] for key in ("mean", "low", "high", "n")
    ]


def crafted(**columns: list[Any]) -> list[dict[str, Any]]:
    names = [*columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_worst_is_taken_image_by_image(tiny_eval: EvalConfig) -> None:
    accuracy = crafted(label=[0], prediction=[0], fgsm=[0], pgd20=[0], pgd40=[0], cw_inf=[0])
    attribution = crafted(
        topk=[0.1, 0.9, 0.9],
        rank_topk=[0.9, 0.2, 0.9],
        random_topk=[0.9, 0.9, 0.3],
        kendall=[0.5, -0.5, 1.0],
        rank_kendall=[-1.0, 0.5, 0.0],
        random_kendall=[0.0, 0.0, 0.6],
        cosine=[1.0, 1.0, 1.0],
        spearman=[1.0, 1.0, 1.0],
        pearson=[1.0, 1.0, 1.0],
        succeeded=[True, False, True],
        best_step=[1, 0, 2],
        zero_share=[0.0, 0.0, 0.0],
    )
    metrics = summarise(accuracy, attribution, tiny_eval, 64).metrics
    assert metrics["worst_topk"].mean == pytest.approx(0.2)
    assert metrics["worst_kendall"].mean == pytest.approx(-0.5)
    assert metrics["failure_rate"].mean == pytest.approx(1 / 3)


def evaluate_with(model: nn.Module, config: EvalConfig, data: ImageData, out: Path) -> Summary:
    summary = evaluate(model, data, config, out)
    assert summary is not None
    return summary


def assert_all_failed(summary: Summary, folder: Path) -> None:
    for name in (*SIMILARITIES, "worst_topk", "worst_kendall", "failure_rate"):
        assert summary.metrics[name].mean == 1.0, name
    for row in rows(folder, "attribution"):
        assert row["succeeded"] is False
        assert row["best_step"] == 0
    assert any("IFIA found nothing on 100.0% of the images" in warning for warning in summary.warnings)


def test_no_room_to_attack(tmp_path: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData) -> None:
    config = replace(tiny_eval, ifia=replace(tiny_eval.ifia, eps=0.0))
    assert_all_failed(evaluate_with(toy, config, test_images, tmp_path), tmp_path)


class OneDirection(nn.Module):
    """The attribution of every image under every attack is 0: only a bias decides."""

    def __init__(self, favourite: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))
        with torch.no_grad():
            self.bias[favourite] = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bias + 0.0 * x.flatten(1)[:, :10]


def test_an_attribution_that_cannot_move_counts_as_one(
    tmp_path: Path, tiny_eval: EvalConfig, test_images: ImageData
) -> None:
    """Its maps are zero, where a cosine or a rank correlation of the pair would have said 0."""
    summary = evaluate_with(OneDirection(int(test_images.labels[0])), tiny_eval, test_images, tmp_path)
    assert_all_failed(summary, tmp_path)
    assert any("zero everywhere" in warning for warning in summary.warnings)


def test_nothing_classified_correctly(tmp_path: Path, tiny_eval: EvalConfig, test_images: ImageData) -> None:
    missing = next(c for c in range(10) if c not in test_images.labels[:5].tolist())
    config = replace(tiny_eval, n_examples=5)
    summary = evaluate_with(OneDirection(missing), config, test_images, tmp_path)
    assert summary.metrics.keys() == {"natural", "fgsm", "pgd20", "pgd40", "cw_inf"}
    assert summary.metrics["natural"].mean == 0
    assert summary.warnings == ["no image was classified correctly, so no attribution could be attacked."]
