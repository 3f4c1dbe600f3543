"""Data sets as tensors: shipped digits, image folders, parquet files, the Hugging Face Hub, functions of one's own.

Names are resolved on first use, so listing data sets (``holdfast.data.catalogue``) does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.data.catalogue import KNOWN, SPLITS, KnownDataset
    from holdfast.data.image_data import ImageData, labels_for
    from holdfast.data.load import default_split, load_dataset
    from holdfast.data.loader import DeviceLoader, to_unit_interval
    from holdfast.data.manage import available, describe, prepare

__all__ = [
    "KNOWN",
    "SPLITS",
    "DeviceLoader",
    "ImageData",
    "KnownDataset",
    "available",
    "default_split",
    "describe",
    "labels_for",
    "load_dataset",
    "prepare",
    "to_unit_interval",
]

_HOME = {
    "KNOWN": "catalogue",
    "SPLITS": "catalogue",
    "KnownDataset": "catalogue",
    "ImageData": "image_data",
    "labels_for": "image_data",
    "default_split": "load",
    "load_dataset": "load",
    "DeviceLoader": "loader",
    "to_unit_interval": "loader",
    "available": "manage",
    "describe": "manage",
    "prepare": "manage",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
