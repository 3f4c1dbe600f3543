"""The demonstration in small: runs, evaluations, one page whose numbers are those on disk."""

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

from holdfast.attacks import IFIA
from holdfast.attribution import IntegratedGradients
from holdfast.cli import main
from holdfast.data import load_dataset
from holdfast.data.image_data import ImageData
from holdfast.data.loader import to_unit_interval
from holdfast.demo import DIGITS, PICTURED, ZOO, compare, compare_zoo, demo_recipes
from holdfast.evaluate import Protocol
from holdfast.metrics.stats import Interval
from holdfast.models import find_model
from holdfast.recipes import recipe
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

    def images(self, kind: str, done: float, total: int) -> None:
        self.batches.append((kind, done, total))


Contenders = dict[str, TrainConfig]


def quick(protocol: Protocol, images: int = 20) -> Protocol:
    """The demonstration's own protocol with fewer steps and images."""
    path = IntegratedGradients(n_steps=3)
    attacks = {
        name: replace(attack, steps=4, attribution=path)
        if isinstance(attack, IFIA)
        else replace(attack, scale=0.1, attribution=path)  # type: ignore[type-var]
        for name, attack in protocol.attacks.items()
    }
    return replace(protocol, n_examples=60, n_attribution=images, attributions=(path,), attacks=attacks)


@pytest.fixture(scope="module")
def contenders(tiny: Callable[..., TrainConfig]) -> Contenders:
    options = {"data_train_size": 128, "optim_epochs": 4, "optim_lr": 5e-3, "optim_batch_size": 16}
    return {"plain": tiny("digits-at", **options), "with IGR": tiny("digits-at-igr", **options)}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(contenders: Contenders, out: Path) -> tuple[Document, Path, dict[str, Silent]]:
    watched: dict[str, Silent] = {}

    @contextmanager
    def watch(title: str) -> Iterator[Silent]:
        yield watched.setdefault(title, Silent())

    document, page = compare(contenders, quick(DIGITS), out, watch=watch, commands=["holdfast demo"])
    return document, page, watched


def test_progress_is_told(first: tuple[Document, Path, dict[str, Silent]]) -> None:
    watched = first[2]
    assert [*watched] == ["plain", "with IGR"]
    for silent in watched.values():
        assert max(report.step for report in silent.steps) == 32
        assert silent.batches[-1][1] == silent.batches[-1][2]


def test_the_numbers_are_those_on_disk(
    first: tuple[Document, Path, dict[str, Silent]], contenders: Contenders, out: Path
) -> None:
    table = first[0].tables[0]
    assert [(row.title, row.style) for row in table.rows] == [
        ("plain", ""), ("with IGR", "highlight"), ("chance", "chance"),
    ]  # fmt: skip
    keys = [column.key for column in table.columns]
    shared = {"other_image_topk", "other_image_kendall"}
    assert {*keys} == shared | {"natural", "pgd20", "kendall", "topk", "failure_rate", "worst_topk", "worst_kendall"}
    for row, (_, config) in zip(table.rows, contenders.items(), strict=False):
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
    contenders: Contenders,
    out: Path,
    test_images: ImageData,
) -> None:
    images = to_unit_interval(test_images.images[:200])
    right = torch.ones(200, dtype=torch.bool)
    for config in contenders.values():
        model = find_model(str(out / config.recipe)).model
        with torch.no_grad():
            right &= model(images).argmax(1) == test_images.labels[:200]
    wanted = right.nonzero()[:PICTURED, 0].tolist()
    assert len(wanted) == PICTURED
    (pictures,) = (figure for figure in first[0].figures if figure.tiles)
    assert len(pictures.tiles) == 2 * 5 * PICTURED
    labels = [test_images.classes[int(test_images.labels[i])] for i in wanted]
    assert [tile.strip.split(":")[0] for tile in pictures.tiles[::5]] == [
        f"{title}, {label}" for label in labels for title in ("plain", "with IGR")
    ]
    models = {title: find_model(str(out / config.recipe)).model for title, config in contenders.items()}
    for example in attacked_examples(models, test_images, quick(DIGITS), "cpu", most=PICTURED, attack="auto"):
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
    assert (out / "attributions.png").is_file()
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
    contenders: Contenders,
    out: Path,
) -> None:
    def times() -> dict[Path, int]:
        files = [*out.rglob("*.safetensors"), *out.rglob("accuracy-*"), *out.rglob("attribution-*")]
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    assert len(before) >= 8
    silent = Silent()

    @contextmanager
    def watch(title: str) -> Iterator[Silent]:
        yield silent

    document, _ = compare(contenders, quick(DIGITS), out, watch=watch)
    assert times() == before
    assert silent.steps == []
    assert document.tables[0].rows == first[0].tables[0].rows
    assert [figure.tiles for figure in document.figures] == [figure.tiles for figure in first[0].figures]


def test_an_interrupted_demo_goes_on(contenders: Contenders, tmp_path: Path) -> None:
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

    config = contenders["plain"]
    short = {"plain": replace(config, optim=replace(config.optim, epochs=2))}
    with pytest.raises(KeyboardInterrupt):
        compare(short, quick(DIGITS, 2), tmp_path, watch=watch(Impatient))
    assert not (tmp_path / "report.html").exists()
    compare(short, quick(DIGITS, 2), tmp_path, watch=watch(Silent))
    assert [report.step for report in watched[1].steps] == [*range(9, 17), 16], "from the end of the first epoch"


def test_what_the_demo_compares() -> None:
    assert demo_recipes() == {
        "Undefended": recipe("digits-standard"),
        "TRADES": recipe("digits-trades"),
        "TRADES+IGR": recipe("digits-trades-igr"),
    }
    assert [type(attack).__name__ for attack in DIGITS.attacks.values()] == ["IFIA", "AutoIFIA", "AutoIFIA"]
    DIGITS.check(len(load_dataset("digits", DIGITS.split)), (1, 8, 8))
    assert {attack.eps for attack in DIGITS.attacks.values()} == {0.1}  # type: ignore[attr-defined]


def test_the_headline_names_both_attacks_and_the_verdict(first: tuple[Document, Path, dict[str, Silent]]) -> None:
    document = first[0]
    numbers = {
        key: [
            cell
            for row in document.tables[0].rows[:2]
            for c, cell in zip(document.tables[0].columns, row.cells, strict=True)
            if c.key == key
        ]
        for key in ("worst_topk", "topk")
    }
    said = {
        key: [f"{100 * cell.mean:.0f} %" for cell in cells if isinstance(cell, Interval)]
        for key, cells in numbers.items()
    }
    assert document.answer.startswith(
        f"Of the 8 most important features {said['worst_topk'][0]} on plain and {said['worst_topk'][1]} on with IGR"
    )
    assert f"({said['topk'][0]} and {said['topk'][1]} under the attack of the protocol)" in document.answer
    assert "of these networks with IGR" in document.answer
    (gaps,) = (table for table in document.tables if table.key == "differences")
    assert [row.title for row in gaps.rows] == ["with IGR less plain"]


@pytest.mark.slow
def test_the_numbers_do_not_depend_on_threads_or_processes(
    first: tuple[Document, Path, dict[str, Silent]], contenders: Contenders, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        document, _ = compare(contenders, quick(DIGITS), tmp_path, jobs=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert document.tables[0].rows == first[0].tables[0].rows


@pytest.mark.slow
def test_the_zoo_needs_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test_images: ImageData) -> None:
    pixels = torch.nn.functional.interpolate(test_images.images[:30].float(), 28).round().byte()
    data = replace(test_images, images=pixels, labels=test_images.labels[:30])
    monkeypatch.setattr("holdfast.demo.load_dataset", lambda *_, **__: data)
    monkeypatch.setitem(ZOO, "mnist", replace(quick(ZOO["mnist"], 2), n_examples=30))
    document, page = compare_zoo("mnist", tmp_path)
    assert [row.title for row in document.tables[0].rows] == ["Undefended", "TRADES", "TRADES+IGR", "chance"]
    assert page.is_file()
    assert not [*tmp_path.rglob("*.safetensors")]


def test_from_the_command_line(
    contenders: Contenders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = {title: replace(config, optim=replace(config.optim, epochs=1)) for title, config in contenders.items()}
    monkeypatch.setattr("holdfast.demo.demo_recipes", lambda: short)
    monkeypatch.setattr("holdfast.demo.DIGITS", quick(DIGITS, 2))
    assert main(["demo", "--out", str(tmp_path / "d"), "--device", "cpu", "--jobs", "1"]) == 0
    shown = capsys.readouterr().out
    assert f"Report: {tmp_path / 'd' / 'report.html'}" in shown
    assert (tmp_path / "d" / "report.html").is_file()
    assert "holdfast recipes mnist-trades-igr" in shown
    assert main(["demo", "--jobs", "0"]) == 2
    assert "--jobs is 0" in capsys.readouterr().err
