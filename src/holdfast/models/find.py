"""Find anybody's network: by name, from a file or a library, as a run or from the zoo; with its own preprocessing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from holdfast.data import load_dataset
from holdfast.data.catalogue import KNOWN, canonical_name
from holdfast.errors import HoldfastError, unknown_name
from holdfast.models.libraries import PROGRAMS, RANDOM, FoundModel, from_hugging_face, from_program, from_timm
from holdfast.models.outputs import Logits, Normalized, adapted, logits_of
from holdfast.models.resolve import BUILT_IN, build_model, output_of, warn_of_probabilities
from holdfast.models.weights import load_weights
from holdfast.sealed import unsealed
from holdfast.seeding import seed_of

FOLDER = Path(__file__).parent / "zoo"
Kind = Literal["timm", "hf", "run", "program", "zoo", "factory"]
OWN_WEIGHTS: dict[Kind, str] = {"run": "is a run and brings", "zoo": "comes with"}
"""Kinds of networks that bring their weights, and how that is said."""


def find_model(
    spec: str,
    *,
    shape: tuple[int, int, int] | None = None,
    num_classes: int | None = None,
    weights: str | None = None,
    checkpoint: Literal["last", "best"] = "last",
    data_dir: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> FoundModel:
    """The network that ``spec`` names, in evaluation mode.

    Args:
        spec: a built-in name, ``module:factory`` or ``file.py:factory``, the folder of a finished run, a network of
            the zoo (``mnist/trades-igr``), ``timm:NAME``, ``hf:ID``, a ``.pt2`` file of ``torch.export`` or a
            TorchScript file.
        shape: (C, H, W) of the images, for built-in networks and factories that ask for them; a run takes that of its
            own data set where none is given.
        num_classes: number of labels, likewise.
        weights: a state dict to load; ``random`` leaves a network of timm or Hugging Face untrained.
        checkpoint: of a run: the weights after the last epoch, or those best on validation.
        data_dir: where the data set of a run lies.
        mean, std: of the normalisation that the network expects outside; what timm and Hugging Face know of theirs
            is used by itself.

    Raises:
        HoldfastError: an unknown scheme or name, a library that is not installed (with what to install), an unfinished
            run, weights that do not fit, a factory that returns no network.

    Example:
        >>> find_model("mnist/trades-igr").model(torch.zeros(1, 1, 28, 28)).shape
        torch.Size([1, 10])
    """
    match check_spec(spec, weights):
        case "timm":
            with _the_same_every_time():
                found = from_timm(spec.removeprefix("timm:"), weights)
        case "hf":
            with _the_same_every_time():
                found = from_hugging_face(spec.removeprefix("hf:"), weights)
        case "run":
            found = _from_run(Path(spec), checkpoint, shape, num_classes, data_dir)
        case "program":
            found = from_program(Path(spec))
        case "zoo":
            found = _from_zoo(spec)
        case "factory":
            found = _from_factory(spec, shape, num_classes)
    if weights not in (None, RANDOM):
        load_weights(_innermost(found.model), Path(str(weights)).expanduser())
    if mean is not None or std is not None:
        inner = found.model.model if isinstance(found.model, Normalized) else found.model
        found = replace(found, model=Normalized(inner, mean or 0.0, std or 1.0))
    for module in found.model.modules():  # exported programs have no eval()
        module.training = False
    return found


def check_spec(spec: str, weights: str | None = None) -> Kind:
    """What kind of network ``spec`` names, told without loading anything.

    Raises:
        HoldfastError: it names none, or one that has its own ``weights``.
    """
    kind = _kind_of(spec)
    if weights is not None and kind in OWN_WEIGHTS:
        raise HoldfastError(f"{spec} {OWN_WEIGHTS[kind]} its own weights; drop --weights, or give a model instead.")
    return kind


def _kind_of(spec: str) -> Kind:
    scheme, colon, _ = spec.partition(":")
    if colon and scheme in ("timm", "hf"):
        return "timm" if scheme == "timm" else "hf"
    if Path(spec).is_dir():
        return "run"
    if Path(spec).suffix in PROGRAMS and not colon:
        return "program"
    if spec in pretrained_names():
        return "zoo"
    if spec in BUILT_IN or colon:
        return "factory"
    if spec.endswith(".py"):
        raise HoldfastError(f"{spec} is a file; name what makes the network in it, too, such as {spec}:make.")
    others = "Or give a run folder, module:factory, file.py:factory, timm:NAME, hf:ID, a .pt2 or TorchScript file."
    raise unknown_name("model", spec, (*BUILT_IN, *pretrained_names()), others)


def load_model(
    spec: str,
    *,
    weights: str | None = None,
    checkpoint: Literal["last", "best"] = "last",
    data_dir: str | None = None,
) -> nn.Module:
    """The network alone that `find_model` finds; the arguments and errors are its own.

    Example:
        >>> load_model("mnist/trades-igr")(torch.zeros(1, 1, 28, 28)).shape
        torch.Size([1, 10])
    """
    return find_model(spec, weights=weights, checkpoint=checkpoint, data_dir=data_dir).model


def fitted(found: FoundModel, images: torch.Tensor) -> FoundModel:
    """``found`` with an output that is plain logits, checked on a few of the images that it is for.

    Warns when the outputs look like probabilities.

    Raises:
        HoldfastError: the network cannot take such images, or returns no logits.
    """
    output = output_of(found.model, found.name, images[:2])
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


@contextmanager
def _the_same_every_time() -> Iterator[None]:
    """Inside, weights that are drawn are the same in every call; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(0, "weights"))
        yield


def _from_factory(spec: str, shape: tuple[int, int, int] | None, num_classes: int | None) -> FoundModel:
    with _the_same_every_time():
        model = build_model(spec, shape, num_classes, check=False)
    return FoundModel(model, spec.replace("/", "_").replace(":", "-").replace(".py", ""))


def _from_run(
    folder: Path,
    checkpoint: Literal["last", "best"],
    shape: tuple[int, int, int] | None,
    num_classes: int | None,
    data_dir: str | None,
) -> FoundModel:
    spec, dataset, recipe = of_run(folder / "config.json")
    if not (folder / "result.json").is_file():
        remedy = f"finish it with holdfast train {recipe} --out {folder} --resume"
        raise HoldfastError(f"{folder} has no result.json yet: the run is not finished; {remedy}.")
    if shape is None or num_classes is None:
        shape, num_classes = _shape_and_classes(dataset, data_dir)
    found = _from_factory(spec, shape, num_classes)
    load_weights(found.model, folder / f"{checkpoint}.safetensors")
    return replace(found, name=folder.name, dataset=dataset)


def _shape_and_classes(dataset: str, data_dir: str | None) -> tuple[tuple[int, int, int], int]:
    if (known := KNOWN.get(canonical_name(dataset))) is not None:
        return known.shape, len(known.classes)
    data = load_dataset(dataset, "val", data_dir=data_dir)
    return data.shape, data.num_classes


def of_run(config: Path) -> tuple[str, str, str]:
    """The network, the data set and the recipe of a training run."""
    try:
        plain = unsealed(config.read_bytes())
        found = plain["model"], plain["data"]["name"], plain["recipe"]
        if not all(isinstance(value, str) for value in found):
            raise TypeError
        return found
    except OSError:
        raise HoldfastError(f"{config} does not exist; give a folder that holdfast train wrote.") from None
    except (KeyError, TypeError, ValueError):
        raise HoldfastError(f"{config} is damaged; restore it, or train again.") from None


def dataset_of(spec: str) -> str | None:
    """What a run or a network of the zoo was trained on, told without loading it; None for other models."""
    match _kind_of(spec):
        case "run":
            return of_run(Path(spec) / "config.json")[1]
        case "zoo":
            return card_of(spec)["train"]["data"]["name"]
    return None


def _from_zoo(spec: str) -> FoundModel:
    card = card_of(spec)
    dataset = card["train"]["data"]["name"]
    found = _from_factory(card["model"], *_shape_and_classes(dataset, None))
    load_weights(found.model, FOLDER / f"{spec}.safetensors")
    return replace(found, name=spec, dataset=dataset)


def card_of(spec: str) -> dict[str, Any]:
    """The `model_card` of a network of the zoo by its whole name, ``setup/method``."""
    setup, _, method = spec.partition("/")
    return model_card(method, dataset=setup)


def pretrained_names(dataset: str | None = None) -> list[str]:
    """``setup/name`` of every network that comes with the package, or the names for one setup.

    A setup is a data set, or one with a radius of its own (``fashion_mnist_01``).
    """
    names = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.json"))
    return names if dataset is None else [n.partition("/")[2] for n in names if n.partition("/")[0] == dataset]


def model_card(model_name: str, *, dataset: str) -> dict[str, Any]:
    """What a pretrained network of a setup is: recipe, profile, settings, how it was trained, and what it scored.

    Raises:
        HoldfastError: for an unknown name, with the nearest ones.
    """
    names = pretrained_names(dataset)
    if model_name not in names:
        others = ", ".join(pretrained_names()) or "none"
        raise unknown_name("pretrained model", model_name, names, f"With the package come: {others}.")
    return json.loads((FOLDER / dataset / f"{model_name}.json").read_text())
