"""Find anybody's network: by name, from a file or a library, as a run or from the zoo; with its own preprocessing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from holdfast.data.decode import Interpolation
from holdfast.errors import HoldfastError, first_line, unknown_name
from holdfast.models.load import of_run
from holdfast.models.outputs import Logits, Normalized, adapted, logits_of
from holdfast.models.pretrained import load_pretrained, pretrained_names
from holdfast.models.resolve import BUILT_IN, build_model, warn_of_probabilities
from holdfast.models.state import evaluating, naming_misfits
from holdfast.models.weights import load_weights
from holdfast.seeding import seed_of

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


def find_model(
    spec: str,
    *,
    shape: tuple[int, int, int] | None = None,
    num_classes: int | None = None,
    weights: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> FoundModel:
    """The network that ``spec`` names, in evaluation mode.

    Args:
        spec: a built-in name, ``module:factory`` or ``file.py:factory``, the folder of a finished run, a network of
            the zoo (``mnist/trades-igr``), ``timm:NAME``, ``hf:ID``, a ``.pt2`` file of ``torch.export`` or a
            TorchScript file.
        shape: (C, H, W) of the images, for built-in networks and factories that ask for them.
        num_classes: number of labels, likewise.
        weights: a state dict to load; ``random`` leaves a network of timm or Hugging Face untrained.
        mean, std: of the normalisation that the network expects outside; what timm and Hugging Face know of theirs
            is used by itself.

    Raises:
        HoldfastError: an unknown scheme or name, a library that is not installed (with what to install), weights that
            do not fit, a factory that returns no network.
    """
    scheme, colon, name = spec.partition(":")
    path = Path(spec)
    if colon and scheme == "timm":
        found = _from_timm(name, weights)
    elif colon and scheme == "hf":
        found = _from_hugging_face(name, weights)
    elif path.is_dir():
        found = _from_run(path, shape, num_classes)
    elif path.suffix in PROGRAMS and ":" not in spec:
        found = _from_program(path)
    elif spec in pretrained_names():
        dataset, _, method = spec.partition("/")
        found = FoundModel(load_pretrained(method, dataset=dataset), spec, dataset=dataset)
    elif spec in BUILT_IN or colon:
        found = _from_factory(spec, shape, num_classes)
    else:
        others = "Or give a run folder, module:factory, file.py:factory, timm:NAME, hf:ID, a .pt2 or TorchScript file."
        raise unknown_name("model", spec, (*BUILT_IN, *pretrained_names()), others)
    if weights not in (None, RANDOM):
        load_weights(_innermost(found.model), Path(str(weights)))
    if mean is not None or std is not None:
        inner = found.model.model if isinstance(found.model, Normalized) else found.model
        found = replace(found, model=Normalized(inner, mean or 0.0, std or 1.0))
    for module in found.model.modules():  # exported programs have no eval()
        module.training = False
    return found


def fitted(found: FoundModel, images: torch.Tensor) -> FoundModel:
    """``found`` with an output that is plain logits, checked on a few of the images that it is for.

    Warns when the outputs look like probabilities.

    Raises:
        HoldfastError: the network cannot take such images, or returns no logits.
    """
    with evaluating(found.model), torch.no_grad():
        try:
            with naming_misfits(found.model, images, found.name):
                output = found.model(images[:2])
        except HoldfastError:
            raise
        except Exception as error:
            raise HoldfastError(
                f"model {found.name} cannot take images of shape {tuple(images.shape[1:])}: {first_line(error)}. "
                "Choose another --image-size, or a model for such images."
            ) from None
    model = adapted(found.model, output, len(images[:2]))
    logits = logits_of(output, len(images[:2]))
    warn_of_probabilities(found.name, logits)
    if not isinstance(model, nn.Module) or model is found.model:
        return found
    note = f"the output ({type(output).__name__}) is read as logits of {logits.shape[1]} classes"
    return replace(found, model=model, notes=(*found.notes, note))


def _innermost(model: nn.Module) -> nn.Module:
    while isinstance(model, Normalized | Logits):
        model = model.model  # type: ignore[assignment]
    return model


def _from_factory(spec: str, shape: tuple[int, int, int] | None, num_classes: int | None) -> FoundModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(0, "weights"))  # without weights: the same network every time
        model = build_model(spec, shape, num_classes)
    return FoundModel(model, spec.replace("/", "_").replace(":", "-").replace(".py", ""))


def _from_run(folder: Path, shape: tuple[int, int, int] | None, num_classes: int | None) -> FoundModel:
    spec, dataset = of_run(folder / "config.json")
    if not (folder / "result.json").is_file():
        raise HoldfastError(f"{folder} is not finished; go on with holdfast train ... --out {folder} --resume.")
    found = _from_factory(spec, shape, num_classes)
    load_weights(found.model, folder / "last.safetensors")
    return replace(found, name=folder.name, dataset=dataset)


def _from_program(path: Path) -> FoundModel:
    if not path.is_file():
        raise HoldfastError(f"{path} does not exist; give a .pt2 file of torch.export or a TorchScript file.")
    try:
        if path.suffix == ".pt2":
            return FoundModel(torch.export.load(path).module(), path.stem)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return FoundModel(torch.jit.load(path, map_location="cpu"), path.stem)
    except Exception as error:
        said = first_line(error)[:120]
        raise HoldfastError(
            f"{path} cannot be read as a program ({said}); save it with torch.export.save or torch.jit.save. A state "
            "dict goes with --weights, beside file.py:factory."
        ) from None


def _from_timm(name: str, weights: str | None) -> FoundModel:
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


def _from_hugging_face(name: str, weights: str | None) -> FoundModel:
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
