"""Audit a one-logit network on synthetic, chest-like images, before and after training with IGR.

The images are drawn by this file: a grey thorax with two dark lungs, and in half of them a faint round opacity in one
lung. They are no patients' and say nothing about medicine; they have the form of such data (16-bit grey, two classes,
one logit). Run it with

    python examples/synthetic_chest.py OUT

which writes the images, both audits and OUT/compare/report.html.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import holdfast as hf
from holdfast.models.find import FoundModel

SIDE = 24
CLASSES = "clear", "opacity"
EPS = 8 / 255


def chest(rng: np.random.Generator, ill: bool) -> np.ndarray:
    """One synthetic image (SIDE, SIDE) in [0, 1]."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1) * 2 - 1
    dx, dy = rng.uniform(-0.08, 0.08, 2)

    def inside(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return 1 / (1 + np.exp(8 * (((x - cx - dx) / rx) ** 2 + ((y - cy - dy) / ry) ** 2 - 1)))

    picture = 0.15 + 0.55 * inside(0, 0, 0.95, 1.0)
    for side in (-1, 1):
        picture -= 0.35 * inside(0.42 * side, 0, 0.3, 0.65)
    picture += 0.04 * np.sin(9 * np.pi * (y + 0.3 * x * x))  # ribs
    if ill:
        cx, cy = rng.choice([-1, 1]) * 0.42, rng.uniform(-0.4, 0.4)
        picture += rng.uniform(0.15, 0.25) * np.exp(-((x - cx - dx) ** 2 + (y - cy - dy) ** 2) / (2 * 0.15**2))
    return np.clip(picture + rng.normal(0, 0.03, picture.shape), 0, 1)


def write_images(folder: Path, count: int, seed: int) -> None:
    """``count`` images as 16-bit PNG, one folder a class, in turn."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        place = folder / CLASSES[i % 2] / f"{i:04d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((65535 * chest(rng, bool(i % 2))).astype(np.uint16)).save(place)


def make_net() -> nn.Module:
    """A small network with one logit: above 0 it says opacity."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * 5 * 5, 1),
    )  # fmt: skip


def train(objective: hf.Objective, x: Tensor, y: Tensor, epochs: int) -> nn.Module:
    """The network trained with an objective, which sees its one logit as two classes."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    net = make_net()
    model = hf.Logits(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(50):
            loss = objective(model, x[rows], y[rows], generator=generator).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def main(out: Path, *, train_images: int = 400, audited: int = 20, epochs: int = 60) -> hf.AuditComparison:
    for part, count, seed in (("train", train_images, 0), ("test", 10 * audited, 1)):
        write_images(out / "images" / part, count, seed)
    data = hf.load_dataset(str(out / "images"), "train")
    x, y = data.images.float() / (255 if data.images.dtype == torch.uint8 else 1), data.labels
    igr = hf.IGR(hf.TRADES(hf.TPGD(eps=EPS, alpha=EPS / 2, steps=4), beta=1.0), lam=1.0)
    settings = hf.AuditSettings((hf.IntegratedGradients(n_steps=10),), eps=(EPS,), images=audited, samples=200)
    held_out = hf.load_dataset(str(out / "images"), "test")
    order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))
    audits = []
    for name, objective in (("chest-standard", hf.Standard()), ("chest-igr", igr)):
        model = train(objective, x, y, epochs)
        found = hf.audit(FoundModel(model, name), held_out.take(order), settings, out=out / name)
        print(found, f"\naccuracy on the audited images: {found.accuracy:.0%}\n")
        audits.append(found)
    both = hf.compare_audits(*audits)
    (out / "compare").mkdir(exist_ok=True)
    both.to_html(out / "compare" / "report.html")
    print(both)
    return both


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "chest"))
