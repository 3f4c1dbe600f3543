"""The control beside every attack: what the maps of an image have in common with those of another image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.evaluate.faithfulness import another_image
from holdfast.report.quantities import values_of
from holdfast.results.result import result_of

K = 5
IMAGES = torch.rand(7, 1, 4, 4, generator=torch.Generator().manual_seed(3))
FIXED = torch.rand(16, generator=torch.Generator().manual_seed(2)).view(1, 1, 4, 4)


def same_for_all(x: Tensor, target: Tensor) -> Tensor:
    return FIXED.expand_as(x)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)).eval()


def done(net: nn.Module, attribution: hf.Attribution, images: Tensor = IMAGES, **options: Any) -> Any:
    return hf.evaluate(
        net,
        (images, net(images).argmax(1)),
        eps=0.1,
        predictions=(),
        attributions=(attribution,),
        attacks=(hf.RandomSigns(0.1, 2, K),),
        metrics=(hf.TopK(K), hf.KendallTau()),
        **options,
    )


def control(result: Any) -> Any:
    return result.records[result.records["kind"] == "control"].set_index("index")


def test_each_map_is_compared_with_that_of_another_image_for_its_own_label(net: nn.Module) -> None:
    labels = net(IMAGES).argmax(1)
    assert len(labels.unique()) > 1
    x = IMAGES.clone().requires_grad_()
    maps = torch.autograd.grad(net(x).gather(1, labels[:, None]).sum(), x)[0]
    other = another_image(labels)
    assert bool((labels[other] != labels).all())
    tops = [set(m.flatten().abs().topk(K).indices.tolist()) for m in maps]
    rows = control(done(net, hf.Saliency()))
    assert rows[f"top_{K}"].tolist() == pytest.approx([len(tops[i] & tops[j]) / K for i, j in enumerate(other)])


def test_maps_that_are_the_same_for_every_image_are_told_of(net: nn.Module) -> None:
    same = done(net, hf.External(same_for_all))
    assert any("maps of different images share 100.0%" in text for text in same.warnings)
    assert same.summary.metrics["other_image_topk"].mean == 1
    own = done(net, hf.Saliency())
    assert not any("maps of different images" in text for text in own.warnings)
    frame = own.to_frame().set_index(["attack", "metric"])
    assert frame.loc[("other_image", "kendall"), "n"] == len(IMAGES)


def test_the_worst_of_all_attacks_is_not_another_image(net: nn.Module) -> None:
    result = done(net, hf.Saliency())
    random = result.records[result.records["kind"] == "attribution"][f"top_{K}"]
    assert result.summary.metrics["worst_topk"].mean == pytest.approx(random.mean())
    assert control(result)[f"top_{K}"].mean() < random.mean()


def test_records_from_before_are_completed_and_kept(net: nn.Module, tmp_path: Path) -> None:
    first = done(net, hf.Saliency(), out=tmp_path)
    kept = {p.name: p.read_bytes() for p in (tmp_path / "records").iterdir()}
    assert any(name.startswith("control") for name in kept)
    for path in (tmp_path / "records").glob("control-*"):
        path.unlink()
    begun: set[str] = set()

    def note(kind: str, images: float, total: int) -> None:
        if images < total:
            begun.add(kind)

    again = done(net, hf.Saliency(), out=tmp_path, on_images=note)
    assert begun == {"control"}
    assert again.records.equals(first.records)
    assert {p.name: p.read_bytes() for p in (tmp_path / "records").iterdir()} == kept


def test_one_image_has_no_other(net: nn.Module) -> None:
    assert control(done(net, hf.Saliency(), IMAGES[:1])).empty


def nowhere_on_the_first(x: Tensor, target: Tensor) -> Tensor:
    return torch.where((x == IMAGES[0]).flatten(1).all(1).view(-1, 1, 1, 1), x.new_tensor(float("nan")), x)


def test_an_image_without_a_map_takes_no_number_from_the_others(net: nn.Module) -> None:
    run = result_of(done(net, hf.External(nowhere_on_the_first)))
    beside = another_image(net(IMAGES).argmax(1)).tolist()
    assert sorted(values_of(run, "kendall")) == sorted(values_of(run, "worst_topk")) == [1, 2, 3, 4, 5, 6]
    assert sorted(values_of(run, "other_image_kendall")) == [i for i in range(1, 7) if beside[i] != 0]
