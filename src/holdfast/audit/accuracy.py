"""The accuracy on the audited images, and what is odd of it."""

from __future__ import annotations

import scipy
import torch
from torch import Tensor

from holdfast.audit.settings import AuditSettings
from holdfast.data.image_data import ImageData, labels_for
from holdfast.errors import HoldfastError
from holdfast.models.libraries import FoundModel
from holdfast.models.state import evaluating
from holdfast.report.words import counted


def accuracy_of(
    found: FoundModel, data: ImageData, x: Tensor, settings: AuditSettings, *, indices: bool = False
) -> tuple[float | None, str]:
    """The share that is classified correctly, and what is odd of it; None and the reason where it cannot be said.

    ``indices`` says that the labels are places in the model's own logits, as they are beside tensors.
    """
    if not data.labelled:
        return None, ""
    if settings.multi_label:
        return None, "accuracy is not known: class folders give one label an image, the model gives several"
    with evaluating(found.model), torch.no_grad():
        logits = torch.cat([found.model(part) for part in x.split(50)])
    labels = data.labels
    if found.classes and not indices:
        try:
            labels = labels_for(data, found.classes)
        except HoldfastError as error:
            return None, f"accuracy is not known: {error}".rstrip(".")
    elif not indices and logits.shape[1] != data.num_classes:
        return None, f"accuracy is not known: the model has {logits.shape[1]} classes, the folders {data.num_classes}"
    accuracy = float((logits.argmax(1).cpu() == labels[: len(x)]).float().mean())
    return accuracy, _guessing(accuracy, len(x), logits.shape[1])


def _guessing(accuracy: float, images: int, classes: int) -> str:
    """What is said of an accuracy that chance alone reaches in more than one of twenty cases.

    >>> _guessing(0.9, 20, 10), _guessing(0.5, 6, 2).partition(" among")[0]
    ('', 'an accuracy of 50 % on 6 images is no better than guessing')
    """
    if scipy.stats.binom.sf(round(accuracy * images) - 1, images, 1 / classes) <= 0.05:
        return ""
    return (
        f"an accuracy of {100 * accuracy:.0f} % on {counted(images, 'image')} is no better than guessing among "
        f"{classes} classes; are the weights loaded, the classes in the order of the folders, and does the model "
        "expect a normalisation (--mean and --std)?"
    )
