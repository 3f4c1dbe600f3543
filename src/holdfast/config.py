"""What a run is: frozen dataclasses, stored with the run and read back strictly. No torch here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from holdfast.errors import HoldfastError

Method = Literal["riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid", "gausslegendre"]
Precision = Literal["float32", "tfloat32", "bfloat16"]
IFIAObjective = Literal["topk", "kendall", "mass_center", "random"]
ObjectiveName = Literal[
    "standard", "at", "trades", "trades-printed", "mart",
    "ig-norm", "ig-sum-norm", "advaat", "art", "ssr", "lga", "r2et",
]  # fmt: skip
T = TypeVar("T")


class _Strict:
    """Makes pydantic refuse fields it does not know."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012


@dataclass(frozen=True)
class DataConfig(_Strict):
    """Which images."""

    name: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, a Hub id owner/name, or a folder."""
    train_size: int | None = None
    """Use only so many training images (the first ones); None uses all."""
    augment: Literal["none", "crop_flip"] = "none"
    """crop_flip: random crop with 4 pixels of padding and horizontal flip."""


@dataclass(frozen=True)
class AttackConfig(_Strict):
    """The inner attack of adversarial training; Linf, pixels in [0, 1]."""

    eps: float = 0.1
    """Radius of the ball."""
    alpha: float = 0.025
    """Step size."""
    steps: int = 10
    """Number of steps."""


@dataclass(frozen=True)
class ObjectiveConfig(_Strict):
    """The objective, before IGR is added to it (paper, Table 1 and section 6)."""

    name: ObjectiveName = "trades"
    """Which method."""
    beta: float = 6.0
    """Weight of the divergence in TRADES and MART."""
    lam: float = 1.0
    """Weight of a rival's own attribution term."""
    n_steps: int = 10
    """Path points of a rival's attribution term."""
    attack_n_steps: int = 5
    """Path points inside a rival's attack."""
    surrogate_beta: float = 50.0
    """Sharpness of the softplus twin in ART and in the attack of AdvAAT."""
    k: int = 100
    """Features that ART's attack looks at, and that R2ET ranks."""


@dataclass(frozen=True)
class IGRConfig(_Strict):
    """The integrated gradients regulariser (paper, Eq. 3); lam = 0 leaves it out."""

    lam: float = 0.0
    """Weight, the paper's lambda."""
    n_steps: int = 10
    """Points of the path integral in training."""
    method: Method = "riemann_right"
    """Quadrature rule; the paper's Eq. 4 is riemann_right."""
    internal_batch_size: int | None = None
    """Path points in memory at once; None takes as many as run fastest."""
    adversary: Literal["base", "own"] = "base"
    """The images compared with: the base objective's (as the paper's experiments), or its own (Eq. 5)."""


@dataclass(frozen=True)
class OptimConfig(_Strict):
    """Optimiser and schedule."""

    name: Literal["adam", "sgd"] = "adam"
    """Optimiser."""
    lr: float = 1e-4
    """Learning rate at the start (the peak with onecycle)."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 0.0
    """L2 penalty."""
    epochs: int = 90
    """Passes over the training images."""
    batch_size: int = 128
    """Images a step, over all processes."""
    schedule: Literal["constant", "multistep", "onecycle"] = "constant"
    """Learning-rate schedule."""
    milestones: tuple[int, ...] = ()
    """multistep: epochs (from 1) at whose start the rate is multiplied by gamma."""
    gamma: float = 0.1
    """multistep: the factor."""


@dataclass(frozen=True)
class TrainConfig(_Strict):
    """Everything that decides the result of a training run."""

    recipe: str = "custom"
    """Name of the recipe this came from."""
    profile: str = "paper"
    """Profile of that recipe: smoke, laptop, fast or paper."""
    data: DataConfig = DataConfig()
    model: str = "small_cnn"
    """small_cnn, resnet18, module:factory or file.py:factory."""
    objective: ObjectiveConfig = ObjectiveConfig()
    attack: AttackConfig = AttackConfig()
    igr: IGRConfig = IGRConfig()
    optim: OptimConfig = OptimConfig()
    precision: Precision = "float32"
    """Of the training pass: tfloat32 (CUDA) rounds products, bfloat16 is autocast; all else stays float32."""
    val_size: int = 1000
    """Held-out images that choose the best checkpoint after each epoch."""
    seed: int = 0
    """Seed of the initial weights, the order of images, the attacks and dropout."""


@dataclass(frozen=True)
class IFIAConfig(_Strict):
    """The attribution attack."""

    eps: float = 0.1
    """Radius, Linf, pixels in [0, 1]."""
    alpha: float = 0.01
    """Step size."""
    steps: int = 200
    """Number of steps."""
    k: int = 100
    """Size of the top-k set, in the attack and in the metric."""
    objective: IFIAObjective = "topk"
    """What the attack drives."""
    n_steps: int = 20
    """Points of the path integral inside the attack."""
    surrogate_beta: float | None = 30.0
    """Sharpness of the softplus twin that gives the attack its gradient."""
    restarts: int = 1
    """Independent runs, of which the strongest counts; runs after the first need random_start."""
    random_start: bool = False
    """Start from a random point of the ball."""


@dataclass(frozen=True)
class EvalConfig(_Strict):
    """Everything that decides the numbers of an evaluation."""

    dataset: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, a Hub id owner/name, or a folder."""
    split: Literal["train", "val", "test"] = "test"
    """Which images."""
    n_examples: int | None = None
    """Images for the accuracies (the first ones of the split); None takes all."""
    n_attribution: int = 1000
    """Correctly classified images whose attributions are attacked (the first ones of those)."""
    eps: float = 0.1
    """Radius of the attacks on the prediction, Linf, pixels in [0, 1]."""
    pgd_alpha: float = 0.01
    """Step size of PGD-20, PGD-40 and CW."""
    cw_steps: int = 30
    """Steps of the CW attack."""
    ifia: IFIAConfig = IFIAConfig()
    score_n_steps: int = 50
    """Midpoint steps of the attributions that are scored."""
    random_draws: int = 10
    """Random sign perturbations in the control that an attack has to beat."""
    batch_size: int = 100
    """Images attacked at once; part of the settings because it seeds the random starts."""
    seed: int = 0
    """Seed of the random starts."""


def to_json(config: Any) -> str:
    """A configuration as indented JSON."""
    return json.dumps(asdict(config), indent=2) + "\n"


def from_json(kind: type[T], text: str | bytes, where: str) -> T:
    """Strictly read a configuration: unknown or misfitting fields are errors that name the field."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "the file"
        raise HoldfastError(
            f"{where} is not a {kind.__name__}: {place}: {first['msg']}; "
            "it was written by another version or edited: restore it, or start a new run."
        ) from None


def load_config(kind: type[T], path: Path) -> T:
    """Read a stored configuration from ``path``."""
    if not path.is_file():
        raise HoldfastError(f"{path} does not exist; give a folder that holdfast train wrote.")
    return from_json(kind, path.read_bytes(), str(path))


def config_hash(config: Any) -> str:
    """Twelve hexadecimal digits that name a configuration, or a dictionary of plain values."""
    plain = config if isinstance(config, dict) else asdict(config)
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Fields in which two configurations of one kind differ, as ``name: old -> new``.

    >>> differences(OptimConfig(lr=0.1), OptimConfig(lr=0.2))
    ['lr: 0.1 -> 0.2']
    """
    found = []
    for field in fields(old):
        a, b = getattr(old, field.name), getattr(new, field.name)
        if is_dataclass(a) and is_dataclass(b):
            found += differences(a, b, f"{prefix}{field.name}.")
        elif a != b:
            found.append(f"{prefix}{field.name}: {a} -> {b}")
    return found
