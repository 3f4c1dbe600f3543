"""What an evaluation found, of a finished run or of anybody's model, in the form that is stored and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.evaluate.protocol import Protocol, name_of
from holdfast.evaluate.result import EvaluationResult
from holdfast.evaluate.standard import EvalConfig, config_of
from holdfast.evaluate.summary import Names, shown
from holdfast.recipes import data_of, split_name, title
from holdfast.results.wide import Record, Records, long_of
from holdfast.train.config import TrainConfig


@dataclass(frozen=True, eq=False)
class RunResult:
    """An evaluated model: a finished run, or anybody's.

    ``records`` may be given as one row per image by kind (see `holdfast.results.wide`); ``log`` is the training log,
    one entry a line of its ``metrics.jsonl``; ``training`` its ``result.json`` (seconds, device, best epoch).
    """

    protocol: Protocol
    summary: Mapping[str, Any]
    records: Records | Mapping[str, Sequence[Record]]
    settings: TrainConfig | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[Mapping[str, Any]] = ()
    subject: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    """What a model without training settings is called."""

    def __post_init__(self) -> None:
        if not isinstance(self.records, Records):
            object.__setattr__(self, "records", long_of(self.records, self.protocol))

    @property
    def train(self) -> TrainConfig:
        """The training settings.

        Raises:
            HoldfastError: the model was not trained here.
        """
        if self.settings is None:
            raise HoldfastError(f"{self.name} is a model that was not trained here, so it has no training settings.")
        return self.settings

    @property
    def evaluation(self) -> EvalConfig:
        """The numbers that define the paper's protocol; raises HoldfastError for another protocol."""
        return config_of(self.protocol)

    @cached_property
    def dataset(self) -> str:
        """What its rows are grouped by: the setup of its recipe ("fashion_mnist_01"), or else its data set."""
        if self.settings is None:
            return self.protocol.dataset
        named = split_name(self.settings.recipe)[0]
        own = self.settings.data.name
        return named if data_of(named) == own else own

    @cached_property
    def method(self) -> str:
        """The recipe's name without its data set, for example "trades-igr"; the name of a model without a recipe."""
        return self.label if self.settings is None else self.settings.recipe.removeprefix(f"{self.dataset}-")

    @property
    def title(self) -> str:
        """The method as the paper writes it, for example "TRADES+IGR"."""
        return title(self.method)

    @property
    def seed(self) -> int:
        return 0 if self.settings is None else self.settings.seed

    @property
    def profile(self) -> str | None:
        """The profile that it was trained under."""
        return None if self.settings is None else self.settings.profile

    @property
    def name(self) -> str:
        """The stem of its files: ``dataset-method-seed`` of a run."""
        return self.label if self.settings is None else f"{self.settings.recipe}-{self.seed}"

    @property
    def explanations(self) -> tuple[str, ...]:
        """The attributions that were attacked, by the names that the records have."""
        return tuple(map(name_of, self.protocol.attributions))

    def explained_by(self, explanation: str) -> RunResult:
        """The same with the records of one attribution alone; its ``summary`` stays that of all."""
        assert isinstance(self.records, Records)
        chosen = tuple(a for a in self.protocol.attributions if name_of(a) == explanation)
        return replace(
            self, protocol=replace(self.protocol, attributions=chosen), records=self.records.explained_by(explanation)
        )

    def column(self, name: str, kind: str = "attribution") -> list[Any]:
        """One quantity of every image, in their order, by its short name ("kendall", "random_topk")."""
        return [row[name] for row in self.records[kind]]


def result_of(evaluated: EvaluationResult, label: str | None = None) -> RunResult:
    """What `holdfast.evaluate` gave back, as a result that can be stored."""
    return RunResult(
        protocol=evaluated.protocol,
        summary=evaluated.summary.to_dict(),
        records=Records(evaluated.table_of_records),
        subject=evaluated.subject,
        environment=evaluated.environment,
        label=label or evaluated.name,
    )


def means(result: RunResult) -> dict[str, float]:
    """The mean of each quantity by its short name, made from the records alone."""
    assert isinstance(result.records, Records)
    frame = result.records.frame
    names = Names(frame)
    return {names.of(q): fmean(q.values.tolist()) for q in shown(frame, result.protocol.metrics)}
