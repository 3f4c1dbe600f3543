"""Less than float32 in the training pass: near its gradient, logged, warned of, and resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from holdfast import HoldfastError, HoldfastWarning
from holdfast.data.image_data import ImageData
from holdfast.evaluate import Protocol, evaluate
from holdfast.recipes import METHODS
from holdfast.train import loop, train
from holdfast.train.config import TrainConfig
from holdfast.train.folder import read_metrics
from holdfast.train.precision import lay_out

pytestmark = pytest.mark.filterwarnings("ignore:at step")  # hardly trained networks: rounding turns attacks round


OTHERS = ("trades-igr", "mart", "ig-norm", "advaat", "art", "r2et")


@pytest.mark.parametrize("method", ["at-igr", "ssr", *(pytest.param(m, marks=pytest.mark.slow) for m in OTHERS)])
def test_every_objective_runs_and_is_checked_once_an_epoch(
    method: str, tmp_path: Path, tiny: Callable[..., TrainConfig]
) -> None:
    assert method in METHODS
    epochs = 2 if method == "at-igr" else 1
    config = replace(tiny(f"digits-{method}", optim_epochs=epochs), precision="bfloat16")
    folder = train(config, tmp_path / "run")
    checks = [line for line in read_metrics(folder.metrics) if line["kind"] == "precision"]
    assert [line["epoch"] for line in checks] == [*range(1, epochs + 1)]
    assert all(0.3 < line["gradient_cosine"] <= 1 + 1e-6 for line in checks)
    assert all(value.dtype == torch.float32 for value in load_file(folder.last).values())


@pytest.mark.slow
def test_it_is_really_lower_precision(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    full = tiny("digits-trades-igr", optim_epochs=3)
    a, b = train(full, tmp_path / "a"), train(replace(full, precision="bfloat16"), tmp_path / "b")
    first, second = load_file(a.last), load_file(b.last)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_bad_gradient_is_warned_of(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LEAST_COSINE", 1.1)
    config = replace(tiny("digits-at-igr", optim_epochs=1), precision="bfloat16")
    with pytest.warns(HoldfastWarning, match="cosine of only .* --precision float32 is safer"):
        train(config, tmp_path / "run")


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = replace(tiny("digits-trades-igr", optim_epochs=2), precision="bfloat16")
    whole = train(config, tmp_path / "whole")
    steps = iter([False, False, True])
    train(config, tmp_path / "parts", stop=lambda: next(steps, False))
    parts = train(config, tmp_path / "parts", resume=True)
    first, second = load_file(whole.last), load_file(parts.last)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_metrics(whole.metrics) == read_metrics(parts.metrics)


def test_tfloat32_is_refused_where_it_would_be_float32(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = replace(tiny("digits-at"), precision="tfloat32")
    with pytest.raises(HoldfastError, match=r"tfloat32 .* is on cpu; choose float32, or bfloat16"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tf32_is_allowed_in_the_training_pass_alone(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def note(what: str, real: Callable) -> Callable:
        def noting(*args: object) -> object:
            seen.append(f"{what} {'TF32' if torch.backends.cuda.matmul.allow_tf32 else 'float32'}")
            return real(*args)

        return noting

    monkeypatch.setattr(loop, "check_precision", lambda precision, device: None)
    monkeypatch.setattr(loop, "validate", note("validation", loop.validate))
    backward = Tensor.backward
    monkeypatch.setattr(Tensor, "backward", note("backward", backward))
    config = replace(tiny("digits-at-igr", optim_epochs=1), precision="tfloat32")
    folder = train(config, tmp_path / "run")
    (steps,) = {line["step"] for line in read_metrics(folder.metrics) if line["kind"] == "validation"}
    compared = ["backward float32", "backward TF32"]
    assert seen == [*compared, *["backward TF32"] * steps, "validation float32"]
    checks = [line["gradient_cosine"] for line in read_metrics(folder.metrics) if line["kind"] == "precision"]
    assert checks == pytest.approx([1.0])  # a CPU computes both alike
    assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_float32_means_full_float32(
    tmp_path: Path,
    tiny: Callable[..., TrainConfig],
    toy: nn.Module,
    test_images: ImageData,
    tiny_protocol: Protocol,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyTorch alone would round the inputs of convolutions on CUDA."""
    allowed: set[bool] = set()
    assert torch.backends.cudnn.allow_tf32
    config = tiny("digits-at-igr", optim_epochs=1)
    monkeypatch.setattr("holdfast.train.setup.build_model", lambda *args: Noting(toy, allowed))
    train(config, tmp_path / "run")
    evaluate(Noting(toy, allowed), test_images, tiny_protocol, tmp_path / "eval")
    assert allowed == {False}


class Noting(nn.Module):
    def __init__(self, net: nn.Module, allowed: set[bool]) -> None:
        super().__init__()
        self.net = net
        self.allowed = allowed

    def forward(self, x: Tensor) -> Tensor:
        self.allowed.add(torch.backends.cudnn.allow_tf32)
        return self.net(x)


def test_tensor_cores_get_channels_last() -> None:
    net = nn.Conv2d(4, 4, 3)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    for precision, device, last in (
        ("bfloat16", cuda, True),
        ("tfloat32", cuda, True),
        ("float32", cuda, False),
        ("bfloat16", cpu, False),
    ):
        lay_out(net.to(memory_format=torch.contiguous_format), precision, device)
        assert net.weight.is_contiguous(memory_format=torch.channels_last) is last


def test_a_channels_last_run_leaves_ordinary_weights(
    tmp_path: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("digits-trades-igr", optim_epochs=2)
    ordinary = load_file(train(config, tmp_path / "ordinary").last)
    monkeypatch.setattr(
        "holdfast.train.setup.lay_out", lambda model, precision, device: model.to(memory_format=torch.channels_last)
    )
    whole = train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", stop=iter([False, True]).__next__)
    found, parts = load_file(whole.last), load_file(train(config, tmp_path / "parts", resume=True).last)
    for name, value in ordinary.items():
        assert found[name].is_contiguous()
        assert torch.equal(found[name], parts[name])
        torch.testing.assert_close(found[name], value, rtol=0.1, atol=2e-2)
