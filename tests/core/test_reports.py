"""What users of other libraries reported, tried on Holdfast (docs/reports.md names each)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import holdfast as hf
from holdfast import Logits
from holdfast.attribution import GradCAM, IntegratedGradients
from holdfast.errors import HoldfastError, HoldfastWarning
from holdfast.metrics import activation_consistency

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
ATTACKS = [hf.FGSM(0.1), hf.PGD(0.1, 0.05, 2), hf.AutoAttack(0.1, steps=2, queries=20), hf.IFIA(0.1, 0.05, 2, 4)]


def network(outputs: int, *after: nn.Module) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, outputs), *after).eval()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_one_output_is_no_target_of_an_attack(attack: Any) -> None:
    """Captum 352: the cross-entropy of one logit is 0, so that an attack would find nothing and say nothing."""
    net, labels = network(1), torch.zeros(6, dtype=torch.int64)
    with pytest.raises(HoldfastError, match=r"one logit.*wrap it in holdfast\.Logits"):
        attack.run(net, X, labels)
    assert (Logits(net)(X)[:, 1] - Logits(net)(X)[:, 0]).allclose(net(X)[:, 0])
    labels = (net(X)[:, 0] > 0).long()
    assert (attack(Logits(net), X, labels) != X).any()


def test_a_label_of_a_network_of_one_output_has_its_remedy() -> None:
    with pytest.raises(HoldfastError, match=r"has 1 logits.*wrap it in holdfast\.Logits"):
        IntegratedGradients()(network(1), X, torch.ones(6, dtype=torch.int64))


def test_probabilities_are_warned_of_by_an_evaluation() -> None:
    """auto-attack 102."""
    net = network(3, nn.Softmax(1))
    parts: dict[str, Any] = {"predictions": [], "attributions": ["saliency"], "attacks": ["random-signs"]}
    with pytest.warns(HoldfastWarning, match="Sequential look like probabilities.*remove the final softmax"):
        hf.evaluate(net, (X, net(X).argmax(1)), eps=0.1, **parts)


class Rounds(nn.Module):
    """Its input becomes one of 8 bits, which has no gradient."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.net((255 * x).round() / 255)
        return found


def test_a_network_that_rounds_is_warned_of() -> None:
    """auto-attack 44."""
    net, images = Rounds(network(3)).eval(), X.repeat(20, 1, 1, 1)
    pgd = {"pgd": hf.PGD(0.1, 0.05, 2, random_start=False)}
    parts: dict[str, Any] = {"predictions": pgd, "attributions": ["saliency"], "attacks": ["random-signs"]}
    result = hf.evaluate(net, (images, net(images).argmax(1)), eps=0.1, **parts)
    assert result is not None
    assert any("PGD changed no prediction at all" in w and "it rounds nothing" in w for w in result.warnings)


class Reuses(nn.Module):
    """One ReLU, called twice."""

    def __init__(self, net: nn.Module, inplace: bool) -> None:
        super().__init__()
        self.first, self.middle, self.last = net[1], nn.Linear(16, 16), net[3]  # type: ignore[index]
        self.relu = nn.ReLU(inplace)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.relu(self.middle(self.relu(self.first(x.flatten(1))))))
        return found


@pytest.mark.parametrize("inplace", [False, True])
def test_a_relu_that_is_used_twice(inplace: bool) -> None:
    """Captum 199, 378, 1104."""
    net = Reuses(network(3), inplace).eval()
    plain = nn.Sequential(nn.Flatten(), net.first, nn.ReLU(), net.middle, nn.ReLU(), net.last).eval()
    y, moved = net(X).argmax(1), X.flip(3)
    assert torch.allclose(IntegratedGradients(200)(net, X, y).flatten(1).sum(1), rise(net, y), atol=1e-3)
    assert torch.equal(activation_consistency(net, X, moved), activation_consistency(plain, X, moved))


def rise(net: nn.Module, y: Tensor) -> Tensor:
    return (net(X) - net(torch.zeros_like(X))).gather(1, y[:, None])[:, 0]


def test_the_mode_is_that_of_the_call() -> None:
    """torchattacks 21: not that of the moment at which the attack was bound."""
    net = nn.Sequential(network(3), nn.BatchNorm1d(3), nn.Dropout()).train()
    attack = hf.PGD(0.1, 0.05, 2).on(net)
    statistics = net[1].running_mean.clone()  # type: ignore[operator, union-attr]
    for training in (False, True):
        net.train(training)
        attack(X, torch.zeros(6, dtype=torch.int64))
        assert net.training == training
    assert torch.equal(net[1].running_mean, statistics)  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", [2, 3])
def test_autoattack_on_few_classes_and_on_what_is_wrong_already(classes: int) -> None:
    """auto-attack 70, 76, 110; torchattacks 59."""
    net = network(classes)
    right = net(X).argmax(1)
    for images, labels in ((X, right), (X[:1], right[:1]), (X, (right + 1) % classes)):
        adversarial = hf.AutoAttack(0.1, steps=2, queries=20)(net, images, labels)
        assert adversarial.shape == images.shape
        assert float((adversarial - images).abs().max()) <= 0.1 + 1e-6


@pytest.mark.parametrize("metric", [hf.KendallTau(), hf.Spearman(), hf.Pearson(), hf.Cosine(), hf.TopK(5)])
def test_a_batch_of_one(metric: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Quantus 150."""
    assert torch.allclose(metric(X[:1], X[1:2]), metric(X, X.roll(-1, 0))[:1])


def test_frozen_weights() -> None:
    """Captum 226."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    y = net(X).argmax(1)
    maps = GradCAM()(net, X, y)
    net.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(GradCAM()(net, X, y), maps)


def test_folders_of_splits_are_no_classes_and_one_broken_file_stops_nothing(tmp_path: Path) -> None:
    """datasets 7880, 6470."""
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for i in range(4):
            Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / split / f"{i}.png")
    broken = tmp_path / "test" / "2.png"
    broken.write_bytes(broken.read_bytes()[:45])
    with pytest.warns(HoldfastWarning, match=r"1 file .*left out: test/2\.png"):
        data = hf.load_dataset(str(tmp_path), "test")
    assert data.labels.tolist() == [-1, -1, -1]
    assert data.classes == ()


@pytest.mark.parametrize("attack", [hf.FGSM(0.0), hf.PGD(0.0, 0.1, 2), hf.PGD(0.0, 0.1, 2, norm="L2")])
def test_a_radius_of_zero_changes_nothing(attack: hf.PGD) -> None:
    """torchattacks 172."""
    assert torch.equal(attack(network(3), X, torch.zeros(6, dtype=torch.int64)), X)


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.float32])
def test_labels_of_another_type_have_their_remedy(kind: torch.dtype) -> None:
    """foolbox 593, 647, 666."""
    with pytest.raises(HoldfastError, match=r"labels are torch\.\w+; pass an int64 tensor .*labels\.long\(\)"):
        hf.FGSM(0.1)(network(3), X, torch.zeros(6, dtype=kind))


def test_normalised_images_have_their_remedy() -> None:
    """auto-attack 46."""
    with pytest.raises(HoldfastError, match=r"images span \[-.*put any mean/std normalisation inside the model"):
        hf.FGSM(0.1)(network(3), (X - 0.5) / 0.2, torch.zeros(6, dtype=torch.int64))


@pytest.mark.parametrize("attack", [hf.FGSM(0.1), hf.PGD(0.1, 0.05, 2)])
def test_tensors_of_the_user_keep_their_gradients(attack: hf.PGD) -> None:
    """Captum 590, 1346."""
    net, leaf = network(3), X.clone().requires_grad_()
    leaf.grad = torch.ones_like(leaf)
    IntegratedGradients()(net, leaf, 1)
    attack(net, leaf, torch.zeros(6, dtype=torch.int64))
    assert leaf.requires_grad
    assert bool((leaf.grad == 1).all())
    assert all(p.grad is None for p in net.parameters())
