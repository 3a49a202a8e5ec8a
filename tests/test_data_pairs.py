"""Pairs by name: how people and publishers name the two files of a pair."""

import unicodedata

import numpy as np
import pytest

from cyclegan_jax.data import pairs
from cyclegan_jax.errors import UserError


class Named:
    def __init__(self, *names):
        self.names = names

    def __len__(self):
        return len(self.names)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("{}.jpg", "{}.png"),
        ("{}_A.jpg", "{}_B.jpg"),
        ("A_{}.jpg", "B_{}.jpg"),
        ("{}A.jpg", "{}B.jpg"),
        ("{}_real.png", "{}_fake.png"),
        ("real_{}.png", "fake_{}.png"),
        ("{}_photo.jpg", "{}_label.png"),
        ("Photo-{}.jpg", "label {}.png"),
        ("{}.jpg", "{}_mask.png"),
        ("{}_real_A.png", "{}_fake_B.png"),
        ("aachen_{}_leftImg8bit.png", "aachen_{}_gtFine_color.png"),
        ("aachen_{}_leftImg8bit.png", "aachen_{}_gtFine_labelIds.png"),
        ("aachen/{}_leftImg8bit.png", "{}_gtFine_color.png"),
        ("images/{}.jpg", "masks/{}.png"),
        ("x/images/{}.jpg", "y/{}.png"),
        ("000{}.jpg", "{}.png"),
        ("IMG_{}.JPG", "img_{}.jpg"),
    ],
)
def test_usual_names(a, b):
    numbers = [11, 7, 105, 20]
    order = [2, 0, 3, 1]
    found = pairs.by_name(
        [f"trainA/{a.format(n)}" for n in numbers],
        [f"trainB/{b.format(numbers[i])}" for i in order],
    )
    assert found == [(i, order.index(i)) for i in range(4)]


def test_accents_in_both_spellings():
    names = ["Café", "naïve"]
    one = [unicodedata.normalize("NFC", f"a/{n}.png") for n in names]
    other = [unicodedata.normalize("NFD", f"b/{n}.png") for n in names]
    assert one != other
    assert pairs.by_name(one, other) == [(0, 0), (1, 1)]


def test_folders_tell_files_of_one_name_apart():
    a = ["trainA/1/x.png", "trainA/2/x.png"]
    b = ["trainB/2/x.png", "trainB/1/x.png"]
    assert pairs.by_name(a, b) == [(0, 1), (1, 0)]


def test_what_pairs_nothing():
    # Two candidates for one image: neither.
    assert pairs.by_name(["1_A.png", "2_A.png"], ["1_B.png", "1_label.png"]) == []
    # Numbers that TFDS gave after shuffling.
    shuffled = [[f"test{x}/test{x}_0000{i}" for i in range(3)] for x in "AB"]
    assert pairs.by_name(*shuffled) == []
    assert pairs.by_name([], ["1.png"]) == []
    # Not all words are sides.
    assert pairs.by_name(["1_summer.png"], ["1_winter.png"]) == []


def test_same_scenes_means_all_and_in_order():
    assert pairs.same_scenes(Named("1_A", "2_A"), Named("1_B", "2_B"))
    assert not pairs.same_scenes(Named("1_A", "2_A"), Named("1_B", "3_B"))
    assert not pairs.same_scenes(Named("1_A", "2_A"), Named("1_B"))


def test_some_partners_may_be_missing_but_not_most():
    a, b = Named("a.png", "b.png", "c.png"), Named("a.png", "c.png", "d.png")
    assert pairs.match(a, b, order=False) == [(0, 0), (2, 1)]
    few = Named("a.png", "x.png", "y.png")
    with pytest.raises(UserError, match=r"config\.data\.pairs=order") as refused:
        pairs.match(few, b, order=False)
    assert "a.png and a.png" in str(refused.value)
    # The advice works.
    assert pairs.match(few, b, order=True) == [(0, 0), (1, 1), (2, 2)]


def test_pairs_side_by_side_are_told_from_ordinary_pictures():
    from cyclegan_jax.data.side_by_side import looks_ordinary

    rng = np.random.default_rng(0)

    def smooth():
        noise = rng.normal(size=(20, 20, 3)).cumsum(0).cumsum(1)
        low, high = noise.min(), noise.max()
        return (255 * (noise - low) / (high - low)).astype(np.uint8)

    class Pictures(list):
        names = ()

    joined = Pictures(np.hstack([smooth(), 255 - smooth()]) for _ in range(8))
    assert not looks_ordinary(joined)
    assert looks_ordinary(Pictures(smooth() for _ in range(8)))
    white = np.full((20, 40, 3), 255, np.uint8)
    assert not looks_ordinary(Pictures([white]))
