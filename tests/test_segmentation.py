"""Label-map scores against loops over pixels, and on maps with a known answer."""

import numpy as np
import pytest

from cyclegan_jax.data.palettes import VOID, Palette
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import labels, segmentation


def brute_force(truth, prediction, classes):
    """The definitions of Long et al. 2015, pixel by pixel."""
    n = np.zeros((classes, classes))
    for t, p in zip(truth.ravel(), prediction.ravel(), strict=True):
        if t < classes:
            n[t, p] += 1
    t = n.sum(axis=1)
    present = [i for i in range(classes) if t[i]]
    per_pixel = sum(n[i, i] for i in present) / t.sum()
    per_class = np.mean([n[i, i] / t[i] for i in present])
    iou = np.mean([n[i, i] / (t[i] + n[:, i].sum() - n[i, i]) for i in present])
    return per_pixel, per_class, iou


def test_scores_against_brute_force():
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 3, 255], (6, 7), p=[0.4, 0.3, 0.2, 0.1])
    prediction = np.where(rng.random((6, 7)) < 0.6, truth, 2) % 4
    counts = segmentation.confusion(truth, prediction, 4)
    assert counts.sum() == np.sum(truth < 4)
    actual = segmentation.scores(counts)
    np.testing.assert_allclose(actual, brute_force(truth, prediction, 4))


def test_perfect_map():
    truth = np.arange(6).reshape(2, 3) % 3
    assert segmentation.scores(segmentation.confusion(truth, truth, 5)) == (1, 1, 1)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="shapes differ"):
        segmentation.confusion(np.zeros((2, 2), int), np.zeros((4,), int), 2)


def test_labels_take_the_nearest_colour_of_the_classes_that_occur():
    palette = Palette(("a", "b", "c"), ((0, 0, 0), (250, 250, 250), (20, 20, 20)))
    maps = [np.array([[0, 1], [1, 0]], np.uint8), np.array([[1, 1], [0, 0]], np.uint8)]
    truth = labels.Truth(maps, 3)
    assert truth.present.tolist() == [0, 1]
    painted = np.stack([palette.paint(class_map) for class_map in maps])
    off = np.clip(painted.astype(int) + 25, 0, 255).astype(np.uint8)  # Black: near c.
    read = labels.LabelReader(palette, truth.present)
    np.testing.assert_array_equal(read(off), maps)
    off[:, 0, 0] = 255 - off[:, 0, 0]  # One pixel in four is wrong.
    scorer = labels.Scorer(truth)
    scorer.add(read(off))
    assert scorer.scores()["per_pixel"] == 0.75


def test_labels_of_other_pairs_are_chance():
    maps = [np.zeros((2, 2), np.uint8), np.array([[0, 0], [1, VOID]], np.uint8)]
    truth = labels.Truth(maps, 2)
    # Each is scored against the other, without its void.
    assert truth.chance()["per_pixel"] == pytest.approx((2 + 2) / (3 + 3))
    assert truth.unknown == 1 / 8


def test_void_does_not_count():
    truth = labels.Truth([np.array([[0, VOID]], np.uint8)], 2)
    scorer = labels.Scorer(truth)
    scorer.add(np.array([[[0, 0]]], np.uint8))
    assert scorer.scores() == {"per_pixel": 1, "per_class": 1, "class_iou": 1}
    with pytest.raises(UserError, match="not one pixel of the test label maps"):
        labels.Truth([np.full((2, 2), VOID, np.uint8)], 2)


def test_maps_of_another_size_are_brought_to_the_prediction():
    truth = labels.Truth(
        [np.kron([[0, 1], [1, 0]], np.ones((4, 4))).astype(np.uint8)], 2
    )
    scorer = labels.Scorer(truth)
    scorer.add(np.array([[[0, 1], [1, 0]]], np.uint8))
    assert scorer.scores()["per_pixel"] == 1
