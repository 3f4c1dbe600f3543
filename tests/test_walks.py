"""How many functions of the package a reader, or a profiler, meets on the way through one step."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn

import holdfast
from holdfast.attacks import PGD, TPGD, Attack, CWInf

ROOT = str(Path(holdfast.__file__).parent)


def callers(frame: FrameType) -> Iterator[FrameType]:
    above = frame.f_back
    while above is not None:
        yield above
        above = above.f_back


def crossed(net: nn.Module, run: Callable[[], object]) -> Counter[str]:
    """Calls of the package's functions but for the network's own passes and the operators put into them."""
    seen: Counter[str] = Counter()

    def of_the_network(frame: FrameType) -> bool:
        code = frame.f_code
        return code is type(net).forward.__code__ or code.co_name == "backward"

    def note(frame: FrameType, event: str, arg: Any) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(ROOT) or of_the_network(frame):
            return
        if not any(of_the_network(f) or f.f_code.co_filename.endswith("cpu_operators.py") for f in callers(frame)):
            seen[frame.f_code.co_qualname] += 1

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize(
    ("attack", "most"),
    [
        (lambda steps: PGD(0.1, 0.03, steps, random_start=False), 6),
        (lambda steps: PGD(0.1, 0.03, steps, random_start=False, norm="L2"), 8),
        (lambda steps: CWInf(0.1, 0.03, steps, random_start=False), 7),
        (lambda steps: TPGD(0.1, 0.03, steps), 6),
    ],
    ids=["PGD", "PGD L2", "CWInf", "TPGD"],
)
def test_a_step_of_pgd(network: nn.Module, attack: Callable[[int], Attack], most: int) -> None:
    """What two steps cross more than one: gradient, value, step, project, and the seam of the CPU's operators, two."""
    images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    one, two = (crossed(network, lambda n=n: attack(n)(network, images, labels)) for n in (1, 2))
    step = two - one
    assert {"GradientAscent.gradient", "project"} <= set(step)
    assert len(step) <= most, step


def test_the_count_sees_what_is_called(network: nn.Module) -> None:
    images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    seen = crossed(network, lambda: PGD(0.1, 0.03, 3, random_start=False)(network, images, labels))
    assert (seen["GradientAscent.gradient"], seen["step"], seen["Attack.__call__"]) == (3, 3, 1)
