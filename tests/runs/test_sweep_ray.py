"""A sweep on Ray: the files of a serial one, whatever becomes of its workers; and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from holdfast import HoldfastError
from holdfast.recipes.profiles import PROFILES
from holdfast.sweep import load_plan
from holdfast.sweep.drive import sweep_here, sweep_on_ray
from holdfast.sweep.ray import Share, share_of

TINY = Path(__file__).with_name("sweep_tiny.py")
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is absent: holdfast[ray]")
PLAN = load_plan("all", profile="smoke", methods=["standard", "at"])


@pytest.fixture(autouse=True)
def _tiny_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", runpy.run_path(str(TINY))["tiny"])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@needs_ray
@pytest.mark.slow
def test_workers_that_die_go_on_and_change_nothing(tmp_path: Path) -> None:
    """Each of the two runs loses its worker once, while it holds its folder; Ray starts it again."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    command = [sys.executable, str(TINY), "--die", "ray", str(tmp_path), "training", "evaluation"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines() if "(raylet)" not in line]
    assert lines == ["digits-at seed 0 finished", "digits-standard seed 0 finished", "2 died"] * 2
    assert [outcome.status for outcome in sweep_here(PLAN, tmp_path / "serial")] == ["finished"] * 2
    wanted = contents(tmp_path / "serial")
    assert sum("records" in name for name in wanted) == 2 * (3 + 1 + 1)
    for kind in ("training", "evaluation"):
        assert contents(tmp_path / kind) == wanted
        for run in PLAN.runs():
            a, b = (load_file(tmp_path / root / run.name / "last.safetensors") for root in (kind, "serial"))
            assert all(torch.equal(a[name], b[name]) for name in b)


def contents(folder: Path) -> dict[str, bytes]:
    found = [p for p in folder.rglob("*.json*") if not p.name.startswith(".") and p.name != "result.json"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


@needs_ray
@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    """Two at once on a Ray of its own; a finished sweep does not even start it."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path), "COLUMNS": "200"}
    options = ["--profile", "smoke", "--methods", "standard,at", "--out", "out", "--device", "cpu"]
    command = [sys.executable, str(TINY), "sweep", "core", *options, "--executor", "ray", "--jobs", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("2 finished")
    again = subprocess.run(
        [*command, "--address", "127.0.0.1:1"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1].startswith("0 finished, 2 skipped")


def test_ray_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HoldfastError, match=r"pip install 'holdfast\[ray\]', or use --executor serial"):
        next(sweep_on_ray(PLAN, tmp_path / "root"))
    assert not (tmp_path / "root").exists()


@needs_ray
@pytest.mark.parametrize("how", ["option", "RAY_ADDRESS"])
@pytest.mark.parametrize("kind", ["{}", "ray://{}"])
def test_nothing_answers(how: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and without falling back to this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"127.0.0.1:{server.getsockname()[1]}"
    address = kind.format(free)
    if how == "RAY_ADDRESS":
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(HoldfastError, match=f"the Ray at {address} cannot be used .*refused.* drop --address"):
        next(sweep_on_ray(PLAN, tmp_path / "root", address=address if how == "option" else None))
    assert not (tmp_path / "root").exists()


@needs_ray
@pytest.mark.parametrize("address", ["auto", "somewhere"])
def test_addresses_without_a_port(address: str, tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match=f"the Ray at {address} cannot be used"):
        next(sweep_on_ray(PLAN, tmp_path / "root", address=address))


def ray_with(*machines: dict[str, float]) -> SimpleNamespace:
    nodes = [{"Alive": True, "Resources": machine} for machine in machines]
    return SimpleNamespace(nodes=lambda: [*nodes, {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 99.0}}])


TWO = ray_with({"CPU": 16.0}, {"CPU": 8.0})
GPUS = ray_with({"CPU": 32.0, "GPU": 4.0}, {"CPU": 4.0})


def test_how_machines_are_shared_out() -> None:
    assert share_of(TWO) == Share(1.0, 0.0, 24)
    assert share_of(TWO, jobs=5) == Share(4.0, 0.0, 5)
    assert share_of(TWO, jobs=1) == Share(16.0, 0.0, 1), "no machine has all cores"
    assert share_of(TWO, jobs=48) == Share(0.5, 0.0, 48)
    assert share_of(GPUS) == Share(9.0, 1.0, 4)
    assert share_of(GPUS, gpus_per_run=0.5) == Share(4.0, 0.5, 8)
    assert share_of(GPUS, gpus_per_run=0.5, jobs=2) == Share(18.0, 0.5, 2)
    assert share_of(GPUS, device="cpu") == Share(1.0, 0.0, 36)


def test_what_no_machine_has() -> None:
    with pytest.raises(HoldfastError, match=r"Ray has no GPU; .* --device cpu"):
        share_of(TWO, device="cuda")
    with pytest.raises(HoldfastError, match="--gpus-per-run is 5, but no machine of Ray has more than 4"):
        share_of(GPUS, gpus_per_run=5)
