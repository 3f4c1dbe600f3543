"""Small networks that spell their operators in every way a user might."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from holdfast.models import ResNet18, SmallCNN

CLASSES = 4
Activation = Callable[[Tensor], Tensor]
Factory = Callable[[], nn.Module]


class ConvNet(nn.Module):
    """Two convolutions around a max pool, on (B, 2, 8, 8), with whatever activation."""

    def __init__(self, activation: Activation, pool: Activation | None = None) -> None:
        super().__init__()
        self.activation = activation
        self.pool = pool or (lambda h: F.max_pool2d(h, 2))
        self.conv1 = nn.Conv2d(2, 5, 3, padding=1)
        self.conv2 = nn.Conv2d(5, 6, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(6 * 4, 9)
        self.fc2 = nn.Linear(9, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.pool(self.activation(self.conv1(x)))
        h = self.activation(self.conv2(h)).flatten(1)
        return self.fc2(self.activation(self.fc1(h)))


def _ignores_result(h: Tensor) -> Tensor:
    h.relu_()
    return h


class ResidualNet(nn.Module):
    """Batch norm, residual sum, concatenation, grouped convolution, average and adaptive pooling, dropout."""

    def __init__(self, inplace: bool = False, direct_batch_norm: bool = False) -> None:
        super().__init__()
        self.inplace, self.direct = inplace, direct_batch_norm
        self.stem = nn.Conv2d(2, 8, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4, bias=False)
        self.mix = nn.Conv2d(16, 6, 1)
        self.drop = nn.Dropout(0.5)
        self.bn3 = nn.BatchNorm1d(6 * 4, affine=False)
        self.head = nn.Linear(6 * 4, CLASSES)
        for bn in (self.bn1, self.bn2, self.bn3):
            assert bn.running_mean is not None
            assert bn.running_var is not None
            bn.running_mean.normal_()
            bn.running_var.uniform_(0.3, 2)
            if bn.affine:
                nn.init.normal_(bn.weight)
                nn.init.normal_(bn.bias)

    def norm(self, bn: nn.BatchNorm2d, h: Tensor) -> Tensor:
        if not self.direct:
            return bn(h)
        return torch.batch_norm(h, bn.weight, bn.bias, bn.running_mean, bn.running_var, False, 0.1, bn.eps, True)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(self.bn1, self.stem(x)), inplace=self.inplace)
        branch = self.norm(self.bn2, self.grouped(h))
        h = F.relu(h + branch)
        h = F.avg_pool2d(torch.cat([h, branch], dim=1), 2)
        h = F.adaptive_avg_pool2d(F.relu(self.mix(h), inplace=self.inplace), 2).flatten(1)
        return self.head(self.drop(self.bn3(h)))


class Attention(nn.Module):
    """Patches, layer norm, multi-head attention, GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(2, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        h = self.norm(tokens)
        with sdpa_kernel(SDPBackend.MATH):
            tokens = tokens + self.attention(h, h, h, need_weights=False)[0]
        return self.head((tokens + self.mlp(tokens)).mean(1))


class LearntBound(nn.Module):
    """An activation clipped at a learnt height, in place and not, and curved, so that the height matters."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Parameter(torch.tensor(0.05))

    def forward(self, h: Tensor) -> Tensor:
        return F.gelu(torch.clamp_min(h.mul(1.0).clamp_(max=self.low + 0.5), self.low))


class DynamicFilter(ConvNet):
    """A convolution whose kernel is computed from the image, and integer arithmetic on the way."""

    def __init__(self) -> None:
        super().__init__(F.relu)
        self.kernel = nn.Linear(2, 5 * 2 * 9)

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.kernel(x.mean((2, 3))).view(-1, 2, 3, 3)
        h = F.conv2d(x.reshape(1, -1, 8, 8), kernels, padding=1, groups=len(x)).view(len(x), 5, 8, 8)
        distance = torch.abs(torch.arange(8, device=x.device) - 3)
        h = F.relu(h + self.conv1(x)) * (distance < 4)
        h = self.activation(self.conv2(self.pool(h))).flatten(1)
        return self.fc2(self.activation(self.fc1(h)))


class WeightNorm(ConvNet):
    def __init__(self) -> None:
        super().__init__(F.relu)
        self.conv2 = nn.utils.parametrizations.weight_norm(self.conv2)


class Sequence(nn.Module):
    """One-dimensional convolution and pooling over the flattened image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 5, stride=2, padding=2, groups=2)
        self.head = nn.Linear(4 * 8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool1d(torch.relu(self.conv(x.flatten(2))), 4)
        return self.head(h.abs().flatten(1))


def small_cnn() -> nn.Module:
    net = SmallCNN(CLASSES, in_channels=2, image_size=8)
    nn.init.normal_(net.fc3.weight, std=0.1)
    return net


RELU_SPELLINGS: dict[str, Activation] = {
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "Tensor.relu": Tensor.relu,
    "nn.ReLU": nn.ReLU(),
    "F.relu-inplace": lambda h: F.relu(h, inplace=True),
    "nn.ReLU-inplace": nn.ReLU(inplace=True),
    "relu_": lambda h: h.relu_(),
    "F.relu_": F.relu_,
    "relu_-ignoring-the-result": _ignores_result,
}
PIECEWISE: dict[str, Activation] = {
    "leaky_relu": lambda h: F.leaky_relu(h, 0.2),
    "leaky_relu-inplace": nn.LeakyReLU(0.2, inplace=True),
    "relu6": F.relu6,
    "relu6-inplace": nn.ReLU6(inplace=True),
    "hardtanh": lambda h: F.hardtanh(h, -0.3, 0.4),
    "hardtanh-inplace": lambda h: F.hardtanh(h, -0.3, 0.4, True),
    "threshold-inplace": nn.Threshold(0.1, 0.2, inplace=True),
    "clamp": lambda h: h.clamp(-0.3, 0.4),
    "clamp_": lambda h: h.clamp_(-0.3, 0.4),
    "clamp_min": lambda h: torch.clamp_min(h, 0.1),
    "clamp_min_": lambda h: h.clamp_min_(0.1),
    "abs": torch.abs,
}
SMOOTH: dict[str, Activation] = {"gelu": F.gelu, "silu": F.silu, "softplus": lambda h: F.softplus(h, beta=5)}
NETWORKS: dict[str, Factory] = {
    **{
        name: (lambda activation=activation: ConvNet(activation))
        for name, activation in (RELU_SPELLINGS | PIECEWISE | SMOOTH).items()
    },
    "adaptive-max-pool": lambda: ConvNet(F.relu, lambda h: F.adaptive_max_pool2d(h, 4)),
    "mixed-smooth-and-not": lambda: ConvNet(lambda h: F.relu(F.gelu(h) - 0.05)),
    "residual": ResidualNet,
    "residual-inplace": lambda: ResidualNet(inplace=True),
    "torch.batch_norm": lambda: ResidualNet(direct_batch_norm=True),
    "prelu": lambda: ConvNet(nn.PReLU()),
    "attention": Attention,
    "learnt-bound": lambda: ConvNet(LearntBound()),
    "dynamic-filter": DynamicFilter,
    "weight-norm": WeightNorm,
    "conv1d": Sequence,
    "small_cnn": small_cnn,
    "resnet18": lambda: ResNet18(CLASSES, in_channels=2, width=16),
}


def toy() -> nn.Module:
    """For the digits."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 32), nn.ReLU(), nn.Linear(32, 10)
    )


def seeded(factory: Factory, seed: int = 0) -> nn.Module:
    """The same weights every time, whatever was drawn before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return factory()
