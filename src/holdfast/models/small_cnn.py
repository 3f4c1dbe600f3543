"""The small convolutional network of TRADES (Zhang et al., 2019), which the paper uses on MNIST."""

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
