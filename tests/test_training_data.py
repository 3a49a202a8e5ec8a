"""What a training says of its data, and by what it knows them again."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from configs import folder, streets
from cyclegan_jax.data import cache, load_dataset
from cyclegan_jax.data.fingerprint import fingerprint, same_images
from cyclegan_jax.data.streets import StreetsSource
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import memory
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.training import batches, loop

RNG = np.random.default_rng(0)


def save(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (36, 36, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def settings(root):
    config = folder.get_config("smoke")
    config.batch_size, config.max_steps = 2, 1
    config.generator.width = config.discriminator.width = 4
    config.sample_every_steps, config.checkpoint_every_steps = 0, 0
    config.data.train_a, config.data.train_b = str(root / "cats"), str(root / "dogs")
    return config


@pytest.mark.slow
def test_what_is_used_is_told_and_known_again(tmp_path, capsys, monkeypatch):
    root, workdir = tmp_path / "set", tmp_path / "run"
    for i in range(3):
        save(root / "cats" / f"{i}.png")
        save(root / "dogs" / f"{i}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "dogs" / "4.jpg", exif=exif)
    frames = [Image.new("L", (36, 36), value) for value in (0, 99)]
    frames[0].save(root / "cats" / "9.gif", save_all=True, append_images=frames[1:])
    (root / "cats" / "Thumbs.db").write_bytes(b"x")
    (root / "dogs" / "clip.mov").write_bytes(b"x")
    monkeypatch.setattr(
        cache.memory, "available", lambda: memory.Available(9000, "a small container")
    )
    assert loop.train(settings(root), workdir) == 0
    told = capsys.readouterr().out
    assert "4 + 4 images to train on" in told
    assert "1 hidden or of the system (cats/Thumbs.db)" in told
    assert "1 no picture (dogs/clip.mov)" in told
    assert "1 animated" in told
    assert "1 turned upright" in told
    assert "1 of 8 images: a small container" in told
    monkeypatch.undo()

    # Elsewhere, under other names: the same images in the same order.
    moved = tmp_path / "moved"
    root.rename(moved)
    (moved / "cats").rename(moved / "felines")
    config = settings(moved)
    config.data.train_a, config.max_steps = str(moved / "felines"), 2
    assert loop.train(config, workdir) == 0
    assert "in memory" not in capsys.readouterr().out
    save(moved / "dogs" / "0.png")
    config.max_steps = 3
    with pytest.raises(UserError, match="train_b"):
        loop.train(config, workdir)


def test_fingerprints_of_older_runs_still_count():
    """In those, `sha256` was of names and bytes."""
    old = {"images": 2, "sha256": "with names"}
    now = {"images": 2, "sha256": "bytes", "sha256_with_names": "with names"}
    assert same_images(old, now)
    assert same_images(now, old)
    assert same_images(old, dict(old))
    assert not same_images(old | {"sha256": "others"}, now)
    assert same_images(now | {"sha256_with_names": "others"}, now)
    assert not same_images(now | {"sha256": "others"}, now)
    assert not same_images(now | {"images": 3}, now)
    assert not same_images(None, now)


def test_an_older_fingerprint_is_computed_as_it_was(tmp_path):
    """The oracle is the formula of the older runs, written out."""
    for folder_ in ("trainA", "trainB"):
        save(tmp_path / folder_ / "1.png")
    whole = hashlib.sha256()
    content = (tmp_path / "trainA" / "1.png").read_bytes()
    name = b"trainA/1.png"
    whole.update(len(name).to_bytes(8, "big") + name)
    whole.update(hashlib.sha256(content).digest())
    old = {"images": 1, "sha256": whole.hexdigest()}
    now = fingerprint(load_dataset("folder", path=tmp_path))
    assert same_images(old, now["train_a"])
    assert not same_images(old, now["train_b"])


def test_what_is_drawn_is_drawn_when_it_is_first_used(monkeypatch):
    config = streets.get_config("smoke")
    config.data.update(streets_train=40, max_images=0)
    experiment = Experiment.of(config)
    drawn = []
    draw = StreetsSource.__getitem__
    monkeypatch.setattr(
        StreetsSource,
        "__getitem__",
        lambda self, index: (drawn.append(index), draw(self, index))[1],
    )
    stream, note = batches.open_batches(experiment, experiment.dataset(), range(1))
    assert len(drawn) <= 1
    assert note == ""
    for step in range(400):  # Every image of A and nearly all of B.
        stream[step]
    assert len(drawn) <= 1 + 2 * 40
    size = 36 * 36 * 3
    few = (5 * size, "that leaves 1 GiB")
    monkeypatch.setattr(batches, "cache_budget", lambda cache_gib: few)
    _, note = batches.open_batches(experiment, experiment.dataset(), range(1))
    assert note == "5 of 80 images: that leaves 1 GiB"


def test_the_cache_never_takes_more_than_half_of_what_is_free(monkeypatch):
    for free, expected in ((2**40, 2**30), (2**30, 2**29), (0, 0)):
        monkeypatch.setattr(
            cache.memory, "available", lambda free=free: memory.Available(free, "x")
        )
        size, limit = cache.budget(1.0)
        assert size == expected
        assert bool(limit) == (expected < 2**30)
