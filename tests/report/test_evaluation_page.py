"""The page of one evaluation."""

from __future__ import annotations

import torch
from torch import nn

import holdfast as hf
from holdfast.metrics.stats import Interval
from holdfast.report.evaluation import evaluation_document


def test_its_numbers_are_those_of_the_evaluation() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    images = torch.rand(6, 1, 4, 4)
    protocol = hf.Protocol(
        predictions={"fgsm": hf.FGSM(0.1)},
        attributions=(hf.Saliency(),),
        attacks={"random": hf.RandomSigns(0.1, 2, 3), "more": hf.RandomSigns(0.2, 2, 3)},
        metrics=(hf.KendallTau(), hf.TopK(3)),
    )
    result = hf.evaluate(net, (images, net(images).argmax(1)), protocol, name="net<1>")
    assert result is not None
    document = evaluation_document(result)
    tables = {table.title: table for table in document.tables}
    assert list(tables) == [
        "Predictions",
        "Saliency under attack: shares (%)",
        "Saliency under attack: correlations and others",
    ]
    kendall = tables["Saliency under attack: correlations and others"]
    assert [column.key for column in kendall.columns] == ["random", "more", "worst", "other_image", "chance"]
    cells = kendall.rows[0].cells
    stored = result.summary.metrics
    for cell, name in zip(cells, ("kendall", "more_kendall", "worst_kendall", "other_image_kendall"), strict=False):
        assert isinstance(cell, Interval)
        assert cell.mean == stored[name].mean
    assert cells[-1] == 0.0
    share = tables["Saliency under attack: shares (%)"].columns[2].written(stored["worst_topk"])
    assert document.answer.startswith(f"Under the worst of all attacks {share} % of the 3 most important features")
    assert document.answer.endswith("the accuracy without attack is 100.0 %.")
    assert "net&lt;1&gt;" in document.to_html()


def test_the_answer_names_the_explanation_and_says_what_every_map_shares() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        net[1].weight.copy_(torch.linspace(1, 2, 16) * torch.tensor([[1.0], [1.1], [1.2]]))
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    result = hf.evaluate(
        net, (images, net(images).argmax(1)), eps=0.01, attributions=("saliency", "input-x-gradient"),
        attacks=["random-signs"], predictions=[], metrics=["TopK(k=3)"],
    )  # fmt: skip
    answer = evaluation_document(result).answer
    assert "are left (Saliency); maps of different images share 100.0 % of these features anyway" in answer
