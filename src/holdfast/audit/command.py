"""The command, or the call, that makes an audit again: its settings, and what it was asked of."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from holdfast.attribution import External
from holdfast.attribution.base import Attribution
from holdfast.audit.settings import AuditSettings
from holdfast.errors import HoldfastError
from holdfast.imports import nameless
from holdfast.part_json import nameless_in, to_plain
from holdfast.parts import spec_of


@dataclass(frozen=True)
class Asked:
    """What an audit was asked of, beside its settings; values as `audit` takes them."""

    model: str | None = None
    """None for one given in memory."""
    images: str | None = None
    """Likewise."""
    weights: str | None = None
    checkpoint: str = "last"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    image_size: int | tuple[int, int] | None = None
    strict: bool = False
    data_dir: str | None = None
    device: str = "cpu"


def lines_of(asked: Asked, settings: AuditSettings, folder: Path | None) -> tuple[str, ...]:
    """What makes an audit again: the command, or the call from Python for what the command line cannot name."""
    explanations = [spelled(a) for a in settings.attributions]
    if asked.model is None or asked.images is None or None in explanations:
        return (_call(asked, None if nameless_in(settings) else folder),)
    words = ["holdfast", "audit", asked.model, asked.images]
    for explanation in explanations:
        words += ["--attribution", str(explanation)]
    for eps in settings.eps:
        words += ["--eps", _radius(eps)]
    words += ["--images", str(settings.images), "--k", str(settings.k), "--budget", settings.budget]
    words += ["--certify", str(settings.certify), "--seed", str(settings.seed)]
    usual = AuditSettings()
    if settings.budget != "light" and settings.draws != usual.draws:
        words += ["--draws", str(settings.draws)]
    if settings.samples != usual.samples:
        words += ["--samples", str(settings.samples)]
    words += ["--multi-label"] if settings.multi_label else []
    words += _options(asked)
    words += ["--out", str(folder)] if folder is not None else []
    return (shlex.join(words),)


def spelled(attribution: Attribution) -> str | None:
    """An explanation as ``--attribution`` reads it; None where that holds other parts, or what has no name in a file.

    >>> from holdfast import GradCAM, IntegratedGradients
    >>> spelled(IntegratedGradients(n_steps=10)), spelled(GradCAM()), spelled(External("captum.attr:DeepLift"))
    ('IntegratedGradients(n_steps=10)', 'GradCAM', 'captum.attr:DeepLift')
    """
    if isinstance(attribution, External):
        return None if nameless(spec := to_plain(attribution)["fn"]) else str(spec)
    own = {f.name: getattr(attribution, f.name) for f in fields(attribution)}
    own = {f.name: own[f.name] for f in fields(attribution) if own[f.name] != f.default}
    if not all(_is_literal(value) for value in own.values()):
        return None
    try:
        name = spec_of(type(attribution))
    except HoldfastError:
        return None
    given = ", ".join(f"{name}={value!r}" for name, value in own.items())
    return f"{name}({given})" if given or ":" in name else name


def _is_literal(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, bool | int | float | str)


def _radius(eps: float) -> str:
    """A radius in levels of 255 where few digits say it exactly.

    >>> _radius(2 / 255), _radius(0.5 / 255), _radius(0.0123)
    ('2/255', '0.5/255', '0.0123')
    """
    short = (f"{255 * eps:.{digits}g}" for digits in (1, 2, 3))
    exact = (levels for levels in short if "e" not in levels and float(levels) / 255 == eps)
    found = next(exact, None)
    return repr(eps) if found is None else f"{found}/255"


def _given(asked: Asked) -> Iterator[tuple[str, Any]]:
    """What differs from the defaults of `Asked`, the model, the images and the device aside."""
    for field in fields(asked):
        value = getattr(asked, field.name)
        if field.name not in ("model", "images", "device") and value != field.default:
            yield field.name, value


def _options(asked: Asked) -> list[str]:
    words = []
    for name, value in _given(asked):
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, tuple):
            words += [repr(number) for number in value]
        elif value is not True:
            words.append(str(value))
    return [*words, "--device", asked.device]


def _call(asked: Asked, folder: Path | None) -> str:
    """``hf.audit(...)``; the settings from the folder, which holds them exactly."""
    model = "model" if asked.model is None else repr(asked.model)
    images = "images" if asked.images is None else repr(asked.images)
    settings = "settings" if folder is None else f"hf.audit.load_audit({str(folder)!r}).settings"
    given = "".join(f", {name}={value!r}" for name, value in [*_given(asked), ("device", asked.device)])
    return f"hf.audit({model}, {images}, {settings}{given})"


def asked_from(plain: Any) -> Asked:
    """What ``audit.json`` holds of it, lists as tuples.

    >>> asked_from({"model": "a.py:net", "mean": [0.5]}).mean
    (0.5,)
    """
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in plain.items()}
    return Asked(**values)
