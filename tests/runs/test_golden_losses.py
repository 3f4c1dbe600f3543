"""Ten steps of every method give the stored numbers; golden_losses.py says how to store new ones."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

HERE = Path(__file__).parent
golden = SimpleNamespace(**runpy.run_path(str(HERE / "golden_losses.py")))
STORED: dict[str, dict[str, list[float]]] = json.loads((HERE / "golden.json").read_text())


def test_every_method_is_stored() -> None:
    assert set(STORED) == set(golden.METHODS)
    assert all(len(values) == golden.STEPS for terms in STORED.values() for values in terms.values())


@pytest.mark.skipif(
    not torch.__version__.startswith(golden.MADE_WITH),
    reason=f"made with torch {golden.MADE_WITH}: others drop other units",
)
@pytest.mark.parametrize("method", golden.METHODS)
def test_ten_steps(method: str) -> None:
    found = golden.losses_of(method)
    assert found.keys() == STORED[method].keys()
    for name, values in found.items():
        assert values == pytest.approx(STORED[method][name], rel=1e-4), name
