"""What a narrow console shows can be copied: no name is cut, in any list or table, at any width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.cli import main
from holdfast.data.catalogue import KNOWN
from holdfast.recipes import METHODS, recipe
from holdfast.report import Column, Document, Row, Section, Table, print_document
from holdfast.report.terminal import print_listing
from holdfast.train import RunFolder

WIDTHS = (40, 60, 80, 120)
LAPTOP = Path(__file__).parents[2] / "results" / "laptop"


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Piped, at a width, without colours; with the estimate's trial passes left out."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("holdfast.models.resolve.seconds_per_forward", lambda *_, **__: 1e-4)
    return request.param


def shown(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(line.split()) == 0
    text = capsys.readouterr().out
    assert "…" not in text
    return text


def words(text: str) -> set[str]:
    return {word.strip("│┃") for word in text.split()}


def test_recipes(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown("recipes --profile smoke", capsys)
    assert {f"{dataset}-{method}" for dataset in ("digits", "fashion_mnist") for method in METHODS} <= words(text)


def test_the_settings_of_a_recipe(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown("recipes digits-trades-igr --profile smoke", capsys)
    assert {recipe("digits-trades-igr").recipe, "objective.attribution.n_steps", "evaluation.ifia.steps"} <= words(text)


def test_data_sets(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert KNOWN.keys() <= words(shown("data list", capsys))
    assert {"digits", "train", "val", "test"} <= words(shown("data info digits", capsys).replace(":", " "))


def test_the_runs_of_a_sweep(width: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(f"sweep core --profile smoke --dry-run --out {tmp_path}", capsys)
    assert {"digits-at-igr", "digits-trades-igr"} <= words(text)


def test_evaluate(width: int, finished_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--n-examples 4 --n-attribution 2 --cw-steps 2 --random-draws 1 --ifia.steps 2 --ifia.n-steps 2"
    text = shown(f"evaluate {finished_run.path} {sizes} --auto None --device cpu --out {tmp_path}", capsys)
    assert {"natural"} <= words(text.replace(":", " "))


@pytest.mark.parametrize(
    "names",
    [
        ("mnist-at-0", "mnist-at-igr-0"),
        pytest.param(("mnist-at-0", "mnist-at-igr-0", "mnist-mart-0"), marks=pytest.mark.slow),
    ],
)
def test_report(width: int, names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = " ".join(str(LAPTOP / f"{name}.json") for name in names)
    assert {"AT", "AT+IGR"} <= words(shown(f"report {files} --out {tmp_path}", capsys))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["x" * 50, "one-long-name_with.dots/and-more", "Name with Words", "名前" * 10])
def test_names_of_any_length(name: str, width: int) -> None:
    """Whole in a list; a table on its side or in blocks may break the line, but leaves no letter out."""
    out = io.StringIO()
    console = Console(file=out, width=width)
    print_listing("Title", ("name", "about", "from"), [(name, "some words about it", "Hub: me/mine")], console)
    assert name in out.getvalue()
    assert "me/mine" in out.getvalue()
    columns = tuple(Column(str(i), f"measure {i}", "of a group") for i in range(4))
    table = Table("t", "Title", columns, tuple(Row(f"{name}{i}", (0.5,) * 4) for i in range(6)))
    print_document(Document("T", "", (Section("s", (table,)),)), console)
    assert "…" not in out.getvalue()
    assert all(f"{name}{i}".replace(" ", "") in "".join(out.getvalue().split()) for i in range(6))
