"""Results whose every number is made up, and tiny runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from holdfast.evaluate import protocol_of
from holdfast.evaluate.summary import summarise
from holdfast.paper.study import Study
from holdfast.recipes import evaluation, method_recipe
from holdfast.results import RunResult
from holdfast.results.wide import Record, long_of

FEATURES = {"digits": 64, "mnist": 784, "fashion_mnist": 784, "fashion_mnist_01": 784, "cifar10": 3072}
MakeResult = Callable[..., RunResult]
MakeStudy = Callable[..., Study]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)


def _attribution(index: int, values: Mapping[str, float]) -> Record:
    row: Record = {"index": index, "label": 0, "succeeded": True, "best_step": 1, "zero_share": 0.5, **values}
    for name in ("spearman", "cosine", "pearson", "magnitude_cosine", "magnitude_pearson", "activation"):
        row.setdefault(name, 0.5)
    for attack in ("rank", "random"):
        for name in ("topk", "kendall"):
            row.setdefault(f"{attack}_{name}", row[name])
    return row


def _accuracy(index: int, hits: Mapping[str, bool]) -> Record:
    names = ("prediction", "fgsm", "pgd20", "pgd40", "cw_inf")
    return {"index": index, "label": 0, **{name: 0 if hits.get(name, True) else 1 for name in names}}


class MadeWhenAsked(Mapping[str, Any]):
    """A summary that most tests never look at."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self.make = make

    @cached_property
    def made(self) -> dict[str, Any]:
        return self.make()

    def __getitem__(self, key: str) -> Any:
        return self.made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)


def make_result(
    method: str,
    dataset: str = "mnist",
    seed: int = 0,
    *,
    kendall: float | Sequence[float] = 0.5,
    topk: float | Sequence[float] = 0.5,
    images: Sequence[int] = range(40),
    correct: Mapping[str, float] | None = None,
    tested: int = 100,
    profile: str = "laptop",
    **columns: Any,
) -> RunResult:
    """A result with these similarities an image (numbers, or one for each of ``images``).

    ``correct`` maps attacks to the share of ``tested`` images that are classified correctly: the first ones.
    """
    named = {"kendall": kendall, "topk": topk, **columns}
    lists = {name: np.broadcast_to(value, len(images)).tolist() for name, value in named.items()}
    attribution = [_attribution(i, {name: v[n] for name, v in lists.items()}) for n, i in enumerate(images)]
    shares = correct or {}
    accuracy = [_accuracy(i, {name: i < tested * share for name, share in shares.items()}) for i in range(tested)]
    config = replace(evaluation(dataset, profile), auto=None)
    protocol = protocol_of(config)
    records = long_of({"accuracy": accuracy, "attribution": attribution}, protocol)
    return RunResult(
        protocol=protocol,
        summary=MadeWhenAsked(lambda: summarise(records.frame, protocol, FEATURES[dataset]).to_dict()),
        records=records,
        settings=method_recipe(dataset, method, profile, seed),
        training={"seconds": 60.0, "device": "cpu", "torch": "2.13", "steps": 1, "epochs": 1},
    )


@pytest.fixture(scope="session")
def result() -> MakeResult:
    return make_result


@pytest.fixture
def study(tmp_path: Path) -> MakeStudy:
    """A study of results; data sets and seeds are theirs."""

    def make(*results: RunResult, profile: str = "laptop", **changed: Any) -> Study:
        settings = {
            "datasets": tuple(dict.fromkeys(r.dataset for r in results)) or ("mnist",),
            "seeds": tuple(dict.fromkeys(r.seed for r in results)) or (0,),
            "out": tmp_path,
            "runs": tmp_path / "runs",
            **changed,
        }
        return Study(profile=profile, results=results, **settings)

    return make
