"""Networks that compute in another type than the images: every attack returns images of the type that it was given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import holdfast as hf

PATH = hf.IntegratedGradients(n_steps=3)
ATTACKS = [
    hf.FGSM(0.1),
    hf.PGD(0.1, 0.03, 2),
    hf.PGD(0.5, 0.1, 2, norm="L2"),
    hf.TPGD(0.1, 0.03, 2),
    hf.CWInf(0.1, 0.03, 2),
    *(hf.APGD(0.1, 4, loss=loss) for loss in ("ce", "dlr", "targeted")),  # type: ignore[arg-type]
    hf.APGD(0.5, 4, norm="L2"),
    hf.FAB(0.1, steps=3),
    hf.Square(0.1, 10),
    hf.IFIA(0.1, 0.03, 2, 4, attribution=PATH),
    hf.RandomSigns(0.1, 2, k=4, attribution=PATH),
    hf.AutoIFIA(0.1, 4, "standard", scale=0.05, attribution=PATH),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)
def test_the_images_keep_their_type(attack: hf.Attack, dtype: torch.dtype) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 5)).to(dtype).eval()
        images = torch.rand(4, 1, 4, 4)
    labels = net(images.to(dtype)).argmax(1)
    found = attack(lambda x: net(x.to(dtype)), images, labels, generator=torch.Generator().manual_seed(0))
    assert found.dtype == torch.float32
    assert found.shape == images.shape
    assert bool(found.isfinite().all())
    assert not torch.equal(found, images)
