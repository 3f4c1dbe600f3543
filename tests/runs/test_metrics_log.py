"""What a run logs, and how the log is read after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast import HoldfastError
from holdfast.config import TrainConfig
from holdfast.report.comparison import curves_of
from holdfast.train import Report, read_metrics, train
from holdfast.train.config import TrainConfig
from holdfast.train.folder import MetricsLog

TERMS = {
    "standard": {"ce"},
    "at": {"ce"},
    "at-igr": {"ce", "igr"},
    "trades": {"ce", "kl"},
    "trades-igr": {"ce", "kl", "igr"},
    "mart": {"ce", "margin", "kl"},
    "mart-igr": {"ce", "margin", "kl", "igr"},
}


@pytest.mark.parametrize("method", TERMS)
def test_each_term_by_name(method: str, tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(f"digits-{method}")
    objective: Any = config.objective
    if isinstance(objective, IGR):
        config = replace(config, objective=replace(objective, lam=0.7))
        objective = objective.base
    lines = read_metrics(train(config, tmp_path).metrics)
    order = [(line["kind"], line["step"], line["epoch"]) for line in lines]
    assert order == [
        ("train", 1, 1),
        ("train", 2, 1),
        ("validation", 2, 1),
        ("train", 3, 2),
        ("train", 4, 2),
        ("validation", 4, 2),
    ]
    weights = {"ce": 1.0, "margin": 1.0, "kl": getattr(objective, "beta", 0.0), "igr": 0.7}
    for line in lines:
        names = line.keys() - {"kind", "step", "epoch"}
        if line["kind"] == "validation":
            assert names == {"natural", "adversarial", "cosine"}
            assert line["natural"] * 20 == pytest.approx(round(line["natural"] * 20))
        else:
            assert names == {"loss"} | TERMS[method]
            total = sum(weights[name] * line[name] for name in TERMS[method])
            assert line["loss"] == pytest.approx(total, rel=1e-5)


def test_a_line_is_the_mean_of_its_window(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    seen: list[Report] = []
    config = tiny("digits-trades", data_train_size=64, optim_batch_size=1, optim_epochs=1)
    lines = read_metrics(train(config, tmp_path, on_step=seen.append).metrics)
    steps = [report for report in seen if report.validation is None]
    assert [report.step for report in steps] == list(range(1, 65))
    assert {report.total_steps for report in seen} == {64}
    train_lines = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in train_lines] == list(range(3, 64, 3))
    for line in train_lines:
        window = steps[line["step"] - 3 : line["step"]]
        for name in ("loss", "ce", "kl"):
            assert line[name] == pytest.approx(sum(report.losses[name] for report in window) / 3)
    assert seen[-1].validation == {name: lines[-1][name] for name in ("natural", "adversarial", "cosine")}


def write(path: Path, lines: list[dict[str, Any]], tail: str = "") -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)


LINES = [{"kind": "train", "step": step, "epoch": 1, "loss": 1 / step} for step in range(1, 6)]


@pytest.mark.parametrize("tail", ["", '{"kind": "train", "st', '{"kind": "train", "step": 6}', "\x00\x00"])
def test_a_torn_last_line_is_left_out(tmp_path: Path, tail: str) -> None:
    write(tmp_path / "metrics.jsonl", LINES, tail)
    assert read_metrics(tmp_path / "metrics.jsonl") == LINES


def test_no_log_yet(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    assert curves_of({"a": read_metrics(tmp_path / "metrics.jsonl")}) == {}


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, LINES, '{"kind"')
    log = MetricsLog(path, resume_step=3)
    assert path.read_text() == "".join(json.dumps(line) + "\n" for line in LINES[:3])
    log.write(kind="train", step=4, epoch=1, loss=0.1 + 0.2)
    assert read_metrics(path) == [*LINES[:3], {"kind": "train", "step": 4, "epoch": 1, "loss": 0.1 + 0.2}]


def test_a_damaged_log_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, LINES[:1], "garbage\n" + json.dumps(LINES[1]) + "\n")
    with pytest.raises(HoldfastError, match=r"metrics\.jsonl is damaged"):
        read_metrics(path)


def test_curves_from_logs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        validation = {"kind": "validation", "step": 5, "epoch": 1, "natural": 0.5, "adversarial": 0.2, "cosine": 0.9}
        write(tmp_path / name / "metrics.jsonl", [*LINES, validation])
    curves = curves_of({name: read_metrics(tmp_path / name.lower() / "metrics.jsonl") for name in "AB"})
    assert curves.keys() == {
        "loss",
        "validation accuracy (clean)",
        "validation accuracy (adversarial)",
        "validation cos(IG(x), IG(x̃))",
    }
    assert [curve.run for curve in curves["loss"]] == ["A", "B"]
    assert list(curves["loss"][0].steps) == [1, 2, 3, 4, 5]
    assert list(curves["loss"][0].values) == [1 / step for step in range(1, 6)]
