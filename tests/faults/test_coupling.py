"""Networks that couple the images of a batch, or are random, are warned of before an evaluation begins."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf


class _Coupled(nn.Module):
    """Centres over the batch, or leaves dropout on, also in evaluation mode."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.head = how, nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        features = x.flatten(1)
        if self.how == "centred":
            features = features - features.mean(0)
        if self.how == "dropout":
            features = nn.functional.dropout(features, 0.5, training=True)
        return self.head(features)


@pytest.mark.parametrize(
    ("how", "said"), [("centred", "depend on the images beside it"), ("dropout", "the model is random"), ("", "")]
)
def test_coupled_batches_and_randomness_are_warned_of_before_any_work(how: str, said: str) -> None:
    images, labels = torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)
    seen: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def started(seconds: float) -> None:
            seen.extend(str(warning.message) for warning in caught)

        hf.evaluate(_Coupled(how), (images, labels), eps=0.1, attributions=(), predictions=(), on_start=started)
    about = [text for text in seen if "depend on the images" in text or "is random" in text]
    assert len(about) == bool(how)
    assert all(said in text for text in about)
