"""Networks of other libraries: timm, Hugging Face, programs of torch.export and TorchScript; what is known of each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from holdfast.data.decode import Interpolation
from holdfast.errors import HoldfastError, first_line
from holdfast.models.outputs import Logits, Normalized

PROGRAMS = (".pt2", ".pt", ".ts", ".jit", ".torchscript")
RANDOM = "random"
"""What ``weights`` is called where a library's network shall stay untrained."""
BILINEAR = 2
"""Pillow's number of bilinear interpolation, as Hugging Face stores it."""


@dataclass(frozen=True)
class FoundModel:
    """A network that takes images in [0, 1] and returns logits, and what is known about it."""

    model: nn.Module
    name: str
    image_size: tuple[int, int] | None = None
    """Height and width that it asks for; None takes what it is given."""
    channels: int | None = None
    """Channels that it asks for, likewise."""
    interpolation: Interpolation = "bicubic"
    crop: float = 1.0
    """How images are scaled to that size, and the share of the scaled image that is kept."""
    classes: tuple[str, ...] = ()
    """Names of its classes in the order of the logits, where it brings them; synonyms with commas."""
    dataset: str | None = None
    """What it was trained on, for a run and a network of the zoo."""
    notes: tuple[str, ...] = ()
    """What was done to make it fit, one sentence each."""


def from_program(path: Path) -> FoundModel:
    if not path.is_file():
        raise HoldfastError(f"{path} does not exist; give a .pt2 file of torch.export or a TorchScript file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "The given buffer is not writable")  # of torch 2.9 in its own loader
            if path.suffix == ".pt2":
                return FoundModel(torch.export.load(path).module(), path.stem)
            return FoundModel(torch.jit.load(path, map_location="cpu"), path.stem)
    except Exception as error:
        said = first_line(error)[:120]
        raise HoldfastError(
            f"{path} cannot be read as a program ({said}); save it with torch.export.save or torch.jit.save. A state "
            "dict goes with --weights, beside file.py:factory."
        ) from None


def from_timm(name: str, weights: str | None) -> FoundModel:
    timm = _library("timm", "timm")
    try:
        model = timm.create_model(name, pretrained=weights is None)
    except Exception as error:
        raise _not_made("timm", name, error) from None
    config = timm.data.resolve_model_data_config(model)
    channels, *size = config["input_size"]
    mean, std = config["mean"], config["std"]
    return FoundModel(
        Normalized(model, mean, std),
        name,
        image_size=(size[0], size[1]),
        channels=channels,
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        crop=float(config["crop_pct"]),
        classes=_imagenet_names(timm, model),
        notes=(f"normalised inside by timm's mean {_numbers(mean)} and std {_numbers(std)}", *_untrained(weights)),
    )


def _imagenet_names(timm: Any, model: nn.Module) -> tuple[str, ...]:
    """Descriptions and WordNet ids of a head that has the size of an ImageNet."""
    subset = timm.data.infer_imagenet_subset(model)
    if not subset:
        return ()
    info = timm.data.ImageNetInfo(subset)
    return tuple(f"{info.index_to_description(i)}, {info.index_to_label_name(i)}" for i in range(info.num_classes()))


def _untrained(weights: str | None) -> tuple[str, ...]:
    return ("the weights are random: the network is untrained",) if weights == RANDOM else ()


def _numbers(values: Sequence[float] | float) -> str:
    """A mean or a standard deviation as text.

    >>> _numbers((0.485, 0.456)), _numbers(0.5)
    ('0.485, 0.456', '0.5')
    """
    return ", ".join(f"{v:.3g}" for v in (values if isinstance(values, Sequence) else [values]))


def from_hugging_face(name: str, weights: str | None) -> FoundModel:
    if name.startswith((".", "/")) and not Path(name).is_dir():
        raise HoldfastError(f"hf:{name}: there is no folder {name}; give the one that save_pretrained wrote, or an ID.")
    library = _library("transformers", "transformers")
    try:
        if weights is None:
            model = library.AutoModelForImageClassification.from_pretrained(name)
        else:
            model = library.AutoModelForImageClassification.from_config(library.AutoConfig.from_pretrained(name))
    except Exception as error:
        raise _not_made("hf", name, error) from None
    config = model.config
    labels = getattr(config, "id2label", {}) or {}
    side = getattr(config, "image_size", None)
    size = (side, side) if isinstance(side, int) else tuple(side) if side else None
    found = FoundModel(model.float(), Path(name).name, size, getattr(config, "num_channels", None))
    found = replace(found, classes=tuple(str(labels[i]) for i in sorted(labels)), notes=_untrained(weights))
    return _processed(library, name, found)


def _processed(library: Any, name: str, found: FoundModel) -> FoundModel:
    """``found`` with the normalisation, scaling and crop of the processor that lies beside it."""
    try:
        processor = library.AutoImageProcessor.from_pretrained(name)
        mean, std = processor.image_mean, processor.image_std
    except Exception:
        note = "no processor came with it: normalised inside by mean 0.5 and std 0.5; --mean and --std say else"
        return replace(found, model=Normalized(Logits(found.model), 0.5, 0.5), notes=(*found.notes, note))
    scaled, kept = dict(processor.size or {}), dict(getattr(processor, "crop_size", None) or {})
    short = scaled.get("shortest_edge") or scaled.get("height")
    cropped = kept.get("height") if getattr(processor, "do_center_crop", False) else None
    side = cropped or short
    return replace(
        found,
        model=Normalized(Logits(found.model), mean, std),
        image_size=found.image_size or ((side, side) if side else None),
        interpolation="bilinear" if getattr(processor, "resample", None) == BILINEAR else "bicubic",
        crop=min(1.0, cropped / short) if cropped and short else 1.0,
        notes=(*found.notes, f"normalised inside by the processor's mean {_numbers(mean)} and std {_numbers(std)}"),
    )


def _library(module: str, extra: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise HoldfastError(
            f"{module} is not installed or does not import here ({error}); pip install 'holdfast[{extra}]'."
        ) from None


def _not_made(scheme: str, name: str, error: Exception) -> HoldfastError:
    said = first_line(error)[:160]
    return HoldfastError(
        f"{scheme}:{name} cannot be loaded ({said}); check the name, give --weights FILE where there is no network, "
        "or --weights random for an untrained one."
    )
