from __future__ import annotations

import pytest
import torch
from torch import Tensor

from holdfast.data import DeviceLoader, ImageData
from holdfast.data.loader import crop_flip, draw_crop_flip
from holdfast.errors import HoldfastError

COUNT = 37


@pytest.fixture(scope="module")
def numbered() -> ImageData:
    """Images whose label is their position and whose pixels are all different from each other's."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (COUNT, 2, 6, 5), generator=generator, dtype=torch.uint8)
    names = tuple(map(str, range(COUNT)))
    return ImageData("numbered", "train", images, torch.arange(COUNT), names, "by hand")


def seen(loader: DeviceLoader, epoch: int) -> list[int]:
    return torch.cat([labels for _, labels in loader.batches(epoch)]).tolist()


def same(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(left[0], right[0]) and torch.equal(left[1], right[1])


def test_every_epoch_is_another_permutation(numbered: ImageData) -> None:
    loader = DeviceLoader(numbered, batch_size=8)
    epochs = [seen(loader, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(COUNT)) for order in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert len(loader) == 5
    assert epochs[0] != seen(DeviceLoader(numbered, batch_size=8, seed=1), 0)


def test_images_go_with_their_labels(numbered: ImageData) -> None:
    images, labels = DeviceLoader(numbered, batch_size=8, dtype=torch.float64).batch(2, 1)
    assert torch.equal((images * 255).round().to(torch.uint8), numbered.images[labels])
    assert images.dtype == torch.float64
    assert labels.dtype == torch.int64


def test_unshuffled_keeps_the_order(numbered: ImageData) -> None:
    assert seen(DeviceLoader(numbered, batch_size=10, shuffle=False), 4) == list(range(COUNT))


def test_drop_last_leaves_out_the_short_batch(numbered: ImageData) -> None:
    loader = DeviceLoader(numbered, batch_size=8, drop_last=True)
    assert len(loader) == 4
    assert [len(labels) for _, labels in loader.batches(0)] == [8] * 4


def test_a_new_loader_goes_on_in_the_middle_of_an_epoch(numbered: ImageData) -> None:
    first = DeviceLoader(numbered, batch_size=8, augment="crop_flip", seed=5)
    before = [*first.batches(0), *first.batches(1)]
    again = DeviceLoader(numbered, batch_size=8, augment="crop_flip", seed=5)
    for old, new in zip(before[5 + 2 :], again.batches(1, start=2), strict=True):
        assert same(old, new)
    assert same(again.batch(0, 3), before[3])


@pytest.mark.parametrize("world_size", [2, 3, 4, 7])
@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_ranks_together_are_the_batch_of_one_process(numbered: ImageData, world_size: int, augment: str) -> None:
    alone = DeviceLoader(numbered, batch_size=8, augment=augment)
    ranks = [
        DeviceLoader(numbered, batch_size=8, augment=augment, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for i in range(len(alone)):
        shares = [loader.batch(3, i) for loader in ranks]
        joined = torch.cat([s[0] for s in shares]), torch.cat([s[1] for s in shares])
        assert same(joined, alone.batch(3, i))
        sizes = [len(labels) for _, labels in shares]
        assert max(sizes) - min(sizes) <= 1


def naive_crop_flip(image: Tensor, top: int, left: int, flip: int) -> Tensor:
    channels, height, width = image.shape
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            row = y + top - 4
            column = (width - 1 - x if flip else x) + left - 4
            if 0 <= row < height and 0 <= column < width:
                for channel in range(channels):
                    out[channel, y, x] = image[channel, row, column]
    return out


def test_augmentation_equals_a_loop_over_pixels(numbered: ImageData) -> None:
    choices = draw_crop_flip(COUNT, torch.Generator().manual_seed(3))
    expected = torch.stack([naive_crop_flip(im, *c) for im, c in zip(numbered.images, choices.tolist(), strict=True)])
    assert torch.equal(crop_flip(numbered.images, choices), expected)


def test_augmented_batches_keep_form_and_labels(numbered: ImageData) -> None:
    plain = DeviceLoader(numbered, batch_size=8).batch(0, 0)
    moved = DeviceLoader(numbered, batch_size=8, augment="crop_flip").batch(0, 0)
    assert moved[0].shape == plain[0].shape
    assert torch.equal(moved[1], plain[1])
    assert not torch.equal(moved[0], plain[0])
    assert moved[0].min() >= 0
    assert moved[0].max() <= 1


def test_choices_are_uniform_and_change_with_epoch_and_batch(numbered: ImageData) -> None:
    choices = draw_crop_flip(9000, torch.Generator().manual_seed(0))
    for column in (0, 1):
        counts = torch.bincount(choices[:, column], minlength=9)
        assert len(counts) == 9
        assert counts.min() > 850
        assert counts.max() < 1150
    assert 0.47 < choices[:, 2].double().mean() < 0.53

    whole = torch.full((64, 1, 9, 9), 255, dtype=torch.uint8)
    data = ImageData("white", "train", whole, torch.zeros(64, dtype=torch.int64), ("0",), "by hand")
    loader = DeviceLoader(data, batch_size=16, augment="crop_flip", shuffle=False)
    batches = [loader.batch(epoch, i)[0] for epoch in (0, 1) for i in (0, 1)]
    assert all(not torch.equal(a, b) for k, a in enumerate(batches) for b in batches[k + 1 :])


def test_global_randomness_is_neither_read_nor_changed(numbered: ImageData) -> None:
    loader = DeviceLoader(numbered, batch_size=8, augment="crop_flip")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = loader.batch(7, 1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(DeviceLoader(numbered, batch_size=8, augment="crop_flip").batch(7, 1), one)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "must be positive"),
        (
            {"batch_size": 2, "world_size": 3},
            "2 images cannot be shared by 3 processes; start fewer of them, or choose",
        ),
        ({"batch_size": 8, "world_size": 2, "rank": 2}, "rank 2 of 2"),
        (
            {"batch_size": 64, "world_size": 40},
            "37 images cannot be shared by 40 processes; start fewer of them, or take",
        ),
        ({"batch_size": 40, "drop_last": True}, "do not fill one batch"),
        ({"batch_size": 8, "augment": "crop_flop"}, "did you mean crop_flip"),
        ({"batch_size": 8, "dtype": torch.uint8}, "floating-point"),
    ],
)
def test_bad_options_are_refused_in_one_line(numbered: ImageData, options: dict[str, object], message: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        DeviceLoader(numbered, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("i", [-1, 5])
def test_batches_outside_the_epoch_are_refused(numbered: ImageData, i: int) -> None:
    with pytest.raises(HoldfastError, match=r"batches 0\.\.4"):
        DeviceLoader(numbered, batch_size=8).batch(0, i)


@pytest.mark.gpu
def test_batches_are_the_same_on_the_gpu(numbered: ImageData) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_cpu = DeviceLoader(numbered, batch_size=8, augment="crop_flip").batch(1, 2)
    images, labels = DeviceLoader(numbered, batch_size=8, augment="crop_flip", device="cuda").batch(1, 2)
    assert torch.allclose(images.cpu(), on_cpu[0], rtol=0, atol=1e-7)
    assert torch.equal(labels.cpu(), on_cpu[1])
