"""The networks that the benchmarks run on, in evaluation mode and with no gradient at zero."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import holdfast as hf

Shape = tuple[int, int, int]


class TinyViT(nn.Module):
    """A small vision transformer for 32x32 images: 4x4 patches, width 96, 3 blocks, 3 heads, GELU."""

    def __init__(self, num_classes: int = 10, width: int = 96, depth: int = 3, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, stride=4)
        self.position = nn.Parameter(torch.randn(1, 64, width) * 0.1)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        h = self.patches(images).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h).mean(1))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*qkv).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(attended)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class ImageNetCNN(nn.Module):
    """ResNet-18 at ImageNet's size: 7x7 stem with stride 2, max-pool, the same four stages; 1,000 classes."""

    def __init__(self) -> None:
        super().__init__()
        body = hf.models.ResNet18(num_classes=1000)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        )
        self.stages, self.linear = body.stages, body.linear

    def forward(self, images: Tensor) -> Tensor:
        h = self.stages(F.max_pool2d(self.stem(images), 3, stride=2, padding=1))
        return self.linear(F.adaptive_avg_pool2d(h, 1).flatten(1))


NETWORKS = {
    "SmallCNN": (hf.models.SmallCNN, (1, 28, 28)),
    "ResNet18": (hf.models.ResNet18, (3, 32, 32)),
    "ViT": (TinyViT, (3, 32, 32)),
    "ImageNet": (ImageNetCNN, (3, 224, 224)),
}


def network(name: str, device: str) -> tuple[nn.Module, Shape]:
    """A network by name with random weights and batch-norm statistics, and the shape of its images."""
    torch.manual_seed(0)
    kind, shape = NETWORKS[name]
    model = kind()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, module.in_features**-0.5)
    return model.eval().to(device), shape


def batch(shape: Shape, size: int, device: str, classes: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    """Random images, images near them, and labels."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(size, *shape, generator=generator)
    x_adv = (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    y = torch.randint(0, classes, (size,), generator=generator)
    return x.to(device), x_adv.to(device), y.to(device)
