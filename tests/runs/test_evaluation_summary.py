"""Numbers from records: means, intervals, chance levels, and images on which the attack failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from holdfast.data.image_data import ImageData
from holdfast.evaluate import Interval, Protocol, Summary, evaluate, protocol_of
from holdfast.evaluate.records import read_records, rows_of
from holdfast.evaluate.standard import EvalConfig
from holdfast.evaluate.summary import quantities, summarise
from holdfast.report import results_table
from holdfast.sealed import unsealed


def rows(folder: Path, kind: str) -> pd.DataFrame:
    found = pd.read_parquet(folder / "records")
    return found[found["kind"] == kind]


@pytest.fixture
def stored(finished_evaluation: Path) -> dict[str, Any]:
    return unsealed((finished_evaluation / "summary.json").read_bytes())


def test_recomputed_from_the_records(
    finished_evaluation: Path, stored: dict[str, Any], tiny_protocol: Protocol
) -> None:
    again = summarise(rows_of(read_records(finished_evaluation)), tiny_protocol, 64)
    assert json.loads(json.dumps(again.to_dict())) == stored
    metrics = stored["metrics"]
    accuracy, attribution = rows(finished_evaluation, "accuracy"), rows(finished_evaluation, "attribution")
    for name in ("natural", "fgsm", "pgd20", "pgd40", "cw_inf"):
        own = accuracy[accuracy["attack"] == name]
        assert metrics[name]["mean"] == pytest.approx((own["prediction"] == own["label"]).mean()), name
        assert metrics[name]["n"] == 40
    for attack, prefix in (("ifia", ""), ("rank", "rank_"), ("random", "random_")):
        own = attribution[attribution["attack"] == attack]
        for column in ("kendall", "top_8", "cosine", "spearman", "pearson", "magnitude_cosine", "activation"):
            name = prefix + column.replace("top_8", "topk")
            assert metrics[name]["mean"] == pytest.approx(own[column].mean()), name
            assert metrics[name]["n"] == 8
        assert metrics[f"{prefix}failure_rate"]["mean"] == 1 - own["succeeded"].astype(float).mean()
    worst = attribution.groupby("index")[["top_8", "kendall"]].min().mean()
    for name, column in (("topk", "top_8"), ("kendall", "kendall")):
        assert metrics[f"worst_{name}"]["mean"] == pytest.approx(worst[column])
        assert metrics[f"worst_{name}"]["mean"] <= metrics[name]["mean"]
    assert all(value["low"] <= value["mean"] <= value["high"] for value in metrics.values())


def test_chance_levels(stored: dict[str, Any]) -> None:
    assert (stored["k"], stored["n_features"]) == (8, 64)
    assert (stored["chance"]["topk"], stored["chance"]["kendall"]) == (0.125, 0.0)
    assert "magnitude_cosine" not in stored["chance"]


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


def crafted(**values: dict[str, list[float | None]]) -> pd.DataFrame:
    """Records of three images: by attack the columns of numbers."""
    parts = [pd.DataFrame({"attack": attack, "index": range(3), **own}) for attack, own in values.items()]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(kind="attribution", attribution="A", status="ok", activation=float("nan"))


def found(records: pd.DataFrame, **options: Any) -> dict[tuple[str, str], list[float]]:
    return {(q.attack, q.metric): q.values.tolist() for q in quantities(records, **options)}


def test_worst_is_taken_image_by_image() -> None:
    records = crafted(
        ifia={"succeeded": [True, False, True], "kendall": [0.5, -0.5, 1.0], "loss": [1.0, 2.0, 3.0]},
        rank={"succeeded": [True, True, True], "kendall": [-1.0, 0.5, 0.0], "loss": [3.0, 1.0, 1.0]},
        random={"succeeded": [True, True, True], "kendall": [0.0, 0.0, 0.6], "loss": [0.0, 0.0, 9.0]},
    )
    values = found(records, lower_is_better=["loss"])
    assert values["worst", "kendall"] == [-1.0, -0.5, 0.0]
    assert values["worst", "loss"] == [3.0, 2.0, 9.0]
    assert values["ifia", "failure_rate"] == [0.0, 1.0, 0.0]
    assert found(records)["worst", "loss"] == [0.0, 0.0, 1.0]


def test_an_image_that_an_attack_could_not_measure_is_in_no_worst_case() -> None:
    records = crafted(
        ifia={"succeeded": [True] * 3, "kendall": [0.5, None, 0.25]},
        rank={"succeeded": [True] * 3, "kendall": [0.1, 0.0, 0.5]},
    )
    values = found(records)
    assert values["ifia", "kendall"] == [0.5, 0.25]
    assert values["worst", "kendall"] == [0.1, 0.25]


def test_no_worst_case_of_what_an_attack_did_not_record() -> None:
    records = crafted(
        ifia={"succeeded": [True] * 3, "kendall": [0.5] * 3, "cosine": [0.5] * 3},
        rank={"succeeded": [None] * 3, "kendall": [0.1] * 3, "cosine": [None] * 3},
    )
    values = found(records)
    assert ("worst", "kendall") in values
    assert not {("worst", "cosine"), ("rank", "cosine"), ("rank", "failure_rate")} & set(values)


def evaluate_with(model: nn.Module, protocol: Protocol, data: ImageData, out: Path) -> Summary:
    result = evaluate(model, data, protocol, out)
    assert result is not None
    return result.summary


def assert_all_failed(summary: Summary, folder: Path) -> None:
    for attack in ("", "rank_", "random_", "worst_"):
        for metric in ("kendall", "kendall_nonzero", "topk", "cosine", "spearman", "pearson", "magnitude_pearson"):
            interval = summary.metrics[attack + metric]
            assert interval.mean == 1.0, attack + metric
            assert interval.low is not None
            assert interval.low < 1, "equal values have an interval too"
    assert summary.metrics["failure_rate"].mean == 1
    attribution = rows(folder, "attribution")
    assert not attribution["succeeded"].any()
    assert (attribution["best_step"] == 0).all()
    assert any("ifia found nothing on 100.0% of the images" in warning for warning in summary.warnings)


def test_no_room_to_attack(tmp_path: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData) -> None:
    protocol = protocol_of(replace(tiny_eval, ifia=replace(tiny_eval.ifia, eps=0.0)))
    assert_all_failed(evaluate_with(toy, protocol, test_images, tmp_path), tmp_path)


class OneDirection(nn.Module):
    """The attribution of every image under every attack is 0: only a bias decides."""

    def __init__(self, favourite: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))
        with torch.no_grad():
            self.bias[favourite] = 2.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bias + 0.0 * x.flatten(1)[:, :10]


def test_an_attribution_that_cannot_move_counts_as_one(
    tmp_path: Path, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    """Its maps are zero, where a cosine or a rank correlation of the pair would have said 0."""
    summary = evaluate_with(OneDirection(int(test_images.labels[0])), tiny_protocol, test_images, tmp_path)
    assert_all_failed(summary, tmp_path)
    assert (rows(tmp_path, "attribution")["zero_share"] == 1).all()
    assert any("the clean map is constant" in warning for warning in summary.warnings)


def test_nothing_classified_correctly(tmp_path: Path, tiny_protocol: Protocol, test_images: ImageData) -> None:
    missing = next(c for c in range(10) if c not in test_images.labels[:5].tolist())
    protocol = replace(tiny_protocol, n_examples=5)
    summary = evaluate_with(OneDirection(missing), protocol, test_images, tmp_path)
    assert summary.metrics.keys() == {"natural", "fgsm", "pgd20", "pgd40", "cw_inf"}
    assert summary.metrics["natural"].mean == 0
    assert summary.warnings == ["no image was classified correctly, so no attribution could be attacked."]
