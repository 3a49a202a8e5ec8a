"""Label-map scores against loops over pixels, and on maps with a known answer."""

import numpy as np
import pytest

from cyclegan_jax import data, evaluation, images
from cyclegan_jax.metrics import segmentation
from cyclegan_jax.palettes import Palette


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


class Source(list):
    """Images in memory with names."""

    @property
    def names(self):
        return [f"{i}.png" for i in range(len(self))]


def test_label_scores_decode_the_nearest_colour():
    """A "translation" that paints the truth, a little off, is right everywhere but
    where it is told to err; classes that the split does not contain are no answer.
    """
    palette = Palette(("a", "b", "c"), ((0, 0, 0), (250, 250, 250), (20, 20, 20)))
    truth = [np.array([[0, 1], [1, 0]], np.uint8), np.array([[1, 1], [0, 0]], np.uint8)]
    painted = [palette.paint(class_map) for class_map in truth]
    dataset = data.Dataset(
        name="test",
        train_a=Source(),
        train_b=Source(),
        test_a=Source(painted),
        test_b=Source(painted),
        palette=palette,
        test_class_maps=Source(truth),
    )
    transform = data.Preprocess(mode="none", multiple=1)

    def translate(photos):
        off = photos + np.float32(25 / 127.5)  # Black becomes (25, 25, 25), near "c".
        off[:, 0, 0] = -off[:, 0, 0]  # One pixel in four is wrong.
        return off

    scores = evaluation.label_scores(translate, dataset, transform, batch_size=1)
    assert scores["per_pixel"] == 0.75
    assert images.to_uint8(np.float32([-1, 1])).tolist() == [0, 255]
