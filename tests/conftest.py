"""What more than one folder of tests needs: real data sets, a world without the Hub, networks and images for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast.data.digits import load_digits
from holdfast.data.loader import to_unit_interval
from holdfast.models import SmallCNN
from tests.networks import NETWORKS, RELU_SPELLINGS, Activation, ConvNet, seeded, toy

_HOLDFAST_DATA = os.environ.get("HOLDFAST_DATA")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder above the real copy of a data set; skips when there is none."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    root = Path(_HOLDFAST_DATA) if _HOLDFAST_DATA else default

    def find(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no real {name}: set HOLDFAST_DATA to a folder with {name}/*.parquet")
        return root

    return find


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the Hub unreachable at once, and leave local reading as it is."""
    import datasets

    real = datasets.load_dataset

    def load(path: str, *args: object, **options: object) -> object:
        if path in ("parquet", "imagefolder"):
            return real(path, *args, **options)
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub (offline)")

    monkeypatch.setattr(datasets, "load_dataset", load)


WRONGLY_TYPED = {
    "test_a_model_must_return_logits",
    "test_activation_consistency_needs_relus",
    "test_errors",
    "test_gamma_edges",
    "test_impossible_k_is_named",
    "test_impossible_settings",
    "test_impossible_weights",
    "test_unequal_shapes_are_named",
    "test_wrong_arguments_are_named",
    "test_wrong_batches_are_named",
}
TYPED = {"attacks", "attribution", "core", "gradient", "metrics", "objectives"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--jaxtyping-packages`` the type checker refuses, with its own error, what these tests pass in."""
    if config.getoption("--jaxtyping-packages", default=None):
        for item in items:
            if item.path.parent.name in TYPED and item.originalname in WRONGLY_TYPED:  # type: ignore[attr-defined]
                item.add_marker(pytest.mark.skip(reason="the type checker refuses these arguments first"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread_every_warning() -> Iterator[None]:
    """Networks this small lose by sharing the work out; a warning given once would fail only one of many tests."""
    threads, always = torch.get_num_threads(), torch.is_warn_always_enabled()
    torch.set_num_threads(1)
    torch.set_warn_always(True)
    yield
    torch.set_num_threads(threads)
    torch.set_warn_always(always)


@pytest.fixture(autouse=True)
def _same_randomness_in_any_order() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=[*NETWORKS])
def any_network(request: pytest.FixtureRequest) -> nn.Module:
    """Every network above in turn, on (B, 2, 8, 8), in training mode, float32."""
    return seeded(NETWORKS[request.param])


@pytest.fixture
def make_network() -> Callable[[str], nn.Module]:
    """A network by name."""
    return lambda name: seeded(NETWORKS[name])


@pytest.fixture
def conv_net() -> Callable[[Activation], nn.Module]:
    """The plain network with an activation of the test's own; always the same weights."""
    return lambda activation: seeded(lambda: ConvNet(activation))


@pytest.fixture(params=[*RELU_SPELLINGS])
def relu_spelling(request: pytest.FixtureRequest) -> nn.Module:
    return seeded(NETWORKS[request.param])


@pytest.fixture
def pair() -> tuple[Tensor, Tensor, Tensor]:
    """Two unlike batches of images in float64, (3, 2, 8, 8), and their labels."""
    generator = torch.Generator().manual_seed(7)
    x = torch.rand(3, 2, 8, 8, generator=generator, dtype=torch.float64)
    x_adv = torch.rand(3, 2, 8, 8, generator=generator, dtype=torch.float64)
    return x, x_adv, torch.tensor([0, 3, 1])


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    data = load_digits("train")
    return to_unit_interval(data.images[:400]), data.labels[:400]


@pytest.fixture(scope="session")
def _trained(digits: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    x, y = digits
    net = seeded(toy)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for step in range(80):
        rows = torch.arange(step * 100, step * 100 + 100) % len(x)
        optimizer.zero_grad()
        F.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
    return net.state_dict()


@pytest.fixture
def network() -> nn.Module:
    """SmallCNN for the digits with random weights, its last layer not zero."""

    def build() -> nn.Module:
        net = SmallCNN(image_size=8)
        nn.init.normal_(net.fc3.weight, std=0.1)
        return net

    return seeded(build).eval()


@pytest.fixture
def trained(_trained: dict[str, Tensor]) -> nn.Module:
    """A little network that knows most of the digits; a fresh copy for each test."""
    net = seeded(toy)
    net.load_state_dict(_trained)
    return net
