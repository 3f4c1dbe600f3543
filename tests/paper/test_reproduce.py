"""From results or runs to a folder of tables and figures."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.cli import main
from holdfast.errors import HoldfastError
from holdfast.evaluate import protocol_of
from holdfast.paper.claims import FOUND, OURS, PROVED
from holdfast.paper.make import Request, estimate, reproduce
from holdfast.paper.targets import NEEDS, TARGETS, parts_of, plans_of
from holdfast.recipes import TABLE2, TABLE3
from holdfast.recipes.profiles import PROFILES, smoke
from holdfast.recipes.setups import Setup
from holdfast.results import RunResult, export_run, load_results
from holdfast.sweep.plan import Plan, Run

from .conftest import MakeResult


def tiny(s: Setup) -> Setup:
    """A second a run."""
    s = smoke(s)
    train, ev = s.base, s.evaluation
    return replace(
        s,
        base=replace(
            train,
            data=replace(train.data, train_size=64),
            optim=replace(train.optim, epochs=1, batch_size=32),
            val_size=10,
        ),
        budget=replace(s.budget, steps=1),
        igr=replace(s.igr, n_steps=2),
        rivals=replace(s.rivals, n_steps=2, attack_n_steps=2),
        evaluation=replace(
            ev,
            n_examples=40,
            n_attribution=6,
            cw_steps=2,
            score_n_steps=4,
            random_draws=2,
            ifia=replace(ev.ifia, steps=2, n_steps=2),
        ),
    )


@pytest.fixture
def tiny_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", tiny)


@pytest.fixture
def exported(tmp_path: Path, result: MakeResult) -> Path:
    """Results of Table 3's rows on two data sets, without weights."""
    folder = tmp_path / "given"
    for dataset in ("mnist", "fashion_mnist"):
        for place, method in enumerate(TABLE3):
            export_run(result(method, dataset, kendall=0.3 + 0.05 * place), folder)
    return folder


def test_targets() -> None:
    assert parts_of("all") == tuple(NEEDS)
    assert {part for target in TARGETS for part in parts_of(target)} == set(NEEDS)
    assert list(NEEDS)[:2] == ["table1", "table2"]
    with pytest.raises(HoldfastError, match=r"unknown target 'tabel2'; did you mean table2"):
        parts_of("tabel2")


def test_each_target_runs_what_it_needs() -> None:
    def methods(target: str, datasets: tuple[str, ...] = ("mnist", "fashion_mnist", "cifar10")) -> list[Plan]:
        return plans_of(parts_of(target), "fast", datasets, [0, 1])

    assert methods("theorem1") == methods("figure1") == []
    assert methods("figure2b") == [Plan(TABLE3, ("fashion_mnist",), (0, 1), "fast")]
    assert methods("figure5") == [Plan(TABLE3, ("mnist", "cifar10"), (0, 1), "fast")]
    assert methods("figure6") == [Plan(("mart", "mart-igr"), ("fashion_mnist",), (0,), "fast")]
    assert methods("figure7", ("mnist",)) == [Plan(("mart", "mart-igr"), ("mnist",), (0,), "fast")]
    everything = {run for plan in methods("all") for run in plan.runs()}
    assert everything == {*Plan(tuple(TABLE2), ("mnist", "fashion_mnist", "cifar10"), (0, 1), "fast").runs()}


def test_results_alone_give_tables_and_verdicts(exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = reproduce(Request("table2", out, results=exported))
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == sorted(
        [
            *(
                f"{key}.{kind}"
                for key in ("headline", "table2", "table2-gain", "table2-worst")
                for kind in ("md", "tex", "csv")
            ),
            *(f"gains.{kind}" for kind in ("md", "png", "svg")),
        ]
    )
    assert made.title == "The paper, made again: MNIST and Fashion-MNIST"
    assert made.facts[:3] == ("profile laptop", "seed 0", "12 runs of 6 methods")
    assert "cannot be told" in made.answer
    assert "| TRADES+IGR |" in (out / "table2.md").read_text()
    assert "## Claims" in (out / "table2.md").read_text()


def test_everything_from_results(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.paper.statements.scale_of", lambda study: 0.01)
    out = tmp_path / "out"
    made = reproduce(Request("all", out, results=exported), command="holdfast reproduce all")
    assert [title.partition(":")[0] for title, _ in made.left_out] == ["Figure 3", "Figure 6", "Figure 7"]
    assert all("holds no weights of" in reason for _, reason in made.left_out)
    keys = [
        "figure1",
        "figure2a",
        "figure2b",
        "figure2c",
        "figure4",
        "figure5",
        "theorem1",
        "proposition1",
        "proposition2",
    ]
    assert [figure.key for figure in made.figures] == ["gains", "gains-accuracy", *keys]
    assert all((out / f"{key}.{kind}").is_file() for key in keys for kind in ("png", "svg", "md"))
    page = (out / "index.html").read_text()
    assert html.escape(made.answer).replace("&#x27;", "&#39;") in page
    assert page.count("<img") == len(keys) + 2
    sources = [claim.whose for claim in made.claims]
    assert {FOUND, PROVED, OURS} == set(sources)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"profile": "paper"}, "results under the profile laptop, not paper alone"),
        ({"profile": "paepr"}, "unknown profile 'paepr'; did you mean paper"),
        ({"datasets": ("cifar10",)}, "unknown data set in .* 'cifar10'"),
        ({"seeds": (7,)}, "holds no results of seed 7; it has 0"),
        ({"results": Path("nowhere")}, "nowhere does not exist"),
        ({"target": "figure9"}, "unknown target 'figure9'; did you mean figure"),
    ],
)
def test_what_does_not_fit_is_refused(exported: Path, tmp_path: Path, changed: dict, message: str) -> None:
    request = Request("table3", tmp_path / "out", results=exported)
    with pytest.raises(HoldfastError, match=message):
        reproduce(replace(request, **changed))
    assert not (tmp_path / "out").exists()


def test_results_of_other_settings_are_refused(exported: Path, tmp_path: Path, result: MakeResult) -> None:
    def exporting(run: RunResult) -> None:
        export_run(run, exported)

    other = result("ssr")
    exporting(replace(other, protocol=protocol_of(replace(other.evaluation, eps=0.2))))
    with pytest.raises(HoldfastError, match=r"have other settings \(predictions.fgsm.eps: 0\.3 -> 0\.2"):
        reproduce(Request("table3", tmp_path / "out", results=exported))
    (exported / "mnist-ssr-0.json").unlink()
    exporting(result("ssr", "digits", profile="smoke"))
    with pytest.raises(HoldfastError, match="profile smoke, not laptop alone"):
        reproduce(Request("table3", tmp_path / "out", results=exported, profile="laptop"))


def test_an_empty_folder_of_results(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="holds no results"):
        reproduce(Request("table3", tmp_path / "out", results=tmp_path))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.mark.slow
def test_runs_what_is_missing_and_keeps_the_results(tmp_path: Path, tiny_smoke: None, said: list[str]) -> None:
    request = Request("figure7", tmp_path / "out", profile="smoke")
    made = reproduce(request, say=said.append)
    assert said[0].startswith("2 runs, 2 of them to do: about ")
    assert [line.split(":")[0] for line in said[1:]] == ["digits-mart seed 0", "digits-mart-igr seed 0"]
    assert [r.name for r in load_results(request.out / "results")] == ["digits-mart-0", "digits-mart-igr-0"]
    figure = made.figures[0]
    assert figure.key == "figure7", made.left_out
    assert "The paper shows CIFAR-10; not run here: CIFAR-10." in figure.caption
    assert len(figure.tiles) == 4 * 2 * 5
    said.clear()
    again = reproduce(request, say=said.append)
    assert said == ["2 runs, 0 of them to do."]
    assert [(f.key, f.svg) for f in again.figures] == [(f.key, f.svg) for f in made.figures]


def test_a_run_that_fails_is_named_and_the_others_are_kept(
    tmp_path: Path, tiny_smoke: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out" / "runs").mkdir(parents=True)
    failing = Plan(("mart-igr",), ("digits",), (0,), "smoke").runs()[0]
    monkeypatch.setattr("holdfast.sweep.execute._evaluate", _fail_for(failing))
    with pytest.raises(HoldfastError, match=r"1 of 2 runs failed: digits-mart-igr seed 0 .*run the same command again"):
        reproduce(Request("figure7", tmp_path / "out", profile="smoke"), say=lambda line: None)
    assert [r.name for r in load_results(tmp_path / "out" / "results")] == ["digits-mart-0"]


def _fail_for(failing: Run):  # type: ignore[no-untyped-def]
    from holdfast.sweep.execute import _evaluate

    def evaluate(run: Run, *args: object, **options: object) -> None:
        if run == failing:
            raise HoldfastError("no luck.")
        _evaluate(run, *args, **options)  # type: ignore[arg-type]

    return evaluate


def test_the_estimate_is_passes_times_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.paper.make.seconds_per_forward", lambda *args: 1e-3)
    runs = Plan(("at", "at-igr"), ("digits",), (0,), "smoke").runs()
    passes = sum(run.cost or 0 for run in runs)
    seconds, said = estimate(runs, "cpu")
    assert seconds == pytest.approx(passes / 1e3)
    assert said == f": about {passes / 1e3 / 60:.0f} min here ({passes:.1e} forward passes, 1 ms an image of digits)."
    assert estimate([], "cpu") == (0.0, ".")


@pytest.mark.parametrize(("answer", "words"), [("n", []), ("y", []), ("", ["--yes"])])
def test_more_than_an_hour_is_asked_for(
    answer: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("holdfast.paper.make.seconds_per_forward", lambda *args: 10.0)
    monkeypatch.setattr("holdfast.paper.make._do", lambda *args: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    code = main(["reproduce", "figure7", "--profile", "smoke", "--out", str(tmp_path / "out"), *words])
    assert len(asked) == (not words)
    said = capsys.readouterr().err
    assert ("not started" in said) == (answer == "n")
    assert (code == 2) >= (answer == "n")


@pytest.mark.slow
def test_the_command_makes_everything_of_the_smoke_profile(
    tmp_path: Path, tiny_smoke: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    out = tmp_path / "out"
    assert main(["reproduce", "all", "--profile", "smoke", "--out", str(out), "--device", "cpu"]) == 0
    assert len(list(out.glob("figure*.png"))) == 9
    assert len(load_results(out / "results")) == len(TABLE2)
    printed = capsys.readouterr().out
    assert "12 runs, 12 of them to do" in printed
    assert "left out" not in printed
    assert f"holdfast reproduce all --profile smoke --out {out} --device cpu" in (out / "index.html").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("reproduce", "what to reproduce is missing"),
        ("reproduce tabel1", "unknown target 'tabel1'; did you mean table1"),
        ("reproduce table1 --profile lapto", "unknown profile 'lapto'; did you mean laptop?"),
        ("reproduce table1 --profile smoke --datasets digit", "unknown data set 'digit'; did you mean digits"),
        ("reproduce table1 --seeds 0,x", "--seeds is '0,x'; give whole numbers"),
        ("reproduce table1 --sed 0", "unknown option '--sed'"),
    ],
)
def test_bad_input_is_one_line(
    line: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_table1_needs_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["reproduce", "table1", "--profile", "laptop", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.glob("[!.]*")) == ["table1.csv", "table1.md", "table1.tex"]
    assert "Settings, Fashion-MNIST" in capsys.readouterr().out
