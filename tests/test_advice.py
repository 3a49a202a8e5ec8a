"""What a refusal advises works: each is provoked, and its advice is followed.

A case provokes a refusal and gives what to do with the words of the sentence.
"""

import re

import numpy as np
import pytest
from PIL import Image

from configs import streets
from cyclegan_jax import data
from cyclegan_jax.data.settings import DataSettings
from cyclegan_jax.errors import UserError
from cyclegan_jax.export.exporting import export
from cyclegan_jax.machine.devices import Devices
from cyclegan_jax.runs import choosing
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.run import Run
from cyclegan_jax.training import init_from, loop
from cyclegan_jax.translation import files as translation
from tests.translating import make_run, picture


def refused(work, *args, match=None, **kwargs):
    """Provokes a refusal and returns its sentence."""
    with pytest.raises(UserError, match=match) as error:
        work(*args, **kwargs)
    return str(error.value)


def advised(sentence, flag):
    """The value that a sentence advises for a flag."""
    found = re.search(rf"{re.escape(flag)}=([^\s,;()]+?)[.,;)]*(?:\s|$)", sentence)
    assert found, sentence
    return found[1]


def smoke(**changes):
    config = streets.get_config("smoke")
    config.batch_size, config.max_steps = 2, 1
    config.evaluate_every_steps, config.best_metric = 0, ""
    config.sample_every_steps = config.checkpoint_every_steps = 0
    config.generator.width = config.discriminator.width = 4
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of one step."""
    workdir = tmp_path_factory.mktemp("runs") / "run"
    assert loop.train(smoke(), workdir) == 0
    return workdir


@pytest.mark.slow
def test_a_finished_run_is_trained_longer(trained, capsys):
    assert loop.train(smoke(), trained) == 0
    assert "--allow_changes" in capsys.readouterr().out
    longer = smoke(**{"optimizer.constant_epochs": 2, "max_steps": 2})
    sentence = refused(loop.train, longer, trained, match="constant_epochs")
    assert "--allow_changes" in sentence
    assert loop.train(longer, trained, allow_changes=True) == 0
    assert choosing.list_steps(trained)[-1] == 2
    (note,) = run_folder.read_about(trained)["went_on"]
    assert note["settings"]["optimizer.constant_epochs"] == [1, 2]


@pytest.mark.parametrize(
    "change", [{"pool_size": 3}, {"ema_decay": 0.5}, {"optimizer.weight_decay": 0.1}]
)
def test_another_run_starts_from_the_networks(trained, change):
    config = smoke(**change)
    sentence = refused(run_folder.check, trained, config.to_dict())
    config.init_from = advised(sentence, "--config.init_from")
    assert init_from.load_initial(Experiment.of(config)) is not None


@pytest.mark.parametrize(
    "change", [{"generator.width": 5}, {"discriminator.n_layers": 1}]
)
def test_networks_that_do_not_fit_are_not_advised(trained, change):
    config = smoke(**change)
    sentence = refused(run_folder.check, trained, config.to_dict())
    assert "init_from" not in sentence
    config.init_from = str(trained)
    refused(init_from.load_initial, Experiment.of(config), match="init_from")


def test_a_metric_that_cannot_be_measured_is_replaced(trained, tmp_path):
    assert run_folder.check(
        trained, smoke(best_metric="AtoB/l1").to_dict(), allow_changes=True
    )
    scored = trained / "checkpoints" / "1" / "metrics" / "metrics"
    scored.parent.mkdir()
    scored.write_text('{"score": 1.0}')
    config = smoke(best_metric="AtoB/l1").to_dict()
    refused(run_folder.check, trained, config, allow_changes=True, match="best_metric")
    scored.unlink()
    scored.parent.rmdir()


def test_imported_networks_are_trained_in_another_folder(tmp_path):
    workdir = make_run(tmp_path)
    config = Run.load(workdir).config
    sentence = refused(run_folder.check, workdir, config.to_dict())
    config.init_from = advised(sentence, "--config.init_from")
    assert init_from.load_initial(Experiment.of(config)).step == Run.load(workdir).step


def test_devices_and_parts_of_a_batch():
    sentence = refused(Devices, 1)
    assert Devices(int(advised(sentence, "--config.batch_size"))).per_device == 1
    assert Devices(1, int(advised(sentence, "--devices"))).count == 1
    refused(Devices, 2, 3, match="it can be 1 to 2")
    experiment = Experiment.of(smoke(accumulate=3))
    refused(experiment.check_accumulate, 4, match="divisor")
    Experiment.of(smoke(accumulate=2)).check_accumulate(4)
    method = smoke(method="pix2pix")
    sentence = refused(Experiment.of, method)
    method.data.paired = advised(sentence, "config.data.paired") == "True"
    assert Experiment.of(method).method.paired


def save(path, height=40, width=40):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(height, width)).save(path)


def opened(**settings):
    return data.open_dataset(DataSettings("folder", **settings))


def test_folders_of_images(tmp_path):
    for name in ("cats", "dogs"):
        save(tmp_path / "other" / name / "1.png")
    sentence = refused(opened, path=tmp_path / "other")
    assert "config.data.train_a, train_b" in " ".join(sentence.split())
    folders = {
        f"train_{x}": str(tmp_path / "other" / n)
        for x, n in zip("ab", ("cats", "dogs"), strict=True)
    }
    assert len(opened(folders=folders).train_a) == 1
    for part in ("one", "two"):
        for split in ("trainA", "trainB"):
            save(tmp_path / "several" / part / split / "1.png")
    sentence = refused(opened, path=tmp_path / "several", match="several data sets")
    assert len(opened(path=advised(sentence, "config.data.path")).train_b) == 1


def test_images_that_are_no_pairs_or_damaged(tmp_path):
    for split, name in (("trainA", "cat"), ("trainB", "dog")):
        save(tmp_path / split / f"{name}.png")
        save(tmp_path / split / f"{name}_{name}.png")
    sentence = refused(opened, path=tmp_path, paired=True, match="not say which")
    how = advised(sentence, "config.data.pairs")
    assert opened(path=tmp_path, paired=True, pairs=how).paired_train
    (tmp_path / "trainA" / "bad.png").write_bytes(b"bad")
    sentence = refused(opened(path=tmp_path).train_a.__getitem__, 0)
    how = advised(sentence, "config.data.on_corrupt").strip("'")
    assert len(opened(path=tmp_path, on_corrupt=how).train_a) == 2


def test_sizes_of_images():
    small = data.Preprocess(mode="crop", load_size=40, crop_size=32, multiple=4)
    sentence = refused(small.load, picture(20, 50), "a.png", match="lower")
    mode = advised(sentence, "config.data.preprocess").strip("'")
    right = data.Preprocess(mode=mode, load_size=40, crop_size=32, multiple=4)
    assert right.load(picture(20, 50), "a.png").shape == (40, 40, 3)
    rng = np.random.default_rng(0)
    pair = picture(40, 48), picture(48, 40)
    sentence = refused(small.augment_pair, *pair, rng)
    mode = advised(sentence, "config.data.preprocess").strip("'")
    right = data.Preprocess(mode=mode, load_size=40, crop_size=32, multiple=4)
    one, other = right.augment_pair(*(right.load(image, "") for image in pair), rng)
    assert one.shape == other.shape == (32, 32, 3)


@pytest.mark.slow
def test_translations(trained, tmp_path):
    save(tmp_path / "a.png")
    given = [str(tmp_path / "a.png")]

    def run(output, **options):
        return translation.translate(
            given, tmp_path / output, workdir=trained, **options
        )

    sentence = refused(run, "b.heic", match=r"name a file that ends in \.png, or a")
    assert run("b.png") == run("folder") == 0
    sentence = refused(run, "a.png", match="another --output")
    sentence = refused(run, "c", size="tile", tile_size=7)
    least = int(re.search(r"from (\d+) on", sentence)[1])
    assert run("c", size="tile", tile_size=least) == 0
    sentence = refused(run, "d", quality=5)
    assert all(
        run("d", quality=5, image_format=f) == 0 for f in ("jpg", "webp", "avif")
    )
    sentence = refused(run, "e", grid=True, skip_existing=True)
    assert run("e", grid=True) == run("e", skip_existing=True) == 0
    sentence = refused(run, "f", step=77, match="no checkpoint of step 77")
    assert run("f", step=int(re.search(r"but of (\d+)", sentence)[1])) == 0
    sentence = refused(export, trained, tmp_path / "x.pt")
    assert export(trained, tmp_path / "x.stablehlo")
