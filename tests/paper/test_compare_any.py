"""``holdfast report`` and ``holdfast leaderboard`` from results of any kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import holdfast as hf
from holdfast.cli import main
from holdfast.errors import HoldfastError
from holdfast.metrics.stats import Interval
from holdfast.report.leaderboard import entries_of, leaderboard
from holdfast.report.quantities import attacks_of_all, values_of
from holdfast.results import RunResult, export_run, result_of
from holdfast.results.store import results_at, titled

Make = Callable[..., RunResult]


@pytest.fixture
def exported(result: Make, tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for method, kendall in (("at", 0.25), ("at-igr", 0.75)):
        values = [kendall + 0.01 * (i % 5) for i in range(40)]
        export_run(result(method, kendall=values, topk=0.5, rank_kendall=[v - 0.25 for v in values]), folder)
    return folder


def test_report_compares_with_the_first(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(exported / f"mnist-{method}-0.json") for method in ("at", "at-igr")]
    assert main(["report", *files, "--json", "--out", str(tmp_path / "page")]) == 0
    found = json.loads(capsys.readouterr().out)
    (gap,) = found["differences"]
    assert gap["pair"] == "AT+IGR less AT"
    assert gap["kendall"] == pytest.approx(0.5)
    assert gap["worst_kendall"] == pytest.approx(0.5)
    assert gap["topk"] == 0
    assert "of these networks AT+IGR cannot be told from AT in Top-100 (worst) and is ahead of AT in" in found["answer"]
    assert (tmp_path / "page" / "report.html").is_file()
    assert main(["report", *files, "--quiet", "--out", str(tmp_path / "page")]) == 0
    assert capsys.readouterr().out == f"{found['answer']}\n"
    assert main(["report", str(exported), "--out", str(tmp_path / "page")]) == 0
    assert "AT+IGR less AT" in capsys.readouterr().out


def test_report_refuses_what_does_not_compare(
    result: Make, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = export_run(result("at", "fashion_mnist"), tmp_path / "other")
    first = str(exported / "mnist-at-0.json")
    for words, message in (
        ([], "the runs are missing"),
        ([first, str(other)], "dataset: mnist -> fashion_mnist"),
        ([str(tmp_path / "nowhere")], "does not exist"),
        ([str(tmp_path)], "holds no exported results"),
    ):
        assert main(["report", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_worst_case_is_over_the_attacks_that_all_have(result: Make) -> None:
    run = result("at", kendall=0.5, rank_kendall=0.25, random_kendall=0.125)
    attacks = {name: attack for name, attack in run.protocol.attacks.items() if name != "random"}
    less = replace(run, protocol=replace(run.protocol, attacks=attacks))
    assert attacks_of_all([run, less]) == ("ifia", "rank")
    assert set(values_of(run, "worst_kendall").values()) == {0.125}
    assert set(values_of(run, "worst_kendall", ("ifia", "rank")).values()) == {0.25}
    assert values_of(run, "worst_kendall", ()) == {}


def test_titles_are_unique(result: Make) -> None:
    runs = [result("at"), result("at", seed=1), result("mart"), result("mart")]
    places = "abcd"
    assert [*titled(zip(places, runs, strict=True))] == [
        "AT, seed 0",
        "AT, seed 1",
        "MART, seed 0 (c)",
        "MART, seed 0 (d)",
    ]


def test_a_board_holds_every_attack_and_the_worst_of_them(result: Make) -> None:
    run = result("at", kendall=0.5, rank_kendall=0.25, random_kendall=0.75, correct={"prediction": 0.75})
    found = {entry.facets[2]: entry.cells for entry in entries_of(run)}
    kendall = {name: cells[0].mean for name, cells in found.items() if isinstance(cells[0], Interval)}
    assert kendall == {"ifia": 0.5, "rank": 0.25, "random": 0.75, "worst of ifia, rank and random": 0.25}
    natural = found["rank"][2]
    assert isinstance(natural, Interval)
    assert natural.mean == 0.75


def test_the_leaderboard_opens_with_the_worst_of_the_first_data_set(
    result: Make, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = exported.parent / "board.html"
    assert main(["leaderboard", str(exported), "--out", str(page), "--quiet"]) == 0
    assert "AT+IGR, seed 0 on MNIST (Kendall τ 0.520 at an accuracy of 100.0 %)" in capsys.readouterr().out
    rows = re.findall(r'<tr data-facets="([^"]*)"( hidden)?><th scope="row">([^<]*)', page.read_text())
    assert len(rows) == 2 * 4
    assert [title for _, hidden, title in rows if not hidden] == ["AT+IGR, seed 0", "AT, seed 0"]
    assert all("worst of" in facets for facets, hidden, _ in rows if not hidden)
    assert "http" not in page.read_text()
    with pytest.raises(HoldfastError, match="no result holds attacked explanations"):
        leaderboard([])


def test_a_network_that_classifies_badly_is_not_called_best(result: Make) -> None:
    def entered(method: str, tau: float, natural: float) -> RunResult:
        return result(method, kendall=tau, rank_kendall=tau, correct={"prediction": natural})

    steady = entered("mart", 0.9, 0.5)
    page = leaderboard([steady, entered("at", 0.3, 1.0), entered("at-igr", 0.4, 0.96)])
    assert "explanations of AT+IGR, seed 0 on MNIST" in page.answer


def test_the_committed_records_make_a_leaderboard() -> None:
    folder = Path(__file__).parents[2] / "results" / "laptop"
    (result,) = results_at(folder / "mnist-trades-igr-0.json")
    worst = next(entry for entry in entries_of(result) if entry.facets[2].startswith("worst"))
    assert isinstance(worst.cells[0], Interval)
    assert worst.cells[0].mean == pytest.approx(result.summary["metrics"]["worst_kendall"]["mean"])


def test_report_has_a_table_for_every_explanation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(12, 1, 6, 6, generator=generator)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    labels = net(images).argmax(1)
    means: dict[str, list[float]] = {"Saliency": [], "InputXGradient": []}
    for name, bias in (("a", 0.0), ("b", 0.05)):
        with torch.no_grad():
            net[1].bias += bias
        found = hf.evaluate(
            net,
            (images, labels),
            eps=0.1,
            attacks={"noise": "random-signs"},
            attributions=list(means),
            n_attribution=12,
        )
        assert found is not None
        export_run(result_of(found, name), tmp_path / "results")
        shown = found.to_frame().set_index(["attribution", "attack", "metric"])["mean"]
        for explanation, values in means.items():
            values.append(float(shown[explanation, "noise", "kendall"]))
    assert main(["report", str(tmp_path / "results"), "--json", "--out", str(tmp_path / "page")]) == 0
    tables = json.loads(capsys.readouterr().out)
    for place, (explanation, values) in enumerate(means.items()):
        rows = {row["model"]: row["kendall"] for row in tables[f"table-{place}"]}
        assert [rows["a"], rows["b"]] == pytest.approx(values)
        assert re.search(f"By {explanation} .* of the 4 most important features are left", tables["answer"])
        assert f"# a and b: {explanation}" in (tmp_path / "page" / "table.md").read_text()
        assert f"Paired differences: {explanation}" in (tmp_path / "page" / "report.html").read_text()
        assert ("natural" in tables[f"table-{place}"][0]) == (place == 0)
    assert means["Saliency"] != means["InputXGradient"]


@pytest.mark.parametrize("label", ["mnist/standard", "/home/me/net", "timm:resnet18"])
def test_a_name_with_folders_is_exported_beside_the_others(result: Make, tmp_path: Path, label: str) -> None:
    path = export_run(replace(result("at"), settings=None, label=label), tmp_path / "out")
    assert path.parent == tmp_path / "out"
    assert results_at(tmp_path / "out")[0].label == label


def test_models_that_were_not_trained_here_have_no_seed(result: Make) -> None:
    mine = replace(result("at"), settings=None, label="mine")
    assert list(titled([("a", mine), ("b", mine)])) == ["mine (a)", "mine (b)"]
    assert list(titled([("a", mine), ("a", mine)])) == ["mine (a) (1)", "mine (a) (2)"]


@pytest.mark.parametrize("command", ["report --quiet results/a", "leaderboard --out page.html results"])
def test_a_word_behind_the_options_is_no_unknown_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    word = command.split()[-1]
    assert f"{word!r} is neither an option nor the value of one; leave it out, or give" in capsys.readouterr().err
