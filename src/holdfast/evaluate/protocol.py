"""What an evaluation is: which images, which attacks on predictions, attributions x attacks x metrics."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import torch

from holdfast.attacks import Attack
from holdfast.attribution import External
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError
from holdfast.metrics import Metric
from holdfast.metrics.rank import check_k
from holdfast.part_json import class_name, from_json, non_default, to_plain
from holdfast.parts import Part, find
from holdfast.validate import check_count, check_values

P = TypeVar("P", bound=Part)
NATURAL = "natural"
"""The name of no attack, in records of predictions."""
OTHER_IMAGE = "other_image"
"""The name of no attack but another image, in records of attributions."""
RESERVED = (NATURAL, "worst", OTHER_IMAGE)


@dataclass(frozen=True)
class Protocol:
    """Everything that decides the numbers of an evaluation.

    The first of ``attacks`` is the one that a table shows; the worst case is over all of them.
    """

    dataset: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, a Hub id owner/name, or a folder."""
    split: str = "test"
    """Which images."""
    n_examples: int | None = None
    """Images for the accuracies (the first ones of the split); None takes all."""
    n_attribution: int = 1000
    """Correctly classified images whose attributions are attacked (the first ones of those)."""
    predictions: Mapping[str, Attack] = field(default_factory=dict)
    """Attacks on predictions by name."""
    attributions: tuple[Attribution, ...] = ()
    """What is attacked and scored, in float32 on the network itself."""
    attacks: Mapping[str, Attack] = field(default_factory=dict)
    """Attacks on attributions by name."""
    metrics: tuple[Metric, ...] = ()
    """The columns of the records."""
    batch_size: int = 100
    """Images attacked at once, and in one file of the records; no number depends on it but by rounding."""
    seed: int = 0
    """Seed of the random starts."""

    def check(self, n_images: int, shape: tuple[int, ...]) -> None:
        """Raise HoldfastError where images of ``shape`` (without the batch) cannot be evaluated so."""
        for name in ("batch_size", "n_attribution"):
            check_count(name, getattr(self, name))
        if self.n_examples is not None and not 1 <= self.n_examples <= n_images:
            raise HoldfastError(
                f"n_examples is {self.n_examples}; the {self.split} split of {self.dataset} has {n_images} images."
            )
        for name in [*self.predictions, *self.attacks]:
            if name in RESERVED or not name:
                raise HoldfastError(f"an attack is called {name!r}, which records use themselves; rename it.")
        _refuse_twins("metrics have the key", [m.key for m in self.metrics])
        _refuse_twins("attributions are", [name_of(a) for a in self.attributions])
        maps = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
        for metric in self.metrics:
            metric.check(shape)
            check_values(name_of(metric), metric(*maps), 3)
        for name, attack in self.attacks.items():
            if not attacks_attributions(attack):
                raise HoldfastError(
                    f"attack {name!r} takes no attribution, so it attacks predictions; give it among predictions."
                )
            if isinstance(getattr(attack, "k", None), int):
                _check_k(name, attack.k, shape)  # type: ignore[attr-defined]


def usual_settings(protocol: Protocol) -> dict[str, Any]:
    """The radius and k of the first attack, for parts that are named without their own.

    >>> from holdfast import IFIA
    >>> usual_settings(Protocol(attacks={"ifia": IFIA(eps=0.1, k=8)}))
    {'eps': 0.1, 'k': 8}
    """
    main = next(iter(protocol.attacks.values()), None)
    return {name: getattr(main, name) for name in ("eps", "k") if hasattr(main, name)}


def _check_k(name: str, k: int, shape: tuple[int, ...]) -> None:
    try:
        check_k(k, prod(shape))
    except HoldfastError as error:
        raise HoldfastError(f"attack {name!r}: {error}") from None


def _refuse_twins(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise HoldfastError(f"two {what} {name}; leave one out, or give them different settings.")


def read_protocol(folder: Path) -> Protocol:
    """The protocol of the records in a folder.

    Raises:
        HoldfastError: there is none, or it is damaged.
    """
    path = folder / "protocol.json"
    if not path.is_file():
        raise HoldfastError(f"{path} does not exist; give a folder that holdfast evaluate wrote.")
    return from_json(Protocol, path.read_bytes(), str(path))


def attacks_attributions(attack: Attack) -> bool:
    """Whether an attack is run on an attribution (``run(..., attribution=...)``) rather than on predictions."""
    return "attribution" in inspect.signature(attack.run).parameters


def name_of(part: Part) -> str:
    """A part by its class and what differs from the defaults; without the file that it is from.

    >>> from holdfast import PGD, TopK
    >>> name_of(TopK()), name_of(PGD(eps=0.3, steps=40))
    ('TopK', 'PGD(eps=0.3, steps=40)')
    """
    return _written(non_default(part, class_name))


def _written(plain: Any) -> str:
    if isinstance(plain, dict) and "part" in plain:
        own = ", ".join(f"{k}={_written(v)}" for k, v in plain.items() if k != "part")
        name = str(plain["part"]).rpartition(":")[2]
        return f"{name}({own})" if own else name
    return json.dumps(plain) if isinstance(plain, dict | list) else repr(plain)


def part_named(kind: type[P], text: str, usual: Mapping[str, Any] | None = None) -> P:
    """A part from ``Name``, ``Name(field=value)``, ``module:Class`` or ``file.py:Class(field=value)``.

    ``usual`` holds values for those of its fields that the text does not give.

    Raises:
        HoldfastError: no such part, or no such settings of it.

    >>> from holdfast.metrics import Metric
    >>> part_named(Metric, "top-k(k=8)")
    TopK(magnitude=True, k=8)
    """
    spec, bracket, arguments = text.partition("(")
    cls = find(kind, spec.strip())
    plain: dict[str, Any] = {}
    if bracket:
        try:
            call = ast.parse(f"f({arguments}", mode="eval").body
            assert isinstance(call, ast.Call)
            assert not call.args
            plain = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        except (SyntaxError, ValueError, AssertionError):
            raise HoldfastError(
                f"{kind.kind} {text!r} cannot be read; write it like {spec}(field=1, other='text')."
            ) from None
    own = {f.name for f in fields(cls)}
    plain = {**{k: v for k, v in (usual or {}).items() if k in own}, **plain}
    try:
        return cls(**plain)
    except TypeError as error:
        raise HoldfastError(f"{kind.kind} {text!r}: {error}.") from None


def by_name(
    kind: type[P], parts: Mapping[str, P | str] | Iterable[P | str] | P | str, usual: Mapping[str, Any] | None = None
) -> dict[str, P]:
    """Parts by their names; those that are text are looked up, and the nameless are called as the text or class.

    Args:
        usual: values of fields (the radius, k) that text does not give.
    """
    if isinstance(parts, str | Part):
        parts = [parts]
    given = list(parts.values() if isinstance(parts, Mapping) else parts)
    made = [part_named(kind, p, usual or {}) if isinstance(p, str) else p for p in given]
    for part in made:
        if not isinstance(part, kind):
            raise _no_part(kind, part)
    if isinstance(parts, Mapping):
        return dict(zip(parts, made, strict=True))
    names = [p.rpartition(":")[2] if isinstance(p, str) else name_of(p) for p in given]
    _refuse_twins(f"{kind.kind}s are called", names)
    return dict(zip(names, made, strict=True))


def _no_part(kind: type[Part], given: object) -> HoldfastError:
    remedy = f"give parts of holdfast.{kind.__name__}, or their names."
    if isinstance(given, type) and issubclass(given, kind):
        remedy = f"give one of them, as {given.__name__}()."
    elif callable(given) and issubclass(External, kind):
        remedy = "wrap a function or explainer in holdfast.External(...)."
    return HoldfastError(f"{given!r} is no {kind.kind}; {remedy}")


def protocol_differences(old: Protocol, new: Protocol, *, shared: bool = False) -> list[str]:
    """Settings in which two protocols differ, as ``name: old -> new``.

    ``shared`` leaves out what only one of them has (one more attack, attribution or metric), which changes no number
    of the other.
    """
    before, after = (leaves(_named(p, shared)) for p in (old, new))
    if shared:
        before, after = _in_common(before, after), _in_common(after, before)
    names = [*before, *(n for n in after if n not in before)]
    return [f"{n}: {before.get(n)} -> {after.get(n)}" for n in names if before.get(n) != after.get(n)]


def _named(protocol: Protocol, shared: bool) -> dict[str, Any]:
    plain = to_plain(protocol)
    plain["attributions"] = {name_of(a): True for a in protocol.attributions}
    plain["metrics"] = {} if shared else {m.key: p for m, p in zip(protocol.metrics, plain["metrics"], strict=True)}
    return plain


def _in_common(leaves: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Without the settings of attacks and attributions that the other has none of."""
    there = {_entry(name) for name in others}
    return {name: leaf for name, leaf in leaves.items() if "." not in name or _entry(name) in there}


def _entry(name: str) -> tuple[str, ...]:
    return tuple(name.split(".", 2)[:2])


def leaves(plain: Any, prefix: str = "") -> dict[str, Any]:
    """Every value of nested dictionaries and lists by its dotted name.

    >>> leaves({"attack": {"eps": 0.1}, "seeds": [3, 5]})
    {'attack.eps': 0.1, 'seeds.0': 3, 'seeds.1': 5}
    """
    inner = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else None
    if inner is None:
        return {prefix.rstrip("."): plain}
    return {name: leaf for key, value in inner for name, leaf in leaves(value, f"{prefix}{key}.").items()}
