"""Audit a model: image by image, each kept as it is done, so that a run stopped at any moment goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from holdfast.attribution import Saliency
from holdfast.attribution.base import check_target
from holdfast.audit.accuracy import accuracy_of
from holdfast.audit.command import Asked
from holdfast.audit.inputs import images_of, model_of, numbers_of
from holdfast.audit.light import LightAttack
from holdfast.audit.measure import Pictured, flags_of, full_attack, measure
from holdfast.audit.result import AuditResult
from holdfast.audit.settings import AuditSettings, Effort, fitted_settings, reference_of, with_budget
from holdfast.audit.store import Store, is_audit_of
from holdfast.data.image_data import ImageData
from holdfast.data.loader import to_unit_interval
from holdfast.errors import HoldfastError
from holdfast.evaluate.accuracy import predict
from holdfast.evaluate.faithfulness import another_image
from holdfast.evaluate.subject import environment_of, subject_of
from holdfast.files import refuse_if_held
from holdfast.models.find import find_model, fitted
from holdfast.models.libraries import FoundModel
from holdfast.models.resolve import BUILT_IN, seconds_per_pass
from holdfast.models.state import evaluating
from holdfast.validate import pick_device

FLAGGED = 3
"""Images that the self-checks of the attack run on; one with the light budget."""
OnImage = Callable[[int, int], None]


def audit(
    model: str | Path | nn.Module | FoundModel,
    images: str | Path | ImageData | Tensor | np.ndarray | tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any],
    settings: AuditSettings | None = None,
    *,
    out: str | Path | None = None,
    time_limit: float | None = None,
    device: str = "cpu",
    weights: str | None = None,
    checkpoint: Literal["last", "best"] = "last",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    image_size: int | tuple[int, int] | None = None,
    strict: bool = False,
    data_dir: str | None = None,
    on_image: OnImage | None = None,
    on_start: Callable[[float], None] | None = None,
) -> AuditResult:
    """How far the explanations of a model can be moved while its predictions stay.

    For each image and explanation the strongest attack (`AutoIFIA`) and random signs of the same size move the map of
    the model's own prediction at every radius; deletion, insertion, infidelity and a network with its last layer drawn
    anew say whether the map is faithful at all; voted maps come with a guarantee.

    Args:
        model: what `find_model` takes, a module of yours (images in [0, 1] -> logits), or what `find_model` gave.
        images: what `load_dataset` takes, an `ImageData`, a tensor or array (N, C, H, W) in [0, 1] or of uint8, a pair
            of such and labels, or a PyTorch ``Dataset`` or ``DataLoader`` of (image, label).
        settings: which explanations, radii and images.
        out: folder that receives ``report.html``, ``audit.json`` and the records of every image; the same call goes on
            where it stopped. None keeps nothing.
        time_limit: seconds after which no further image is begun. Where the budget asked for would not do all images
            in that time, a weaker one is taken, down to ``"light"``; a stopped audit goes on with the one it had.
        device: where it runs.
        weights, checkpoint, mean, std: as in `find_model`, for a model given by its name.
        image_size, strict, data_dir: as in `load_dataset`; the size that the model asks for by default.
        on_image: told before every image how many are done, of how many.
        on_start: told the estimated seconds.

    Raises:
        HoldfastError: no images, a model that does not take them or returns no logits, a folder of another audit, a
            time limit shorter than one image.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> result = audit(net, torch.rand(2, 1, 8, 8), AuditSettings(eps=(0.05,), images=2, samples=100))
        >>> result.images, sorted(result.to_dict())[:3]
        (2, ['accuracy', 'another_image', 'asked'])
    """
    device = pick_device(device)
    model = str(model) if isinstance(model, Path) else model
    images = str(images) if isinstance(images, Path) else images
    folder = None if out is None else Path(out).expanduser()
    if folder is not None:
        refuse_if_held(folder)
    shaped_by_images = isinstance(model, str) and (model in BUILT_IN or Path(model).is_dir())
    own: dict[str, Any] = {"weights": weights, "checkpoint": checkpoint, "mean": mean, "std": std}
    found = None if shaped_by_images else model_of(model, own)
    held, most = not isinstance(images, str | ImageData), (settings or AuditSettings()).images
    data = images_of(images, found, image_size, strict, data_dir, most)
    if found is None:
        classes = None if held else data.num_classes or None
        found = find_model(str(model), shape=data.shape, num_classes=classes, **own)
    x = to_unit_interval(data.images[:most]).to(device)
    found = fitted(replace(found, model=found.model.to(device)), x[:2])
    if held and data.labelled:
        check_target(found.model, x, data.labels[: len(x)])
    asked = fitted_settings(settings or AuditSettings(), found.model, x)
    subject = subject_of(found.model, data)
    explained = _labels_per_image(found.model, x) if asked.multi_label else 1.0
    pass_seconds = explained * seconds_per_pass(found.model, x[:1].repeat(4, *[1] * (x.ndim - 1)))

    def estimate(settings: AuditSettings) -> float:
        return pass_seconds * passes(x, settings)

    chosen = _within(time_limit, asked, estimate, lambda choice: is_audit_of(folder, choice, subject))
    seconds = estimate(chosen)
    if time_limit is not None and seconds / len(x) > time_limit:
        raise HoldfastError(
            f"the time limit of {time_limit:.3g} s is shorter than one image, which takes about "
            f"{seconds / len(x):.2g} s; allow more, or ask for fewer explanations or radii."
        )
    store = Store(folder, chosen, subject)
    notes = [*found.notes, *data.notes, *data.left_out]
    if chosen.budget != asked.budget:
        notes.append(f"the attack's budget is {chosen.budget} instead of {asked.budget}, to keep the time limit")

    def result(flags: Sequence[str], accuracy: float | None = None, odd: str = "") -> AuditResult:
        return AuditResult(
            model if isinstance(model, str) else found.name,
            data.source,
            chosen,
            store.records(),
            x[0].numel(),
            tuple(flags),
            (*notes, *([odd] if odd else [])),
            accuracy,
            {**environment_of(device), **subject},
            store.folder,
            found.classes or (data.classes if accuracy is not None else ()),
            len(x),
            Asked(
                model if isinstance(model, str) else None,
                images if isinstance(images, str) else None,
                weights,
                checkpoint,
                numbers_of(mean),
                numbers_of(std),
                image_size,
                strict,
                data_dir,
                device,
            ),
        )

    with store.held():
        if on_start is not None:
            on_start(seconds)
        store.begin()
        started, others = time.monotonic(), None
        for index in range(len(x)):
            if on_image is not None:
                on_image(index, len(x))
            if store.has(index):
                continue
            if index and time_limit is not None and time.monotonic() - started > time_limit:
                break
            if others is None and len(x) > 1:
                others = _another(found.model, x)
            other = None if others is None else x[others[index]][None]
            store.keep(index, *_audited(found.model, x[index : index + 1], index, chosen, other))
            store.show(lambda: result(["The self-checks of the attack come after the last image."]))
        if on_image is not None:
            on_image(len(x), len(x))
        accuracy, odd = accuracy_of(found, data, x, chosen, indices=held)
        flags = store.flags(lambda: flags_of(found.model, x[: _flagged(chosen)], chosen))
        finished = result(flags, accuracy, odd)
        store.finish(finished)
    return finished


def _audited(
    model: nn.Module, x: Tensor, index: int, settings: AuditSettings, other: Tensor | None
) -> tuple[list[dict[str, Any]], dict[str, Pictured]]:
    reference = reference_of(settings.eps)
    rows, pictures = [], {}
    for row, picture in measure(model, x, index, settings, other):
        rows.append(row)
        if picture is not None and row["eps"] == reference:
            pictures[f"{row['attribution']}|{row['prediction']}"] = picture
    return rows, pictures


def _another(model: nn.Module, x: Tensor) -> list[int]:
    """Of each image the next one that the network takes for another class."""
    return another_image(torch.cat([predict(model, part) for part in x.split(50)])).tolist()


def _labels_per_image(model: nn.Module, x: Tensor) -> float:
    """How many labels a multi-label network predicts, on average, after checking that it is one and predicts any."""
    with evaluating(model), torch.no_grad():
        logits = torch.cat([model(part) for part in x.split(50)])
    if bool((logits >= 0).all() and (logits <= 1).all()):
        raise HoldfastError(
            "the outputs for --multi-label all lie in [0, 1], so they look like probabilities; return logits, "
            "before the sigmoid."
        )
    if not bool((logits > 0).any()):
        raise HoldfastError(
            f"the model predicts no label on any of the {len(x)} images (no logit is above 0); give images with "
            "findings, or more of them (--images)."
        )
    return float((logits > 0).sum(1).float().mean())


def _within(
    limit: float | None,
    asked: AuditSettings,
    seconds: Callable[[AuditSettings], float],
    is_begun: Callable[[AuditSettings], bool],
) -> AuditSettings:
    """``asked`` with the strongest budget up to its own that fits the limit, or the one an audit was begun with."""
    if limit is None:
        return asked
    known = get_args(Effort)
    choices = [with_budget(asked, known[place]) for place in range(known.index(asked.budget), -1, -1)]
    begun = next((choice for choice in choices if is_begun(choice)), None)
    return begun or next((choice for choice in choices if seconds(choice) <= limit), choices[-1])


def passes(x: Tensor, settings: AuditSettings) -> float:
    """Forward passes that the audit of ``x`` will take, by the cost of its parts."""
    light = settings.budget == "light"
    per_image = 2.0 * settings.samples if settings.certify else 0.0
    for attribution in settings.attributions:
        map_cost = 2.0 * attribution.points
        if light:
            per_image += LightAttack.cost(attribution, len(settings.eps)) + 3 * map_cost + 57
        else:
            attack = full_attack(settings, settings.eps[0], attribution)
            per_image += len(settings.eps) * (attack.cost + (settings.draws + 4) * map_cost) + map_cost + 151
    checks = (
        min(len(x), _flagged(settings)) * full_attack(settings, settings.eps[-1], Saliency()).cost if light else 0.0
    )
    return len(x) * per_image + checks


def _flagged(settings: AuditSettings) -> int:
    return 1 if settings.budget == "light" else FLAGGED
