"""PyTorch's compiler takes seconds to import: nothing here does so, and a network that does is still seen whole."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import torch
from torch import nn
import holdfast as hf

torch.manual_seed(0)
net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).double()
x, x_adv = torch.rand(2, 3, 1, 2, 2, dtype=torch.float64)

def gradient(model):
    weight, = torch.autograd.grad(hf.attribution_penalty(model, x, x_adv, 1).sum(), net[1].weight)
    return weight

plain = gradient(net)
hf.PGD(0.1, 0.05, 2)(net, x, torch.tensor([0, 1, 1]))
print("torch._dynamo" in sys.modules)

class CompilesInItsFirstPass(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.fast = net, None

    def forward(self, images):
        if self.fast is None:
            self.fast = [torch.compile(self.net, backend="eager")]
        return self.fast[0](images)

print(torch.allclose(gradient(CompilesInItsFirstPass()), plain, rtol=1e-9))
print("torch._dynamo" in sys.modules)
"""


def test_imported_by_the_network_alone() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "True", "True"]
