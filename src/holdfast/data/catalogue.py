"""The data sets Holdfast knows by name. Importing this module does not import torch.

>>> [known.name for known in KNOWN.values()]
['digits', 'mnist', 'fashion_mnist', 'cifar10']
>>> canonical_name("uoft-cs/cifar10")
'cifar10'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class KnownDataset:
    """What is known of a data set before its files are read.

    ``shape`` is ``(C, H, W)``. ``train``, ``val`` and ``test`` count images; ``val`` is held out of the
    published training set, so ``train + val`` is the published number of training images.
    ``hub_id`` is None for data that ships inside the package.
    """

    name: str
    title: str
    hub_id: str | None
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: int
    val: int
    test: int

    @property
    def shipped(self) -> bool:
        return self.hub_id is None


_DIGITS = tuple(str(digit) for digit in range(10))
_CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
_OBJECTS = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
_FASHION_ID = "zalando-datasets/fashion_mnist"
_GREY, _RGB = (1, 28, 28), (3, 32, 32)
_ALL = (
    KnownDataset("digits", "UCI optical digits", None, (1, 8, 8), _DIGITS, 1197, 200, 400),
    KnownDataset("mnist", "MNIST", "ylecun/mnist", _GREY, _DIGITS, 55_000, 5_000, 10_000),
    KnownDataset(
        "fashion_mnist", "Fashion-MNIST", _FASHION_ID, _GREY, tuple(_CLOTHES.split(",")), 55_000, 5_000, 10_000
    ),
    KnownDataset("cifar10", "CIFAR-10", "uoft-cs/cifar10", _RGB, tuple(_OBJECTS.split(",")), 45_000, 5_000, 10_000),
)
KNOWN: Mapping[str, KnownDataset] = MappingProxyType({known.name: known for known in _ALL})


def canonical_name(name: str) -> str:
    """The short name of a known data set given by its Hub id; every other name as it is."""
    for known in KNOWN.values():
        if name == known.hub_id:
            return known.name
    return name
