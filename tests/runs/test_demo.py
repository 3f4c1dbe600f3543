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
from holdfast.demo import EXAMPLE_BATCH, PICTURED, compare, demo_evaluation, demo_recipes
from holdfast.metrics.stats import Interval
from holdfast.models import load_model
from holdfast.recipes import evaluation, recipe
from holdfast.report import Document
from holdfast.report.examples import attacked_examples
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
) -> tuple[Document, Path, dict[str, Silent]]:
    watched: dict[str, Silent] = {}

    @contextmanager
    def watch(title: str) -> Iterator[Silent]:
        yield watched.setdefault(title, Silent())

    document, page = compare(contenders, tiny_eval, out, watch=watch, commands=["holdfast demo"])
    return document, page, watched


def test_progress_is_told(first: tuple[Document, Path, dict[str, Silent]]) -> None:
    watched = first[2]
    assert [*watched] == ["plain", "with IGR"]
    for silent in watched.values():
        assert max(report.step for report in silent.steps) == 32
        assert silent.batches[-1][1] == silent.batches[-1][2]


def test_the_numbers_are_those_on_disk(
    first: tuple[Document, Path, dict[str, Silent]], contenders: list[tuple[str, TrainConfig]], out: Path
) -> None:
    table = first[0].tables[0]
    assert [(row.title, row.style) for row in table.rows] == [
        ("plain", ""), ("with IGR", "highlight"), ("chance", "chance"),
    ]  # fmt: skip
    keys = [column.key for column in table.columns]
    assert {"natural", "pgd20", "kendall", "topk", "cosine", "failure_rate"} <= {*keys}
    for row, (_, config) in zip(table.rows, contenders, strict=False):
        stored = json.loads((out / config.recipe / "eval" / "summary.json").read_text())["metrics"]
        for name, cell in zip(keys, row.cells, strict=True):
            assert isinstance(cell, Interval)
            assert (cell.mean, cell.low, cell.high, cell.n) == tuple(
                pytest.approx(stored[name][part]) for part in ("mean", "low", "high", "n")
            ), name
    assert dict(zip(keys, table.rows[2].cells, strict=True))["topk"] == 0.125
    differing = next(t for t in first[0].tables if t.title.endswith("where the rows differ"))
    weights = next(row.cells for row in differing.rows if row.title == "objective")
    assert [str(cell).split()[0] for cell in weights] == ["AT", "IGR"]


def test_the_pictures_are_the_first_that_both_classify(
    first: tuple[Document, Path, dict[str, Silent]],
    contenders: list[tuple[str, TrainConfig]],
    tiny_eval: EvalConfig,
    out: Path,
    test_images: ImageData,
) -> None:
    images = to_unit_interval(test_images.images[:200])
    right = torch.ones(200, dtype=torch.bool)
    for _, config in contenders:
        model = load_model(config.recipe, dataset="digits", model_dir=out)
        with torch.no_grad():
            right &= model(images).argmax(1) == test_images.labels[:200]
    wanted = right.nonzero()[:PICTURED, 0].tolist()
    assert len(wanted) == PICTURED
    (pictures,) = (figure for figure in first[0].figures if figure.tiles)
    assert len(pictures.tiles) == 2 * 4 * PICTURED
    labels = [test_images.classes[int(test_images.labels[i])] for i in wanted]
    assert [tile.strip for tile in pictures.tiles[::4]] == [
        f"{title}, {label}" for label in labels for title in ("plain", "with IGR")
    ]
    models = {title: load_model(config.recipe, dataset="digits", model_dir=out) for title, config in contenders}
    for example in attacked_examples(models, test_images, tiny_eval, "cpu", most=PICTURED, batch=EXAMPLE_BATCH):
        assert torch.equal(torch.from_numpy(example.image), images[example.index])
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


def test_the_page_needs_nothing_else(first: tuple[Document, Path, dict[str, Silent]], out: Path) -> None:
    document, page, _ = first
    assert page == out / "report.html"
    text = page.read_text(encoding="utf-8")
    references = References()
    references.feed(text)
    assert references.found
    assert all(reference.startswith("data:") for reference in references.found)
    assert not re.search(r"url\(\s*['\"]?http|@import", text)
    for row in document.tables[0].rows[:2]:
        assert document.tables[0].columns[0].written(row.cells[0]) in text
    assert "holdfast demo" in text


def test_a_second_call_reuses_the_finished_runs(
    first: tuple[Document, Path, dict[str, Silent]],
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

    document, _ = compare(contenders, tiny_eval, out, watch=watch)
    assert times() == before
    assert silent.steps == []
    assert document.tables[0].rows == first[0].tables[0].rows
    assert [figure.tiles for figure in document.figures] == [figure.tiles for figure in first[0].figures]


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
