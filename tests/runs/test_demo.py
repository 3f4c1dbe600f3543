"""The demonstration in small: two runs, two evaluations, one page whose numbers are those on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from holdfast.cli import main
from holdfast.config import EvalConfig
from holdfast.data.image_data import ImageData, to_unit_interval
from holdfast.demo import PICTURED, compare, demo_evaluation, demo_recipes
from holdfast.models import load_model
from holdfast.recipes import evaluation, recipe
from holdfast.report import Comparison
from holdfast.train import Report
from holdfast.train.config import TrainConfig


class Silent:
    def __init__(self) -> None:
        self.steps: list[Report] = []
        self.batches: list[tuple[str, int, int]] = []

    def step(self, report: Report) -> None:
        self.steps.append(report)

    def batch(self, kind: str, done: int, total: int) -> None:
        self.batches.append((kind, done, total))


@pytest.fixture(scope="module")
def contenders(tiny: Callable[..., TrainConfig]) -> list[tuple[str, TrainConfig]]:
    options = {"data_train_size": 128, "optim_epochs": 4, "optim_lr": 5e-3, "optim_batch_size": 16}
    return [("plain", tiny("digits-at", **options)), ("with IGR", tiny("digits-at-igr", **options))]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(
    contenders: list[tuple[str, TrainConfig]], tiny_eval: EvalConfig, out: Path
) -> tuple[Comparison, Path, dict[str, Silent]]:
    watched: dict[str, Silent] = {}

    @contextmanager
    def watch(title: str) -> Iterator[Silent]:
        yield watched.setdefault(title, Silent())

    comparison, page = compare(contenders, tiny_eval, out, watch=watch, commands=["holdfast demo"])
    return comparison, page, watched


def test_progress_is_told(first: tuple[Comparison, Path, dict[str, Silent]]) -> None:
    watched = first[2]
    assert [*watched] == ["plain", "with IGR"]
    for silent in watched.values():
        assert max(report.step for report in silent.steps) == 32
        assert silent.batches[-1][1] == silent.batches[-1][2]


def test_the_numbers_are_those_on_disk(
    first: tuple[Comparison, Path, dict[str, Silent]], contenders: list[tuple[str, TrainConfig]], out: Path
) -> None:
    comparison = first[0]
    assert [row.name for row in comparison.rows] == ["plain", "with IGR"]
    assert [row.highlight for row in comparison.rows] == [False, True]
    for row, (_, config) in zip(comparison.rows, contenders, strict=True):
        summary = json.loads((out / config.recipe / "eval" / "summary.json").read_text())
        assert {"natural", "pgd20", "kendall", "topk", "cosine", "failure_rate"} <= row.estimates.keys()
        for name, estimate in row.estimates.items():
            stored = summary["metrics"][name]
            assert (estimate.mean, estimate.low, estimate.high, estimate.n) == tuple(
                stored[key] for key in ("mean", "low", "high", "n")
            ), name
    assert (comparison.k, comparison.n_features) == (8, 64)
    assert comparison.chance.values()["topk"] == 0.125
    values = {setting.name: setting.value for setting in comparison.settings if setting.group == "Training"}
    assert values["igr.lam"] == f"0.0 / {contenders[1][1].igr.lam}"
    assert values["seed"] == "0"


def test_the_pictures_are_the_first_that_both_classify(
    first: tuple[Comparison, Path, dict[str, Silent]],
    contenders: list[tuple[str, TrainConfig]],
    out: Path,
    test_images: ImageData,
) -> None:
    comparison = first[0]
    images = to_unit_interval(test_images.images[:200])
    right = torch.ones(200, dtype=torch.bool)
    for _, config in contenders:
        model = load_model(config.recipe, dataset="digits", model_dir=out)
        with torch.no_grad():
            right &= model(images).argmax(1) == test_images.labels[:200]
    wanted = right.nonzero()[:PICTURED, 0].tolist()
    assert len(wanted) == PICTURED
    assert [example.index for example in comparison.examples] == wanted
    for example in comparison.examples:
        assert torch.equal(torch.from_numpy(example.image), images[example.index])
        assert example.label == test_images.classes[int(test_images.labels[example.index])]
        assert [*example.views] == ["plain", "with IGR"]
        for view in example.views.values():
            distance = abs(view.adversarial - example.image).max()
            assert distance <= 0.1 + 1e-6
            assert (distance > 0) == view.succeeded


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "object"), tag
        names = ("src", "srcset", "data", "poster", *(("href",) if tag == "link" else ()))
        self.found += [value or "" for name, value in attrs if name in names]


def test_the_page_needs_nothing_else(first: tuple[Comparison, Path, dict[str, Silent]], out: Path) -> None:
    comparison, page, _ = first
    assert page == out / "report.html"
    text = page.read_text(encoding="utf-8")
    references = References()
    references.feed(text)
    assert references.found
    assert all(reference.startswith("data:") for reference in references.found)
    assert not re.search(r"url\(\s*['\"]?http|@import", text)
    for row in comparison.rows:
        assert f"{row.estimates['natural'].mean * 100:.1f}" in text
    assert "holdfast demo" in text


def test_a_second_call_reuses_the_finished_runs(
    first: tuple[Comparison, Path, dict[str, Silent]],
    contenders: list[tuple[str, TrainConfig]],
    tiny_eval: EvalConfig,
    out: Path,
) -> None:
    def times() -> dict[Path, int]:
        files = [*out.rglob("*.safetensors"), *out.rglob("accuracy-*"), *out.rglob("attribution-*")]
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    assert len(before) > 20
    silent = Silent()

    @contextmanager
    def watch(title: str) -> Iterator[Silent]:
        yield silent

    comparison, _ = compare(contenders, tiny_eval, out, watch=watch)
    assert times() == before
    assert silent.steps == []
    assert [row.estimates for row in comparison.rows] == [row.estimates for row in first[0].rows]
    for example, old in zip(comparison.examples, first[0].examples, strict=True):
        for name, view in example.views.items():
            assert (view.adversarial == old.views[name].adversarial).all()


def test_an_interrupted_demo_goes_on(
    contenders: list[tuple[str, TrainConfig]], tiny_eval: EvalConfig, tmp_path: Path
) -> None:
    class Impatient(Silent):
        def step(self, report: Report) -> None:
            super().step(report)
            if report.epoch == 2:
                raise KeyboardInterrupt

    watched: list[Silent] = []

    def watch(kind: type[Silent]) -> Callable[[str], AbstractContextManager[Silent]]:
        def begin(title: str) -> AbstractContextManager[Silent]:
            watched.append(kind())
            return nullcontext(watched[-1])

        return begin

    short = [(title, replace(config, optim=replace(config.optim, epochs=2))) for title, config in contenders[:1]]
    config = replace(tiny_eval, n_examples=10, n_attribution=2)
    with pytest.raises(KeyboardInterrupt):
        compare(short, config, tmp_path, watch=watch(Impatient))
    assert not (tmp_path / "report.html").exists()
    compare(short, config, tmp_path, watch=watch(Silent))
    assert [report.step for report in watched[1].steps] == [*range(9, 17), 16], "from the end of the first epoch"


def test_what_the_demo_compares() -> None:
    (baseline_title, baseline), (title, config) = demo_recipes()
    assert (baseline_title, title) == ("TRADES", "TRADES+IGR")
    assert (baseline, config) == (recipe("digits-trades"), recipe("digits-trades-igr"))
    assert demo_evaluation() == evaluation("digits")


def test_from_the_command_line(
    contenders: list[tuple[str, TrainConfig]],
    tiny_eval: EvalConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = [(title, replace(config, optim=replace(config.optim, epochs=1))) for title, config in contenders]
    monkeypatch.setattr("holdfast.demo.demo_recipes", lambda: short)
    monkeypatch.setattr("holdfast.demo.demo_evaluation", lambda: replace(tiny_eval, n_examples=20))
    assert main(["demo", "--out", str(tmp_path / "d"), "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert f"Report: {tmp_path / 'd' / 'report.html'}" in shown
    assert (tmp_path / "d" / "report.html").is_file()
    assert "holdfast recipes mnist-trades-igr" in shown
