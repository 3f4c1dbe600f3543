"""One run of a sweep: done once, stopped and taken up again, failed without harm; and whether it fits the memory."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from holdfast.sweep.memory import (
    DataFacts,
    check_memory,
    data_facts,
    evaluation_points,
    need_of,
    training_points,
)
from holdfast.train.build import build_objective
from safetensors.torch import load_file

from bench.measure import peak_bytes
from holdfast import HoldfastError, compiled_gradients, load_model
from holdfast.attacks import graphs
from holdfast.attribution.compiled import compiling
from holdfast.config import EvalConfig
from holdfast.data.image_data import ImageData, to_unit_interval
from holdfast.evaluate import evaluate, protocol_of
from holdfast.evaluate.attribution import attribution_records
from holdfast.models.resolve import build_model
from holdfast.recipes import recipe
from holdfast.sweep import Run
from holdfast.sweep import execute as execute_module
from holdfast.sweep.drive import sweep_here
from holdfast.sweep.execute import Outcome, execute, state_of
from holdfast.sweep.plan import Plan
from holdfast.sweep.processes import in_processes
from holdfast.train import train
from holdfast.train.config import TrainConfig

MakeTrain = Callable[..., TrainConfig]
MODULE = "holdfast.sweep.execute"


@pytest.fixture
def run(tiny: MakeTrain, tiny_eval: EvalConfig) -> Run:
    return Run(tiny("digits-at", optim_epochs=1, optim_batch_size=8), tiny_eval)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def results(root: Path, run: Run) -> dict[str, bytes]:
    """What two ways to one result must share: the log, the records and the numbers."""
    found = contents(root / run.name)
    return {name: value for name, value in found.items() if name.endswith(".jsonl") or name.startswith("eval-")}


def assert_same_result(root: Path, other: Path, run: Run) -> None:
    assert results(root, run) == results(other, run)
    assert any(name.endswith("summary.json") for name in results(root, run))
    for name in ("last.safetensors", "best.safetensors"):
        found, wanted = (load_file(folder / run.name / name) for folder in (root, other))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny: MakeTrain, tiny_eval: EvalConfig) -> tuple[Path, Run]:
    """A run that was left alone. Treat as read-only."""
    run = Run(tiny("digits-at", optim_epochs=1, optim_batch_size=8), tiny_eval)
    root = tmp_path_factory.mktemp("whole")
    assert execute(run, root).status == "finished"
    return root, run


def test_it_is_training_and_evaluation(whole: tuple[Path, Run], test_images: ImageData, tmp_path: Path) -> None:
    root, run = whole
    train(run.train, tmp_path / run.name)
    model = load_model(run.name, dataset="digits", model_dir=tmp_path)
    evaluate(model, test_images, protocol_of(run.evaluation), tmp_path / run.name / run.evaluation_name)
    assert_same_result(root, tmp_path, run)
    assert state_of(run, root) == "finished"
    assert json.loads((root / run.name / run.evaluation_name / "summary.json").read_text())["metrics"]["natural"]


def test_a_finished_run_is_skipped(whole: tuple[Path, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    root, run = whole
    before = contents(root)
    monkeypatch.setattr(f"{MODULE}.train", None)
    monkeypatch.setattr(f"{MODULE}.evaluate", None)
    assert execute(run, root) == Outcome(run, "skipped")
    assert contents(root) == before


def test_a_second_evaluation_keeps_the_training(
    whole: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, run = whole
    shutil.copytree(root / run.name, tmp_path / run.name)
    other = replace(run, evaluation=replace(run.evaluation, n_examples=10, n_attribution=2))
    assert state_of(other, tmp_path) == "trained"
    monkeypatch.setattr(f"{MODULE}.train", None)
    assert execute(other, tmp_path).status == "finished"
    assert state_of(other, tmp_path) == state_of(run, tmp_path) == "finished"


def test_the_time_was_up_before(run: Run, tmp_path: Path) -> None:
    assert execute(run, tmp_path / "root", deadline=1.0) == Outcome(run, "stopped")
    assert not (tmp_path / "root").exists()


class Countdown:
    """The time is up at the n-th time of asking."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, deadline: float | None) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("patience", [2, 3, 7])
def test_stopped_again_and_again(
    patience: int, whole: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops at every step or so and between any two batches; in the end nothing is different."""
    root, run = whole
    stops, states = 0, {state_of(run, tmp_path)}
    while True:
        monkeypatch.setattr(execute_module, "_is_past", Countdown(patience))
        outcome = execute(run, tmp_path)
        states.add(state_of(run, tmp_path))
        if outcome.status == "finished":
            break
        assert outcome.status == "stopped"
        stops += 1
        patience = max(patience, 3) if state_of(run, tmp_path) == "trained" else patience
    assert stops >= 2
    assert states >= {"new", "begun", "finished"}
    assert_same_result(tmp_path, root, run)


def test_the_evaluation_stops_between_batches(
    whole: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, run = whole
    train(run.train, tmp_path / run.name)
    records = tmp_path / run.name / run.evaluation_name / "records"
    monkeypatch.setattr(execute_module, "_is_past", Countdown(5))
    assert execute(run, tmp_path).status == "stopped"
    assert sorted(path.name for path in records.iterdir()) == [f"accuracy-{b:05d}.parquet" for b in range(3)]
    monkeypatch.undo()
    assert execute(run, tmp_path).status == "finished"
    assert_same_result(tmp_path, root, run)


def test_a_loss_that_is_not_finite_stops_only_its_own_run(run: Run, tmp_path: Path) -> None:
    bad = replace(run, train=replace(run.train, optim=replace(run.train.optim, lr=1e30)))
    outcomes = [execute(each, tmp_path) for each in (bad, run)]
    assert [outcome.status for outcome in outcomes] == ["failed", "finished"]
    message = outcomes[0].message
    assert message.startswith("the loss is not finite at step ")
    assert (tmp_path / "failures" / f"{bad.name}.txt").read_text() == f"{message}\n"
    assert [state_of(each, tmp_path) for each in (bad, run)] == ["failed", "finished"]
    assert execute(bad, tmp_path).message == message


def test_an_unforeseen_error_is_recorded_until_the_run_succeeds(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("missing")

    monkeypatch.setattr(f"{MODULE}.evaluate", broken)
    outcome = execute(run, tmp_path)
    file = tmp_path / "failures" / f"{run.name}.txt"
    assert outcome.status == "failed"
    assert outcome.message == f"KeyError: 'missing' (unforeseen; the traceback is in {file})"
    assert "in broken" in file.read_text()
    monkeypatch.undo()
    assert execute(run, tmp_path).status == "finished"
    assert not file.exists()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory(error: Exception, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"{MODULE}.train", broken)
    assert "out of memory; run fewer at once (--jobs" in execute(run, tmp_path).message


def test_a_folder_in_use_fails_its_run_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / run.name).mkdir()
    with open(tmp_path / run.name / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "in use by another holdfast process" in execute(run, tmp_path).message
    assert execute(run, tmp_path).status == "finished"


def test_what_is_finished_with_other_settings_is_not_touched(whole: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = whole
    other = replace(run, train=replace(run.train, seed=9))
    shutil.copytree(root / run.name, tmp_path / other.name)
    before = contents(tmp_path / other.name)
    assert state_of(other, tmp_path) == "begun"
    assert "holds a finished run, which is never overwritten" in execute(other, tmp_path).message
    assert contents(tmp_path / other.name) == before


def test_in_processes(whole: tuple[Path, Run], tmp_path: Path) -> None:
    """Two at once; one has been done before, one fails, and the files are those of a single process."""
    root, run = whole
    bad = replace(run, train=replace(run.train, optim=replace(run.train.optim, lr=1e30)))
    outcomes = {o.run: o for o in in_processes(partial(execute, root=tmp_path), [run, bad], jobs=2)}
    assert outcomes[run].status == "finished"
    assert outcomes[bad].message.startswith("the loss is not finite")
    assert_same_result(tmp_path, root, run)


# memory


def facts() -> DataFacts:
    return data_facts(["digits"])["digits"]


def test_data_facts() -> None:
    assert facts() == DataFacts((1197 + 200 + 400) * 64, (1, 8, 8), 10)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("digits-standard", 0),
        ("digits-trades", 0),
        ("digits-trades-igr", 2 * 64 * 5),
        ("mnist-mart-igr", 2 * 128 * 10),
        ("mnist-ig-norm", 128 * 10),
        ("mnist-advaat", 2 * 128 * 10),
        ("mnist-at-igr-own", 2 * 128 * 10),
    ],
)
def test_path_points(name: str, points: int) -> None:
    config = recipe(name)
    assert training_points(config) == points
    bounded = replace(config, igr=replace(config.igr, internal_batch_size=64))
    assert training_points(bounded) == (max(64, 128 * 5) if "own" in name else min(points, 64))


@pytest.mark.parametrize("name", ["digits-at", "digits-trades", "digits-mart", "digits-at-igr", "digits-trades-igr"])
def test_the_estimate_of_training_is_near_the_peak(name: str, tiny: MakeTrain, tiny_eval: EvalConfig) -> None:
    """Near what the allocator hands out, and not below."""
    config = tiny(name, optim_batch_size=64, igr_n_steps=5)
    network = build_model("small_cnn", (1, 8, 8), 10)
    objective = build_objective(config, torch.Generator().manual_seed(0))
    x, y = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 10

    def step() -> None:
        network.zero_grad()
        objective(network, x, y).loss.backward()

    step()
    peak = peak_bytes(step)
    weights = 4 * sum(p.numel() for p in network.parameters())
    easy = replace(tiny_eval, n_attribution=1, ifia=replace(tiny_eval.ifia, n_steps=1))
    estimate = need_of(Run(config, easy), facts())
    assert estimate.peak == "training"
    activations = estimate.bytes - facts().bytes - 4 * weights
    assert peak - weights <= 1.05 * activations <= 3 * (peak - weights)


def test_the_estimate_of_the_evaluation_is_near_the_peak(tiny: MakeTrain, tiny_eval: EvalConfig) -> None:
    config = replace(
        tiny_eval, batch_size=40, n_attribution=40, score_n_steps=2, ifia=replace(tiny_eval.ifia, n_steps=10)
    )
    network = build_model("small_cnn", (1, 8, 8), 10)
    torch.nn.init.normal_(network.fc3.weight, std=0.1, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type, union-attr]
    x = to_unit_interval(torch.randint(0, 256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(1)))
    y = network.eval()(x).argmax(1)
    peak = peak_bytes(lambda: attribution_records(network, x, y, list(range(40)), 0, config))
    estimate = need_of(Run(tiny("digits-standard"), config), facts())
    assert estimate.peak == "the attribution attack of the evaluation"
    assert evaluation_points(config) == 400
    weights = 4 * sum(p.numel() for p in network.parameters())
    activations = estimate.bytes - facts().bytes - 4 * weights
    assert peak <= 1.05 * activations <= 3 * peak


def test_what_does_not_fit_is_refused_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.sweep.memory.free_bytes", lambda device: 2**20)
    plan = Plan(("at", "trades-igr"), ("digits",), (0,), "smoke")
    with pytest.raises(HoldfastError, match=r"would take about 0\.\d GiB in .* 0.0 GiB are free on cpu; .*--no-check"):
        next(sweep_here(plan, tmp_path / "root"))
    with pytest.raises(HoldfastError, match=r"^2 runs at once, .* choose fewer --jobs, or "):
        next(sweep_here(plan, tmp_path / "root", jobs=2))
    assert not (tmp_path / "root").exists()


def test_the_remedy_of_a_long_path_helps(monkeypatch: pytest.MonkeyPatch, tiny_eval: EvalConfig) -> None:
    run = Run(recipe("mnist-trades-igr"), replace(tiny_eval, dataset="mnist"))
    data = {"mnist": DataFacts(70_000 * 784, (1, 28, 28), 10)}
    monkeypatch.setattr("holdfast.sweep.memory.free_bytes", lambda device: 2 * 2**30)
    with pytest.raises(HoldfastError, match=r"choose --igr\.internal-batch-size 256, or "):
        check_memory([run], data, "cpu")
    bounded = replace(run, train=replace(run.train, igr=replace(run.train.igr, internal_batch_size=256)))
    check_memory([bounded], data, "cpu")


@pytest.mark.parametrize("wanted", [False, True])
def test_acceleration_reaches_training_and_evaluation(
    wanted: bool, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for name in ("train", "evaluate"):
        real = getattr(execute_module, name)

        def noting(*args: object, name: str = name, real: Callable = real, **kwargs: object) -> object:
            seen.append((name, graphs._active.get() is not None, compiling()))
            with compiled_gradients(False):  # which takes minutes here
                return real(*args, **kwargs)

        monkeypatch.setattr(execute_module, name, noting)
    assert (
        execute(run, tmp_path, acceleration=Acceleration(cuda_graphs=wanted, compile=not wanted)).status == "finished"
    )
    assert seen == [("train", wanted, not wanted), ("evaluate", wanted, not wanted)]
    assert graphs._active.get() is None


def test_a_sweep_hands_acceleration_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed = []

    def recorded(run: Run, *, acceleration: Acceleration, **others: object) -> Outcome:
        handed.append(acceleration)
        return Outcome(run, "finished")

    monkeypatch.setattr("holdfast.sweep.drive.execute", recorded)
    plan = Plan(("at",), ("digits",), (0,), "smoke")
    ways = [Acceleration(), Acceleration(compile=True)]
    for way in ways:
        list(sweep_here(plan, tmp_path / "root", acceleration=way))
    assert handed == ways
