"""The training stream: a pure function of (seed, step), whatever host reads it."""

import pathlib
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest

from cyclegan_jax import progress
from cyclegan_jax.data import CachedSource, Preprocess, TrainBatches, eval_images
from cyclegan_jax.errors import UserError

WHOLE = Preprocess("none", flip=False)


class Numbered:
    """Images filled with their index (low byte, high byte), counting accesses."""

    def __init__(self, count, sizes=((8, 8),), channels=3, folder="set"):
        self.names = [f"{folder}/{i}.png" for i in range(count)]
        self._sizes, self._channels = sizes, channels
        self.reads = Counter()
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        with self._lock:
            self.reads[index] += 1
        height, width = self._sizes[index % len(self._sizes)]
        image = np.full((height, width, self._channels), index % 256, np.uint8)
        image[0, 0] = index // 256
        return image


def indices(images):
    return [int(image[-1, -1, 0]) for image in images]


def epoch(batches, number, key):
    steps = range(
        number * batches.steps_per_epoch, (number + 1) * batches.steps_per_epoch
    )
    return [i for step in steps for i in indices(batches[step][key])]


def stream(a=5, b=9, transform=WHOLE, **options):
    return TrainBatches(
        Numbered(a), Numbered(b), transform, **{"seed": 0, "batch_size": 4, **options}
    )


def test_going_straight_to_a_step_equals_walking_there():
    batches = stream(transform=Preprocess("crop", 8, 4))
    walked = batches.iterate(990)
    for step in range(990, 1003):
        walked_batch, batch = next(walked), batches[step]
        assert set(batch) == {"a", "b"}
        for key in batch:
            assert batch[key].shape == (4, 4, 4, 3)
            assert batch[key].dtype == np.uint8
            np.testing.assert_array_equal(walked_batch[key], batch[key])
    walked.close()


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_prefetching_changes_nothing(prefetch):
    batches = stream(prefetch=prefetch, num_threads=2)
    walked = batches.iterate(0)
    for step in range(12):
        np.testing.assert_array_equal(next(walked)["b"], batches[step]["b"])
    walked.close()


def test_two_hosts_together_equal_one_and_read_only_their_own():
    transform = Preprocess("crop", 8, 4)
    whole = stream(transform=transform)
    sources = [(Numbered(5), Numbered(9)) for _ in range(2)]
    parts = [
        TrainBatches(*source, transform, seed=0, batch_size=4, slots=slots)
        for source, slots in zip(sources, (range(0, 2), range(2, 4)), strict=True)
    ]
    for step in (0, 1, 2, 77):
        for key in ("a", "b"):
            joined = np.concatenate([part[step][key] for part in parts])
            np.testing.assert_array_equal(joined, whole[step][key])
    for a, b in sources:
        assert sum(a.reads.values()) == sum(b.reads.values()) == 4 * 2 * 2


def test_every_image_of_the_larger_set_once_an_epoch():
    batches = stream(a=12, b=5)
    assert (batches.epoch_size, batches.steps_per_epoch) == (12, 3)
    epochs = [epoch(batches, number, "a") for number in range(4)]
    assert all(sorted(order) == list(range(12)) for order in epochs)
    assert len({tuple(order) for order in epochs}) == 4
    other = epoch(stream(a=12, b=5, seed=1), 0, "a")
    assert sorted(other) == list(range(12))
    assert other not in epochs


def test_the_smaller_set_is_repeated_within_an_epoch():
    counts = Counter(epoch(stream(a=4, b=8), 0, "a"))
    assert counts == {0: 2, 1: 2, 2: 2, 3: 2}  # element i shows image i % |A|


def test_batches_run_on_through_the_border_of_an_epoch():
    batches = stream(a=5, b=3, batch_size=4)
    assert batches.steps_per_epoch == 2
    order = [i for step in range(5) for i in indices(batches[step]["a"])]
    for number in range(4):
        assert sorted(order[5 * number : 5 * number + 5]) == list(range(5))


def test_b_is_drawn_uniformly_with_replacement():
    batches = stream(a=64, b=8, batch_size=64)
    drawn = Counter(i for step in range(50) for i in indices(batches[step]["b"]))
    # 3200 draws: 400 each, standard deviation 18.7.
    assert sorted(drawn) == list(range(8))
    assert max(abs(count - 400) for count in drawn.values()) < 5 * 18.7
    eights = [tuple(sorted(indices(batches[step]["b"])[:8])) for step in range(50)]
    assert tuple(range(8)) not in eights  # 0.24 % each, were it not with replacement


def test_b_can_be_shuffled_instead():
    batches = stream(a=8, b=8, batch_size=8, sample_b="shuffle")
    orders = [indices(batches[step]["b"]) for step in range(5)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len(set(map(tuple, orders))) == 5
    assert all(orders[i] != indices(batches[i]["a"]) for i in range(5))


def test_crops_and_flips_differ_between_elements_domains_and_epochs():
    y, x = np.mgrid[:64, :64]
    image = np.stack([y, x, x], -1).astype(np.uint8)
    same = [image] * 4

    class Same:
        names = ("1", "2", "3", "4")

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return same[index]

    batches = TrainBatches(
        Same(), Same(), Preprocess("crop", 64, 32), seed=0, batch_size=4
    )
    crops = [
        crop.tobytes()
        for step in range(5)
        for key in "ab"
        for crop in batches[step][key]
    ]
    assert len(set(crops)) == len(crops) == 40
    paired = TrainBatches(
        Same(), Same(), Preprocess("crop", 64, 32), seed=0, batch_size=4, paired=True
    )
    np.testing.assert_array_equal(paired[3]["a"], paired[3]["b"])


def test_pairs_stay_together():
    batches = stream(a=7, b=7, paired=True)
    for step in range(6):
        np.testing.assert_array_equal(batches[step]["a"], batches[step]["b"])
    with pytest.raises(UserError, match="not 5 and 9"):
        stream(paired=True)


def test_channels_may_differ_between_the_domains():
    batches = TrainBatches(
        Numbered(3), Numbered(3, channels=1), WHOLE, seed=0, batch_size=2
    )
    assert batches[0]["a"].shape == (2, 8, 8, 3)
    assert batches[0]["b"].shape == (2, 8, 8, 1)


def test_images_of_different_sizes_are_named():
    mixed = Numbered(4, sizes=((8, 8), (8, 12)), folder="trainA")
    batches = TrainBatches(mixed, Numbered(4), WHOLE, seed=0, batch_size=4)
    match = r"trainA/\d\.png has \d+x8 .*trainA/\d\.png.* 'crop'"
    with pytest.raises(UserError, match=match):
        batches[0]
    iterator = batches.iterate(0)
    with pytest.raises(UserError, match=match):
        next(iterator)
    iterator.close()
    wide = Numbered(4, sizes=((8, 12),), folder="trainB")
    with pytest.raises(UserError, match=r"set/\d\.png has 8x8 .*trainB/\d\.png 12x8"):
        TrainBatches(Numbered(4), wide, WHOLE, seed=0, batch_size=1)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"b": 0}, "5 images of A and 0 of B"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"sample_b": "serial"}, "sample_b is 'serial'"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        stream(**options)


def test_slots_outside_the_batch_are_refused():
    with pytest.raises(ValueError, match="not slots of a batch of 4"):
        stream(slots=range(3, 5))


def test_cache_reads_once_and_keeps_within_its_budget():
    source = Numbered(10)
    size = source[0].nbytes
    source.reads.clear()
    cached = CachedSource(source, WHOLE.load, cache_bytes=6 * size + 1, quiet=True)
    assert cached.cached_bytes == 6 * size
    source.reads.clear()
    assert indices(cached) == list(range(10))
    assert source.reads == {6: 1, 7: 1, 8: 1, 9: 1}
    assert cached.names == source.names
    with pytest.raises(IndexError):
        cached[10]


def test_a_cache_that_is_filled_by_the_first_accesses():
    source = Numbered(6)
    size = source[0].nbytes
    source.reads.clear()
    cached = CachedSource(source, WHOLE.load, cache_bytes=2 * size, fill=False)
    assert source.reads == {}
    assert indices(cached) == indices(cached) == list(range(6))
    assert (cached.cached, cached.cached_bytes) == (2, 2 * size)
    assert source.reads == {0: 1, 1: 1, 2: 2, 3: 2, 4: 2, 5: 2}


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
def test_a_cache_changes_no_value(cache_bytes):
    preprocess = Preprocess("resize_and_crop", 12, 8)
    source = Numbered(6, sizes=((20, 30), (9, 7)))
    cached = CachedSource(source, preprocess.load, cache_bytes=cache_bytes, quiet=True)
    for index in range(6):
        np.testing.assert_array_equal(cached[index], preprocess.load(source[index]))


def test_the_cache_shows_progress_unless_quiet(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    CachedSource(Numbered(3, folder="trainA"), WHOLE.load, cache_bytes=10**6)
    assert "loading trainA: 3 of 3 images" in capsys.readouterr().err
    CachedSource(Numbered(3), WHOLE.load, cache_bytes=10**6, quiet=True)
    assert capsys.readouterr().err == ""


def test_cached_images_cannot_be_changed_by_accident():
    cached = CachedSource(Numbered(2), WHOLE.load, cache_bytes=10**6, quiet=True)
    with pytest.raises(ValueError, match="read-only"):
        cached[0][0, 0] = 1


def test_filling_the_cache_names_an_image_that_does_not_suit():
    source = Numbered(5, sizes=((8, 8), (8, 8), (4, 8)), folder="trainA")
    with pytest.raises(UserError, match=r"trainA/2\.png is 8x4 .*crop of 8x8"):
        CachedSource(
            source, Preprocess("crop", 8, 8).load, cache_bytes=10**6, quiet=True
        )


def test_eval_images_come_in_order_with_their_names():
    batches = list(eval_images(Numbered(7), WHOLE.load, batch_size=3))
    assert [names for names, _ in batches] == [
        ["set/0.png", "set/1.png", "set/2.png"],
        ["set/3.png", "set/4.png", "set/5.png"],
        ["set/6.png"],
    ]
    assert [indices(images) for _, images in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(eval_images(Numbered(0), WHOLE.load)) == []


def test_sizes_that_change_from_batch_to_batch_are_named():
    source = Numbered(6, sizes=((8, 8), (8, 12)))
    batches = TrainBatches(source, source, WHOLE, seed=0, batch_size=1)
    with pytest.raises(UserError, match=r"all images must have one size.*12x8|8x8"):
        [batches[step] for step in range(20)]


def test_eval_batches_end_where_the_size_changes():
    source = Numbered(5, sizes=((8, 8), (8, 8), (4, 8)))
    shapes = [
        images.shape for _, images in eval_images(source, WHOLE.load, batch_size=4)
    ]
    assert shapes == [(2, 8, 8, 3), (1, 4, 8, 3), (2, 8, 8, 3)]


def test_an_abandoned_iterator_does_not_hold_up_the_program():
    program = """
import numpy as np
from cyclegan_jax.data import Preprocess, TrainBatches

class Source:
    names = [str(i) for i in range(50)]
    def __len__(self): return 50
    def __getitem__(self, index): return np.zeros((8, 8, 3), np.uint8)

crop = Preprocess("crop", 8, 4)
batches = TrainBatches(Source(), Source(), crop, seed=0, batch_size=4)
iterator = batches.iterate(0)
next(iterator), next(iterator)
print("done")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=pathlib.Path(__file__).parents[1],
    )
    assert ended.stdout == "done\n"
    assert ended.stderr == ""
