"""ResNet-18 for 32x32 images (He et al., 2016, with the 3x3 stem that CIFAR work uses)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_width != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_width, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + self.shortcut(x))


class ResNet18(nn.Module):
    """3x3 stem without pooling, stages of [2, 2, 2, 2] blocks, global average pooling; 11.17 M parameters.

    Args:
        num_classes: number of logits.
        in_channels: channels of the images.
        width: channels of the first stage (64 in the original; 16 is a quarter of it, 0.70 M parameters).

    Example:
        >>> round(sum(p.numel() for p in ResNet18().parameters()) / 1e6, 2)
        11.17
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages, before = [], width
        for out, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
            stages.append(nn.Sequential(BasicBlock(before, out, stride), BasicBlock(out, out, 1)))
            before = out
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(before, num_classes)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        h = self.stages(F.relu(self.bn1(self.conv1(images))))
        return self.linear(F.adaptive_avg_pool2d(h, 1).flatten(1))
