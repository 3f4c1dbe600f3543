"""Which runs a sweep is made of: methods x data sets x seeds under one profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.data.catalogue import KNOWN, canonical_name
from holdfast.errors import HoldfastError, unknown_name
from holdfast.evaluate import protocol_cost, protocol_of
from holdfast.evaluate.standard import EvalConfig
from holdfast.part_json import config_hash
from holdfast.recipes import (
    METHODS,
    PROFILES,
    SETUPS,
    TABLE2,
    TABLE3,
    evaluation,
    method_recipe,
)
from holdfast.sealed import parsed
from holdfast.train.config import TrainConfig
from holdfast.train.validation import training_cost

PLANS: dict[str, tuple[str, ...]] = {
    "core": TABLE3,
    "rivals": ("ig-norm", "ig-sum-norm", "advaat", "art", "ssr", "lga", "r2et"),
    "table2": tuple(TABLE2),
    "table3": TABLE3,
    "variants": ("standard-igr", "at-igr-own", "trades-printed", "trades-printed-igr"),
    "all": tuple(METHODS),
}
"""The methods of each named plan. core: what the paper adds IGR to, with and without it."""

DATASETS = {"smoke": ("digits",)}
"""Data sets of a named plan where they are not the paper's three."""
PAPER_DATASETS = ("mnist", "fashion_mnist", "cifar10")
EXAMPLE = '{"methods": ["at", "at-igr"], "datasets": ["mnist"], "seeds": [0, 1, 2], "profile": "laptop"}'


@dataclass(frozen=True)
class Run:
    """One training run and its evaluation.

    >>> run = Plan(("at",), ("digits",), (0,), "smoke").runs()[0]
    >>> run.title, len(run.name), run.evaluation_name[:5]
    ('digits-at seed 0', 12, 'eval-')
    """

    train: TrainConfig
    evaluation: EvalConfig

    @property
    def name(self) -> str:
        """Folder of the training run in the folder of the sweep."""
        return config_hash(self.train)

    @property
    def evaluation_name(self) -> str:
        """Folder of the records in the folder of the run."""
        return f"eval-{config_hash(self.evaluation)}"

    @property
    def title(self) -> str:
        return f"{self.train.recipe} seed {self.train.seed}"

    @property
    def cost(self) -> int | None:
        """Forward passes of training and evaluation; None for a data set whose size is not known in advance."""
        known = KNOWN.get(canonical_name(self.train.data.name))
        if known is None:
            return None
        images = self.train.data.train_size or known.train
        shown = (
            self.evaluation.n_examples
            or {"train": known.train, "val": known.val, "test": known.test}[self.evaluation.split]
        )
        prediction, *attributions = protocol_cost(protocol_of(self.evaluation))
        training = training_cost(self.train, images)
        return int(training + prediction * shown + sum(attributions) * min(self.evaluation.n_attribution, shown))


@dataclass(frozen=True)
class Plan:
    """Every method on every data set with every seed, under one profile; stored as JSON.

    Raises:
        HoldfastError: nothing to run, or an unknown method, data set or profile, with the nearest names.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    profile: str = "paper"

    def __post_init__(self) -> None:
        for what in ("methods", "datasets", "seeds"):
            if not getattr(self, what):
                raise HoldfastError(f"the plan has no {what}; give at least one with --{what}.")
        for method in self.methods:
            if method not in METHODS:
                raise unknown_name("method", method, METHODS, "List them with: holdfast recipes.")
        for dataset in self.datasets:
            if (
                dataset not in SETUPS
                and canonical_name(dataset) not in KNOWN
                and "/" not in dataset
                and not Path(dataset).is_dir()
            ):
                remedy = "A Hub id 'owner/name' or the path of a folder works too."
                raise unknown_name("data set", dataset, SETUPS, remedy)
        if self.profile not in PROFILES:
            raise unknown_name("profile", self.profile, PROFILES)

    def runs(self) -> list[Run]:
        """Each run once; the tables of the first seed come first, so that a stopped sweep leaves whole ones."""
        found: dict[Run, None] = {}
        for seed in self.seeds:
            for dataset in self.datasets:
                for method in self.methods:
                    train = method_recipe(dataset, method, self.profile, seed)
                    found[Run(train, evaluation(dataset, self.profile))] = None
        return list(found)


def load_plan(
    spec: str,
    *,
    profile: str | None = None,
    datasets: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> Plan:
    """A plan by its name, or from a JSON file; what is given beside it takes the place of the plan's own.

    A named plan has seed 0, the profile paper and the paper's data sets, as far as the profile has recipes
    for them (smoke: the digits).

    Raises:
        HoldfastError: an unknown name, a file that is missing or no plan, or what `Plan` raises.

    >>> len(load_plan("table3").runs()), len(load_plan("core", profile="smoke", seeds=[0, 1, 2]).runs())
    (18, 18)
    """
    if spec in PLANS:
        name = "paper" if profile is None else profile
        plan = Plan(PLANS[spec], DATASETS.get(name, PAPER_DATASETS), profile=name)
    elif spec.endswith(".json"):
        plan = _read(Path(spec))
    else:
        raise unknown_name("plan", spec, PLANS, "A JSON file of your own works too.")
    given = {
        "profile": profile,
        "datasets": None if datasets is None else tuple(datasets),
        "methods": None if methods is None else tuple(methods),
        "seeds": None if seeds is None else tuple(seeds),
    }
    return replace(plan, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _read(path: Path) -> Plan:
    from pydantic import TypeAdapter, ValidationError

    if not path.is_file():
        raise HoldfastError(f"plan {path} does not exist; give a JSON file, or one of {', '.join(PLANS)}.")
    try:
        return TypeAdapter(Plan).validate_python(parsed(path.read_bytes()))
    except OSError as error:
        raise HoldfastError(f"{path} cannot be read ({error.strerror}); make it readable.") from None
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(cause := first.get("ctx", {}).get("error"), HoldfastError):
            raise cause from None
        place = ".".join(str(p) for p in first["loc"]) or "the file"
        raise HoldfastError(f"{path} is not a plan: {place}: {first['msg']}; write it like {EXAMPLE}.") from None
    except ValueError as error:
        raise HoldfastError(f"{path} is not a plan: {error}; write it like {EXAMPLE}.") from None
