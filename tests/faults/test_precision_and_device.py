"""Attacks in half precision and beside another default device: in the ball, with the label, scores in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.attacks import RandomSigns, Square

PATH = hf.IntegratedGradients(4)
ATTACKS: dict[str, Any] = {
    "ifia": hf.IFIA(0.1, 0.05, 3, 8, attribution=PATH),
    "random signs": RandomSigns(0.1, 3, 8, PATH),
    "auto": hf.AutoIFIA(eps=0.1, k=8, budget="quick", attribution=PATH),
}


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_on_explanations(name: str, kind: torch.dtype) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3)).to(kind).eval()
    x = torch.rand(4, 1, 8, 8).to(kind)
    y = net(x).argmax(1)
    found = ATTACKS[name].run(net, x, y, generator=torch.Generator().manual_seed(0))
    adv = found.adv_images
    assert adv.dtype == kind
    assert float((adv.double() - x.double()).abs().max()) <= 0.1 + torch.finfo(kind).eps
    assert torch.equal(net(adv).argmax(1), y)
    assert found.score.dtype == torch.float32
    assert bool(((found.score >= -1) & (found.score <= 1)).all())


@pytest.mark.parametrize("name", [*ATTACKS, "pgd", "square"])
def test_another_default_device_changes_nothing(name: str) -> None:
    """The device "meta" stands for a GPU: what lands there has no values."""
    others = {"pgd": hf.PGD(0.1, 0.05, 3), "square": Square(0.1, 20)}
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3)).eval()
    x = torch.rand(4, 1, 8, 8)
    y = net(x).argmax(1)
    attack = ATTACKS[name] if name in ATTACKS else others[name]
    expected = attack(net, x, y, generator=torch.Generator().manual_seed(0))
    with torch.device("meta"):
        found = attack(net, x, y, generator=torch.Generator("cpu").manual_seed(0))
    torch.testing.assert_close(found, expected)
