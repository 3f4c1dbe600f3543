"""Arguments of neighbouring libraries, outputs and types as people have them: the right value, or one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks import FGSM, AutoAttack, Square
from holdfast.attribution import External, GradCAM
from holdfast.models.find import FoundModel, fitted
from holdfast.models.resolve import build_model

X, Y = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1])


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


def one_line(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(hf.HoldfastError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


WRAPPED: dict[str, Callable[[Tensor], Any]] = {
    "dict": lambda z: {"logits": z},
    "tuple": lambda z: (z, None),
    "list": lambda z: [z],
    "object": lambda z: SimpleNamespace(logits=z),
}
CALLS: dict[str, Callable[[Any], Tensor]] = {
    "ig": lambda f: hf.integrated_gradients(f, X, Y, n_steps=3),
    "pgd": lambda f: hf.PGD(0.1, 0.05, 2, random_start=False)(f, X, Y),
    "penalty": lambda f: hf.igr_penalty(f, X, 1 - X, Y, n_steps=3),
    "ifia": lambda f: hf.IFIA(0.1, 0.05, 2, 4)(f, X, Y),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", WRAPPED)
def test_outputs_that_are_no_logits_name_the_adapter_and_it_works(net: nn.Module, kind: str, call: str) -> None:
    def wrapped(z: Tensor) -> Any:
        return WRAPPED[kind](net(z))

    one_line(lambda: CALLS[call](wrapped), r"returned .*; it must return logits.*holdfast\.Logits")
    torch.testing.assert_close(CALLS[call](hf.Logits(wrapped)), CALLS[call](net))


@pytest.mark.parametrize("call", CALLS)
def test_one_logit_is_named_and_read_as_that_of_the_second_class(net: nn.Module, call: str) -> None:
    def one(z: Tensor) -> Tensor:
        return net(z)[:, :1]

    def two(z: Tensor) -> Tensor:
        return torch.cat([-one(z) / 2, one(z) / 2], 1)

    one_line(lambda: CALLS[call](one), r"1 logit.*holdfast\.Logits")
    torch.testing.assert_close(CALLS[call](hf.Logits(one)), CALLS[call](two))


@pytest.mark.parametrize("target", [np.int64(2), np.array(2), torch.tensor(2), [2, 2], np.array([2, 2], np.uint8)])
def test_targets_as_numbers_of_other_libraries(net: nn.Module, target: Any) -> None:
    torch.testing.assert_close(
        hf.integrated_gradients(net, X, target), hf.integrated_gradients(net, X, torch.tensor([2, 2]))
    )


@pytest.mark.parametrize("k", [np.int64(3), np.int32(3), np.uint8(3)])
def test_k_of_numpy(k: Any) -> None:
    torch.testing.assert_close(hf.topk_intersection(X, X.flip(3), k), hf.topk_intersection(X, X.flip(3), 3))


@pytest.mark.parametrize("baselines", [None, (X * 0,), "black", [X * 0, X * 0], [0.0, None]])
def test_baselines_that_are_none(net: nn.Module, baselines: Any) -> None:
    one_line(lambda: hf.integrated_gradients(net, X, Y, baselines=baselines), r"^baselines (are|have) ")


@pytest.mark.parametrize("eps", ["8/255", torch.tensor([0.1, 0.2]), None, (0.1, 0.2), True])
def test_a_radius_that_is_no_number(eps: Any) -> None:
    for attack in (hf.PGD, hf.IFIA, FGSM):
        one_line(lambda attack=attack: attack(eps=eps), r"^eps is .*; it must be one number")


@pytest.mark.parametrize("part", [hf.PGD, hf.IFIA, FGSM, AutoAttack, hf.IntegratedGradients, GradCAM, hf.Standard])
def test_the_model_belongs_to_the_call(net: nn.Module, part: Any) -> None:
    words = rf"^{part.__name__} was given a model; .* {part.kind}\(model, x, y\)"
    for call in (lambda: part(net), lambda: part(net, eps=0.1), lambda: part(model=net), lambda: part(net, 0.1, 2, 3)):
        one_line(call, words)
    one_line(lambda: part(lambda x: net(x), eps=0.1), words)


def test_a_part_whose_first_setting_is_a_function() -> None:
    @dataclass(frozen=True)
    class Of(hf.Metric):
        fn: Callable[[Tensor], Tensor] = torch.abs

        def __call__(self, maps: Tensor, reference: Tensor) -> Tensor:
            return (self.fn(maps) - self.fn(reference)).flatten(1).sum(1)

    assert Of(torch.square)(X, X).tolist() == [0.0, 0.0]
    one_line(lambda: Of(nn.Linear(2, 2)), "^Of was given a model")


def test_an_explanation_may_be_a_module(net: nn.Module) -> None:
    class Pixels(nn.Module):
        def forward(self, x: Tensor, target: Tensor) -> Tensor:
            return x

    torch.testing.assert_close(External(Pixels())(net, X, Y), X)


@pytest.mark.parametrize(
    "attack", [hf.PGD(8, 2, 2), hf.IFIA(8.0, 2.0, 2, 4), FGSM(16), hf.PGD(1.01, 0.1, 2), Square(8.0, 5)]
)
def test_a_radius_of_other_pixels_is_questioned(net: nn.Module, attack: Any) -> None:
    with pytest.warns(hf.HoldfastWarning, match=r"eps is .* / 255"):
        attack(net, X, Y)


@pytest.mark.parametrize("attack", [hf.PGD(1.0), hf.PGD(2.0, norm="L2"), hf.PGD(np.float32(0.1))])
def test_a_radius_that_may_be(net: nn.Module, attack: Any) -> None:
    attack(net, X, Y)


@pytest.mark.parametrize("inputs", [X.numpy(), X.tolist(), (X * 255).to(torch.uint8), X[:0], None])
def test_inputs_that_are_no_float_batch(net: nn.Module, inputs: Any) -> None:
    one_line(lambda: hf.integrated_gradients(net, inputs, Y), "^inputs are .*; pass a non-empty float batch")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("call", CALLS)
def test_frozen_programs_have_no_modes(net: nn.Module, call: str) -> None:
    frozen = torch.jit.freeze(torch.jit.trace(net, X))
    torch.testing.assert_close(CALLS[call](frozen), CALLS[call](net))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_another_type(net: nn.Module, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    other = net.to(kind)
    words = rf"images are torch.float32 and the model's weights {re.escape(str(kind))}: .*convert"
    for call in CALLS.values():
        one_line(lambda call=call: call(other), words)
    one_line(lambda: hf.evaluate(other, (X, Y)), words)
    monkeypatch.setattr("holdfast.models.resolve._factory", lambda spec: lambda: other)
    source = rf"^images are torch.float32 and model any's weights {re.escape(str(kind))}: convert it with \.to\(.*made"
    one_line(lambda: build_model("any", (1, 8, 8), 3), source)
    one_line(lambda: fitted(FoundModel(other, "any"), X), source)
    one_line(lambda: fitted(FoundModel(torch.jit.trace(other, X.to(kind)), "any"), X), source)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_network_of_two_types(net: nn.Module) -> None:
    net[3].double()
    words = r"weights torch\.float32 and torch\.float64: convert (the model with model|it with )\.to\(torch\.float32\)"
    one_line(lambda: hf.integrated_gradients(net, X, Y), words)
    one_line(lambda: fitted(FoundModel(net, "any"), X), words)
    one_line(lambda: fitted(FoundModel(torch.jit.trace(net[:3], X), "any"), X[:, :, 1:]), "shapes cannot be multiplied")
