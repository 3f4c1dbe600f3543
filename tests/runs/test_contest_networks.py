"""The contest of attacks takes networks of the zoo and finished runs."""

from __future__ import annotations

import pytest

from bench.contest import Setting, images_of, network_of
from holdfast import Saliency
from holdfast.train import RunFolder


def test_a_finished_run(finished_run: RunFolder) -> None:
    found = network_of(str(finished_run.path))
    assert found.title == "digits TRADES+IGR seed 0 (paper profile)"
    assert found.eps == 0.1
    images, labels = images_of(found, Setting(images=3, k=8), Saliency())
    assert images.shape[1:] == (1, 8, 8)
    assert len(labels) == len(images) <= 3


def test_a_network_of_the_zoo() -> None:
    found = network_of("mnist/trades-igr")
    assert (found.title, found.eps) == ("mnist TRADES+IGR seed 0 (zoo)", pytest.approx(0.3))


def test_a_network_of_a_radius_of_its_own() -> None:
    found = network_of("fashion_mnist_01/trades-igr")
    assert (found.title, found.eps) == ("fashion_mnist ε = 0.1 TRADES+IGR seed 1 (zoo)", pytest.approx(0.1))
