"""The example on synthetic chest-like images runs from drawing to comparison."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "synthetic_chest.py"


@pytest.mark.slow
def test_the_example_draws_trains_audits_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    spec = importlib.util.spec_from_file_location("synthetic_chest", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    clear, ill = (example.chest(np.random.default_rng(0), bool(i)) for i in (0, 1))
    assert ill.mean() > clear.mean()
    found = example.main(tmp_path / "out", train_images=40, audited=2, epochs=1)
    assert found.names == ("chest-standard", "chest-igr")
    assert (tmp_path / "out" / "compare" / "report.html").is_file()
