"""What maps of different images have in common: measured beside the attack, and said where it is much."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import holdfast as hf
from holdfast.audit.page import document_of
from holdfast.evaluate.faithfulness import another_image, of_other_images

K, IMAGES = 6, torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
FIXED = torch.rand(64, generator=torch.Generator().manual_seed(2)).view(1, 1, 8, 8)


def same_for_all(x: Tensor, target: Tensor) -> Tensor:
    return FIXED.expand_as(x)


def of_the_image(x: Tensor, target: Tensor) -> Tensor:
    return x**8


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


@pytest.fixture(scope="module")
def result(net: nn.Module) -> hf.AuditResult:
    methods = tuple(hf.External(f"{__file__}:{name}") for name in ("same_for_all", "of_the_image"))
    return hf.audit(net, IMAGES, hf.AuditSettings(methods, eps=(0.02,), k=K, images=8, certify=False))


def test_a_map_that_is_the_same_for_every_image(result: hf.AuditResult) -> None:
    same, own = result.explanations
    assert result.another(same).mean == 1
    assert result.alike(same)
    assert not result.alike(own)
    assert "maps of same_for_all for different images share 100 %" in result.verdict()
    assert any("Do not take steadiness of same_for_all for insight" in step for step in result.next_steps())
    assert not any("steadiness of of_the_image" in step for step in result.next_steps())
    assert result.to_dict()["another_image"]["same_for_all"] == 1


def test_the_number_is_that_of_the_maps_of_two_classes(result: hf.AuditResult, net: nn.Module) -> None:
    predicted = net(IMAGES).argmax(1)
    other = another_image(predicted).tolist()
    assert all(predicted[i] != predicted[j] for i, j in enumerate(other))
    tops = [set(IMAGES[i].flatten().topk(K).indices.tolist()) for i in range(8)]
    expected = [len(tops[i] & tops[j]) / K for i, j in enumerate(other)]
    assert result.rows(result.explanations[1], "map")["another"].tolist() == pytest.approx(expected)


def test_without_classes_the_other_is_the_next() -> None:
    tops = [set(IMAGES[i].flatten().topk(K).indices.tolist()) for i in range(8)]
    found = of_other_images(IMAGES**8, hf.TopK(K)).tolist()
    assert found == pytest.approx([len(tops[i] & tops[(i + 1) % 8]) / K for i in range(8)])


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12))
def test_the_other_image_is_the_nearest_following_of_another_class(classes: list[int]) -> None:
    count = len(classes)
    for i, other in enumerate(another_image(torch.tensor(classes)).tolist()):
        following = [(i + step) % count for step in range(1, count)]
        wanted = next((j for j in following if classes[j] != classes[i]), following[0])
        assert other == wanted


def test_an_audit_from_before_has_no_such_number(result: hf.AuditResult) -> None:
    before = replace(result, records=result.records.drop(columns="another"))
    assert before.to_dict()["another_image"] == {"same_for_all": None, "of_the_image": None}
    assert "of another image" in document_of(before).to_markdown()


def test_one_image_has_no_other() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    found = hf.audit(net, IMAGES[:1], hf.AuditSettings((hf.Saliency(),), eps=(0.02,), k=K, images=1, certify=False))
    assert found.another("Saliency").n == 0
    with pytest.raises(hf.HoldfastError, match="there is 1 map"):
        of_other_images(IMAGES[:1], hf.TopK(K))


def test_intervals_of_shares_stay_within_all_and_nothing(result: hf.AuditResult) -> None:
    few = replace(result, records=result.records[result.records["index"] < 2])
    for explanation in few.explanations:
        for metric in (few.topk, f"lens_recall_{K}"):
            found = few.mean(explanation, "attack", metric, 0.02)
            assert found.n == 2
            assert found.low is None or 0 <= found.low <= found.high <= 1
