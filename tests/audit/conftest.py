"""A small network and three images that audits are tried on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.audit.result import AuditResult

SETTINGS = hf.AuditSettings((hf.Saliency(), hf.IntegratedGradients(4)), eps=(0.02, 0.1), k=6, images=3, certify=False)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def result(net: nn.Module, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> AuditResult:
    return hf.audit(net, images, SETTINGS, out=tmp_path_factory.mktemp("audit") / "a")
