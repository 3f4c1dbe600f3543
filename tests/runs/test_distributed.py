"""Two processes under torchrun train on the usual terms: each has its own images of every batch and its own random
numbers, and where nothing is random and nothing couples images they do what one process does.

A network in float64 shows that nothing but the order of sums differs.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from holdfast import AT, IGR, MART, PGD, TPGD, TRADES, Standard
from holdfast.attribution import IntegratedGradients
from holdfast.objectives import Objective
from holdfast.part_json import to_json
from holdfast.train import DataConfig, OptimConfig, RunFolder, TrainConfig, read_metrics, train
from holdfast.train.folder import load_config
from tests.runs.torchrun import ENV, HERE, PATIENCE, TORCHRUN

PLAIN, NORMALISED, FLAT = (f"{HERE / 'on_processes.py'}:{name}" for name in ("plain", "normalised", "flat"))
SGD = OptimConfig(name="sgd", lr=0.1, epochs=2, batch_size=20, weight_decay=0.01)
ONCE = OptimConfig(name="sgd", lr=1.0, epochs=1, batch_size=20)


def config_of(
    objective: Objective, images: int, *, model: str = PLAIN, augment: str = "none", **optim: Any
) -> TrainConfig:
    """Two epochs in batches of 20: 45 images leave a last batch of 5 for two processes, 41 one of 1."""
    return TrainConfig(
        data=DataConfig("digits", train_size=images, augment=augment),  # type: ignore[arg-type]
        model=model,
        objective=objective,
        validation=FIXED,
        optim=replace(SGD, **optim),
        val_size=250,
    )


FIXED = PGD(0.1, 0.05, 2, random_start=False)
PATH = IntegratedGradients(2, "riemann_right")
RANDOM = IGR(TRADES(TPGD(0.1, 0.05, 2)), 2.5, PATH, share=0.5)
EQUAL = {
    "standard": config_of(Standard(), 45),
    "at": config_of(AT(FIXED), 41),
    "at-igr": config_of(IGR(AT(FIXED), 2.5, PATH), 45),
    "mart": config_of(MART(FIXED), 41),
    "augmented": config_of(Standard(), 45, augment="crop_flip"),
    "growing": config_of(AT(FIXED), 45, eps_warmup=0.5),
}
"""Nothing random, no dropout and no normalisation over images: equal to one process."""
ONE_STEP = {
    name: replace(EQUAL[name], data=DataConfig("digits", 19), optim=ONCE) for name in ("standard", "at", "mart")
}
OTHER = {"random": config_of(RANDOM, 45, model=NORMALISED), "one-left": config_of(RANDOM, 41, model=NORMALISED)}
"""Random starts, dropout and batch normalisation: not those of one process, but one network in both processes."""
TOO_SMALL = {
    "too-small": (
        config_of(AT(FIXED), 45, batch_size=1),
        "of 1 images cannot be shared by 2 processes; .* larger batch",
    ),
    "too-few": (config_of(AT(FIXED), 1), "of 1 images cannot be shared by 2 processes; .* more images"),
    "one-each": (config_of(AT(FIXED), 44, batch_size=2, model=FLAT), "share that one of 2 processes has .* 1 image"),
    "one-left-flat": (config_of(AT(FIXED), 41, model=FLAT), "share that one of 2 processes has .* 1 image"),
    "two-and-one": (config_of(AT(FIXED), 43, model=FLAT), "share that one of 2 processes has .* 1 image"),
}
"""Where a process has no image of the first batch, or one that batch normalisation cannot take alone."""
WILD = config_of(AT(FIXED), 45, model="small_cnn", lr=1e30)


class Group:
    """What two processes did with a list of jobs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs: list[dict[str, Any]] = []

    def add(self, out: str, config: TrainConfig, **happening: Any) -> None:
        self.jobs.append({"out": out, "config": to_json(config), **happening})

    def run(self) -> None:
        (self.root / "jobs.json").write_text(json.dumps(self.jobs))
        done = subprocess.run(
            [*TORCHRUN, str(HERE / "on_processes.py"), str(self.root)],
            env=ENV, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        met = [json.loads((self.root / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
        self.validation = [found["validation"] for found in met]
        pairs = zip(*(found["jobs"] for found in met), strict=True)
        self.met = [(job["out"], *pair) for job, pair in zip(self.jobs, pairs, strict=True)]

    def both(self, out: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """What the ranks met in the jobs of folder ``out``, in order."""
        return [(first, second) for name, first, second in self.met if name == out]


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    """One start of two processes for all the jobs below. Treat as read-only."""
    group = Group(tmp_path_factory.mktemp("group"))
    for kind, configs in (("equal", EQUAL), ("step", ONE_STEP), ("other", OTHER)):
        for name, config in configs.items():
            group.add(f"{kind}-{name}", config)
    group.add("equal-at", EQUAL["at"])  # finished
    group.add("locked", EQUAL["at"])
    for name, (config, _) in TOO_SMALL.items():
        group.add(name, config)
    group.add("wild", WILD)
    group.add("spoilt", EQUAL["at"], spoil={"rank": 1, "step": 5})
    group.add("stopped", EQUAL["at"], stop={"rank": 1, "step": 4})
    group.add("from-one", EQUAL["at"], resume=True)
    train(EQUAL["at"], group.root / "from-one", stop=stop_at(2))
    with RunFolder(group.root / "locked").writing(EQUAL["at"], resume=False):
        group.run()
    return group


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainConfig], RunFolder]:
    """The run of one process."""
    root = tmp_path_factory.mktemp("alone")
    done: dict[TrainConfig, RunFolder] = {}

    def run(config: TrainConfig) -> RunFolder:
        if config not in done:
            done[config] = train(config, root / str(len(done)))
        return done[config]

    return run


def stop_at(step: int) -> Callable[[], bool]:
    calls = iter(range(1, 1000))
    return lambda: next(calls) == step


def distance(found: Path, wanted: Path) -> float:
    a, b = load_file(found), load_file(wanted)
    assert a.keys() == b.keys()
    return max((a[key].double() - b[key].double()).abs().max().item() for key in b)


def assert_equal_runs(found: RunFolder, wanted: RunFolder, atol: float) -> None:
    assert distance(found.last, wanted.last) <= atol
    assert distance(found.best, wanted.best) <= atol
    results = [json.loads(folder.result.read_text()) for folder in (found, wanted)]
    assert results[0]["best_epoch"] == results[1]["best_epoch"]
    lines = [read_metrics(folder.metrics) for folder in (found, wanted)]
    assert len(lines[0]) == len(lines[1])
    for a, b in zip(*lines, strict=True):
        assert a.pop("kind") == b.pop("kind")
        assert a == pytest.approx(b, rel=1e-6, abs=1e-7)  # IGR's maps are float32, as the images


@pytest.mark.parametrize("name", EQUAL)
def test_weights_are_those_of_one_process(name: str, group: Group, alone: Callable[[TrainConfig], RunFolder]) -> None:
    assert_equal_runs(RunFolder(group.root / f"equal-{name}"), alone(EQUAL[name]), atol=1e-12)
    (first, second), *_ = group.both(f"equal-{name}")
    assert first == second, "every process sees the losses of the global batch"


@pytest.mark.parametrize("name", ONE_STEP)
def test_gradient_of_one_step(name: str, group: Group, alone: Callable[[TrainConfig], RunFolder]) -> None:
    """With SGD and rate 1 the weights after one step are those before less the gradient."""
    assert distance(group.root / f"step-{name}" / "last.safetensors", alone(ONE_STEP[name]).last) <= 1e-14


@pytest.mark.parametrize("name", OTHER)
def test_both_processes_have_one_network(name: str, group: Group, alone: Callable[[TrainConfig], RunFolder]) -> None:
    """Random numbers are each process's own, and yet losses, weights and statistics agree between the two."""
    ((first, second),) = group.both(f"other-{name}")
    assert first == second
    folder = RunFolder(group.root / f"other-{name}")
    assert folder.finished
    assert distance(folder.last, alone(OTHER[name]).last) > 1e-6
    shown = read_metrics(folder.metrics)[-1]
    assert {key: shown[key] for key in first["validation"]} == first["validation"]


def test_validation_is_that_of_one_process(group: Group) -> None:
    validation = runpy.run_path(str(HERE / "on_processes.py"))["validation"]
    assert group.validation == [validation()] * 2


def test_refusals_reach_all_processes(group: Group) -> None:
    for out, message in (
        ("equal-at", "holds a finished run"),
        ("locked", "in use by another holdfast process"),
        *((name, message) for name, (_, message) in TOO_SMALL.items()),
        ("wild", "the loss is not finite at step"),
    ):
        first, second = group.both(out)[-1]
        assert re.search(message, first["error"]), first
        assert first == second


def test_nan_in_one_process_stops_all_and_spoils_nothing(
    group: Group, alone: Callable[[TrainConfig], RunFolder]
) -> None:
    ((first, second),) = group.both("spoilt")
    assert first == second
    assert "not finite at step 5 of 6 (loss = nan, ce = " in first["error"]
    spoilt = RunFolder(group.root / "spoilt")
    assert [p.name for p in spoilt.checkpoints.iterdir()] == ["step-000000003"]
    assert_equal_runs(train(EQUAL["at"], spoilt.path, resume=True), alone(EQUAL["at"]), atol=1e-12)


def test_stopped_by_one_process_and_resumed_by_a_single_one(
    group: Group, alone: Callable[[TrainConfig], RunFolder]
) -> None:
    ((first, second),) = group.both("stopped")
    assert first["steps"] == second["steps"] == 4
    stopped = RunFolder(group.root / "stopped")
    assert not stopped.finished
    assert_equal_runs(train(EQUAL["at"], stopped.path, resume=True), alone(EQUAL["at"]), atol=1e-12)


def test_a_run_of_one_process_resumed_by_two(group: Group, alone: Callable[[TrainConfig], RunFolder]) -> None:
    ((first, _),) = group.both("from-one")
    assert len(first["losses"]) == 4 + 2, "4 of the 6 steps, and a report an epoch"
    assert_equal_runs(RunFolder(group.root / "from-one"), alone(EQUAL["at"]), atol=1e-12)


def workers(agent: int) -> dict[int, int]:
    """Process ids of the processes that torchrun ``agent`` started, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, StopIteration):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == agent:
                variables = (entry / "environ").read_bytes().split(b"\0")
                found[int(next(v for v in variables if v.startswith(b"RANK="))[5:])] = int(entry.name)
    return found


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end, whatever happens."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.mark.slow
def test_a_killed_process_ends_all_and_one_process_resumes(
    tmp_path: Path, started: list[subprocess.Popen[str]], alone: Callable[[TrainConfig], RunFolder]
) -> None:
    line = (
        f"train digits-at-igr --device cpu --model {PLAIN} --data.train-size 45 --objective.base.attack.steps 2 "
        "--objective.base.attack.no-random-start --objective.attribution.n-steps 2 --objective.share 1 "
        "--optim.name sgd --optim.lr 0.02 --optim.epochs 80 --optim.batch-size 20 --val-size 20 --out run"
    )
    started.append(
        subprocess.Popen(
            [*TORCHRUN, "-m", "holdfast", *line.split()],
            cwd=tmp_path, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
    )  # fmt: skip
    folder, end = RunFolder(tmp_path / "run"), time.monotonic() + PATIENCE
    while not list(folder.checkpoints.glob("step-*")):
        assert started[0].poll() is None, started[0].communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    os.kill(workers(started[0].pid)[1], signal.SIGKILL)
    _, shown = started[0].communicate(timeout=PATIENCE)
    assert started[0].returncode != 0
    assert "SIGKILL" in shown
    assert not folder.finished
    assert read_metrics(folder.metrics)
    config = load_config(folder.config)
    assert_equal_runs(train(config, folder.path, resume=True), alone(config), atol=1e-9)
