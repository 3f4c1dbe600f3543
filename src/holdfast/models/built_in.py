"""The paper's networks: that of TRADES (Zhang et al., 2019) for MNIST, ResNet-18 (He et al., 2016) for CIFAR-10."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.errors import HoldfastError

SMALLEST_UNPADDED = 16


class SmallCNN(nn.Module):
    """Four 3x3 convolutions and three linear layers; 312,202 parameters on 28x28 grey images.

    Convolutions are unpadded, as in the original, wherever the image allows it (16 pixels and more), and
    padded by one pixel on smaller images such as the 8x8 digits. The last layer starts at zero.

    Args:
        num_classes: number of logits.
        in_channels: channels of the images.
        image_size: height and width of the (square) images in pixels, at least 4.

    Example:
        >>> sum(p.numel() for p in SmallCNN().parameters())
        312202
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> None:
        super().__init__()
        if image_size < 4:
            raise HoldfastError(f"image_size is {image_size}; SmallCNN needs at least 4 pixels.")
        padding = 0 if image_size >= SMALLEST_UNPADDED else 1
        side = ((image_size - 4 * (1 - padding)) // 2 - 4 * (1 - padding)) // 2
        self.conv1 = nn.Conv2d(in_channels, 32, 3, padding=padding)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=padding)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=padding)
        self.conv4 = nn.Conv2d(64, 64, 3, padding=padding)
        self.fc1 = nn.Linear(64 * side * side, 200)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(200, 200)
        self.fc3 = nn.Linear(200, num_classes)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.fc3.weight)
        nn.init.zeros_(self.fc3.bias)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        h = F.relu(self.conv2(F.relu(self.conv1(images))))
        h = F.max_pool2d(h, 2)
        h = F.relu(self.conv4(F.relu(self.conv3(h))))
        h = F.max_pool2d(h, 2).flatten(1)
        h = self.dropout(F.relu(self.fc1(h)))
        return self.fc3(F.relu(self.fc2(h)))


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
