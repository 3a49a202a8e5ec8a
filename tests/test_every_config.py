"""Every config, with each of its variants, trains on data of its kind and is used.

All variants of all configs open their data, read them for run.json, and make a batch.
Those that describe one program (the networks, the losses, the batch) are trained once:
a step, an evaluation, a translation, an export.
"""

import functools
import importlib
import pathlib
import re

import jax
import jax.export
import numpy as np
import pytest
from PIL import Image

import configs
from cyclegan_jax import data, evaluation
from cyclegan_jax.data.fingerprint import read
from cyclegan_jax.errors import UserError
from cyclegan_jax.export.exporting import export
from cyclegan_jax.runs.experiment import Experiment, build_method
from cyclegan_jax.runs.run import Run
from cyclegan_jax.training import loop
from cyclegan_jax.translation import files

TINY = {"checkpoint_every_steps": 0, "sample_every_steps": 0, "max_steps": 1}


def variants():
    """(config file, variant) of all that can be asked for, in their smoke size."""
    for path in sorted(pathlib.Path(configs.__path__[0]).glob("*.py")):
        if path.stem == "__init__":
            continue
        module = importlib.import_module(f"configs.{path.stem}")
        kinds = [getattr(module, "DATA", ("",))]
        kinds += [getattr(module, "ABLATIONS", getattr(module, "KINDS", ("",)))]
        one_way = path.stem in ("pix2pix", "simgan", "feature_gan", "cut")
        kinds += [("AtoB", "BtoA") if one_way else ("",)]
        for kind in kinds[0]:
            for ablation in kinds[1]:
                for direction in kinds[2]:
                    chosen = filter(None, (kind, ablation, direction, "smoke"))
                    yield path.stem, "+".join(chosen)


ALL = list(variants())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Sets of noise, of each kind that a config may read: kind -> path."""
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)

    def save(path, width=40):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, width, 3), np.uint8)
        Image.fromarray(pixels).save(path)

    for folder in ("trainA", "trainB", "testA", "testB"):
        for i in range(2):
            save(root / "two" / folder / f"{i}_{folder[-1]}.png")
    for folder in ("train", "val"):
        for i in range(2):
            save(root / "one" / folder / f"{i}.png", width=80)
    return root


def tiny(name, variant, folders):
    config = importlib.import_module(f"configs.{name}").get_config(variant)
    if config.data.dataset != "streets":
        one = config.data.dataset == "side_by_side"
        config.data.path = str(folders / ("one" if one else "two"))
    for setting, value in TINY.items():
        config[setting] = value
    config.batch_size = 2  # One for each of the devices that tests have.
    config.evaluate_every_steps, config.best_metric = 0, ""
    config.generator.width = config.discriminator.width = 4
    config.cogan.inversion_steps = 1
    return config


def program(config):
    """What a config's compiled programs depend on; not how large its weights are."""
    method = repr(build_method(config))
    same = re.sub(r"(?<==)(?!0\.0\b)\d+\.\d+", "x", method)
    return same, config.batch_size, config.pool_size


@pytest.mark.parametrize(("name", "variant"), ALL, ids=map(":".join, ALL))
def test_data_of_its_kind_are_read(name, variant, folders):
    config = tiny(name, variant, folders)
    experiment = Experiment.of(config)
    method, dataset = experiment.method, experiment.dataset()
    assert set(read(dataset).splits) == set(data.SPLITS)
    assert dataset.left_out.keys() <= {"beyond config.data.max_images"}
    assert not method.paired or (dataset.paired_train and dataset.paired_test)
    preprocess = experiment.preprocess
    batch = data.TrainBatches(
        *(
            data.CachedSource(source, preprocess.load, cache_bytes=2**20, quiet=True)
            for source in (dataset.train_a, dataset.train_b)
        ),
        preprocess,
        seed=0,
        batch_size=config.batch_size,
        paired=method.paired,
        sample_b=config.data.sample_b,
    )[0]
    size = config.data.crop_size
    assert batch["a"].shape == batch["b"].shape == (config.batch_size, size, size, 3)


@functools.cache
def programs():
    """One variant of each program."""
    found = {}
    for name, variant in ALL:
        config = tiny(name, variant, pathlib.Path())
        found.setdefault(program(config), (name, variant))
    return list(found.values())


def use(config, folder, capsys):
    workdir = folder / "run"
    assert loop.train(config, workdir) == 0
    told = capsys.readouterr()
    assert "step" in told.out
    assert "1 of 1 steps" in told.err  # Lines, as there is no terminal.
    assert "\r" not in told.err
    result = evaluation.evaluate(workdir)
    directions = {"AtoB", "BtoA"} & set(result)
    assert directions
    for direction in directions:
        assert result[direction]
        picture = folder / "picture.png"
        Image.new("RGB", (32, 32), (9, 99, 200)).save(picture)
        output = folder / direction
        files.translate([str(picture)], output, workdir=workdir, direction=direction)
        assert Image.open(output / "picture.png").size == (32, 32)
        exported = folder / f"{direction}.stablehlo"
        if Run.load(workdir).translation(direction).generator is None:
            with pytest.raises(UserError, match=r"translate\.py"):
                export(workdir, exported, direction)
        else:
            export(workdir, exported, direction)
            exported = jax.export.deserialize(bytearray(exported.read_bytes()))
            assert exported.in_avals[0].shape[-1] == 3


@pytest.mark.slow
def test_pairs_side_by_side_train(folders, tmp_path, capsys):
    use(tiny("pix2pix", "side_by_side+smoke", folders), tmp_path, capsys)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "variant"), programs(), ids=map(":".join, programs()))
def test_it_trains_evaluates_translates_and_exports(
    name, variant, folders, tmp_path, capsys
):
    use(tiny(name, variant, folders), tmp_path, capsys)
