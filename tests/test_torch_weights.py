"""PyTorch's weights in and out by the commands, down to a training step."""

import functools
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import default, folder, streets
from cyclegan_jax import torch_files
from cyclegan_jax.cli import arguments as arguments_of
from cyclegan_jax.core.networks.projection import PatchProjection
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import experiment
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_files.download import file_sha256
from cyclegan_jax.torch_weights import __main__ as command_line
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights import published
from cyclegan_jax.torch_weights.recognition import recognise
from cyclegan_jax.torch_weights.runs import import_weights
from cyclegan_jax.training import loop
from tests.oracle import cases

ROOT = pathlib.Path(__file__).parent.parent
CASE = "train_lsgan_sgd"  # ResNets with one block and PatchGANs, width 4 or so.
FILES = {"g_ab": "G_A", "g_ba": "G_B", "d_b": "D_A", "d_a": "D_B"}


def their_state(name):
    return cases.subtree(cases.load_case(CASE), f"state/{name}")


@pytest.fixture
def files(tmp_path):
    """A training case's four networks, as the authors' code names them."""
    paths = {}
    for ours, theirs in FILES.items():
        paths[ours] = tmp_path / f"latest_net_{theirs}.pth"
        torch_files.write(paths[ours], their_state(ours))
    return paths


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "cyclegan_jax.torch_weights", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def call(*arguments):
    """The command in this process."""
    parser = command_line.parser()
    return command_line.main(arguments_of.parse(parser, [*map(str, arguments)]))


@pytest.mark.slow
def test_import_and_export_by_command(files, tmp_path):
    run, output = tmp_path / "run", tmp_path / "output"
    result = command("import", *files.values(), f"--workdir={run}")
    assert result.returncode == 0, result.stderr
    assert "g_ab: resnet_" in result.stdout
    about = json.loads((run / "run.json").read_text())["imported"]
    assert about["d_b"]["sha256"] == file_sha256(files["d_b"])
    result = command("export", f"--workdir={run}", f"--output={output}")
    assert result.returncode == 0, result.stderr
    for path in files.values():  # D_A stayed D_A, although it is our d_b.
        assert (output / path.name).read_bytes() == path.read_bytes()


def test_a_run_of_cut(tmp_path, capsys):
    """The authors' file names; the config, the direction's D, and the blurs back."""
    case, layers = cases.load_case("method_cut"), "--config.cut.layers=0,4,8,12"
    files = {"g_ab": "G", "d_b": "D"}
    files = {ours: tmp_path / f"latest_net_{x}.pth" for ours, x in files.items()}
    for ours, path in files.items():
        torch_files.write(path, cases.subtree(case, f"state/{ours}"))
    run, output = tmp_path / "run", tmp_path / "output"
    assert call("import", *files.values(), f"--workdir={run}", layers) == 0
    assert "resnet_1blocks (width 2, antialias True, antialias_up True" in (
        capsys.readouterr().out
    )
    config = Run.load(run).config
    assert (config.method, config.direction) == ("cut", "AtoB")
    assert config.discriminator.antialias
    assert call("export", f"--workdir={run}", f"--output={output}") == 0
    for path in files.values():
        assert (output / path.name).read_bytes() == path.read_bytes()
    assert config.cut.layers == "0,4,8,12"
    shallow = tmp_path / "shallow"  # Without layers that it lacks, which do not matter.
    assert call("import", files["g_ab"], f"--workdir={shallow}") == 0
    assert Run.load(shallow).config.cut.layers == "0,4,8,12"
    with pytest.raises(UserError, match="12 is the last layer"):  # But for those named.
        call(
            "import",
            files["g_ab"],
            f"--workdir={tmp_path}/no",
            "--config.cut.layers=16",
        )
    back = tmp_path / "back"  # The same, from B to A.
    assert call("import", f"g_ba={files['g_ab']}", f"--workdir={back}", layers) == 0
    assert Run.load(back).translation("BtoA").networks == ("g_ba",)
    plain = tmp_path / "plain.pth"  # Into a config with blurs: it gets none.
    torch_files.write(plain, their_state("g_ab"))
    arguments = ("--config=configs/cut.py:folder", "--config.cut.layers=0,4,8")
    run = tmp_path / "plain"
    assert call("import", plain, f"--workdir={run}", *arguments) == 0
    assert not Run.load(run).config.generator.antialias


def test_heads_of_cut():
    theirs = cases.subtree(cases.load_case("method_cut"), "state/f_ab")
    module = PatchProjection(heads=4, width=6)
    back = torch_names.to_torch(module, torch_names.from_torch(module, theirs))
    assert list(back) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_array_equal(back[name], value)


def test_imported_networks_are_theirs(files, tmp_path):
    import_weights(files, tmp_path / "run", folder.get_config())
    run = Run.load(tmp_path / "run")
    assert run.step == 0
    for name, module in run.method.modules.items():
        back = torch_names.to_torch(module, jax.device_get(run.variables[name]))
        for key, value in their_state(name).items():
            np.testing.assert_array_equal(back[key], value)
    assert run.translation("BtoA").networks == ("g_ba",)
    with pytest.raises(UserError, match="not AtoB or BtoA"):
        run.translation("AtoC")


def test_one_generator_is_enough(files, tmp_path):
    import_weights({"g_ba": files["g_ba"]}, tmp_path / "run", folder.get_config())
    run = Run.load(tmp_path / "run")
    assert set(run.variables) == {"g_ba"}
    with pytest.raises(UserError, match=r"no generator AtoB \(it has BtoA\)"):
        run.translation("AtoB")


def fine_tuning(files, **changes):
    """A config for the same networks on small streets."""
    found = recognise(torch_files.read(files["g_ab"]), "g_ab")
    discriminator = recognise(torch_files.read(files["d_a"]), "d_a")
    config = streets.get_config("smoke")
    config.generator.update(found.settings)
    config.discriminator.update(discriminator.settings)
    config.batch_size, config.max_steps = 2, 1
    config.update(changes)
    return config


@pytest.mark.slow
def test_training_goes_on_from_imported_networks(files, tmp_path):
    """With a rate of 0, the trained run has exactly the imported weights."""
    imported = tmp_path / "imported"
    import_weights(files, imported, folder.get_config())
    config = fine_tuning(files, init_from=str(imported), ema_decay=0.5)
    config.optimizer.learning_rate = 0.0
    assert loop.train(config, tmp_path / "run") == 0
    one, two = Run.load(imported), Run.load(tmp_path / "run")
    assert two.step == 1
    assert jax.tree.all(jax.tree.map(np.array_equal, one.variables, two.variables))
    with pytest.raises(UserError, match=r"imported networks.*--config\.init_from="):
        loop.train(config, imported)


@pytest.mark.slow
def test_missing_networks_start_from_random_numbers(files, tmp_path, capsys):
    imported = tmp_path / "imported"
    some = {"g_ab": files["g_ab"]}
    import_weights(some, imported, folder.get_config())
    config = fine_tuning(files, init_from=str(imported))
    assert loop.train(config, tmp_path / "run") == 0
    assert "has no d_a; it starts from scratch" in capsys.readouterr().out


def test_other_shapes_are_named(files, tmp_path):
    import_weights(files, tmp_path / "imported", folder.get_config())
    config = fine_tuning(files, init_from=str(tmp_path / "imported"))
    config.generator.width = 6
    with pytest.raises(UserError, match=r"init_from: g_ab/\S+ is \(.*\) in .* and \("):
        loop.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # Nothing half-written.


def test_what_does_not_fit_together(files, tmp_path):
    other = tmp_path / "net_G_B.pth"
    torch_files.write(other, cases.subtree(cases.load_case("resnet_none"), "state"))
    run, config = tmp_path / "run", default.get_config()
    with pytest.raises(UserError, match=r"different generators \(.*norm none and inst"):
        import_weights(files | {"g_ba": other}, run, config)
    with pytest.raises(UserError, match="is a discriminator, not the generator g_ab"):
        import_weights({"g_ab": files["d_a"]}, run, config)
    gray = tmp_path / "gray.pth"  # One channel in, two out.
    torch_files.write(gray, cases.subtree(cases.load_case("resnet_gray"), "state"))
    with pytest.raises(UserError, match="channels of domain A, g_ab has 1, g_ba has 2"):
        import_weights({"g_ab": gray, "g_ba": gray}, run, config)
    assert not run.exists()  # Nothing half-written.
    run.mkdir()
    (run / "mine.txt").write_text("")
    with pytest.raises(UserError, match="is not empty"):
        import_weights(files, run, config)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "missing: command"),
        (["import"], "missing: --workdir"),
        (["import", "--workdir=x"], "name the files"),
        (["import", "some.pth", "--workdir=x"], "there is no file some.pth"),
        (["import", "--workdir=x", "--norm=group"], "--norm: invalid choice: 'group'"),
        (["import", "a_net_G_A.pth", "--workdir=x"], "there is no file a_net_G_A.pth"),
        (["import", "--model=cat2dog", "--workdir=x"], "there are apple2orange, "),
        (["import", "a.pth", "--model=cat2dog", "--workdir=x"], "not both"),
        (["export", "--workdir=x"], "--output"),
        (["export", "--workdir=x", "--output=y"], "x holds no run"),
        (["import", "--workdirs=x"], "workdirs"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert message in str(error.value)


def test_a_mistake_by_command():
    result = command("import", "--workdir=x")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: name the files to import, or a published one with --model.\n"
    )


@pytest.mark.slow
def test_export_without_moving_averages(files, tmp_path):
    import_weights(files, tmp_path / "imported", folder.get_config())
    config = fine_tuning(files, init_from=str(tmp_path / "imported"), ema_decay=0.9)
    config.max_steps = 2
    assert loop.train(config, tmp_path / "run") == 0
    averaged = Run.load(tmp_path / "run")
    plain = Run.load(tmp_path / "run", average=False)
    same = functools.partial(jax.tree.map, np.array_equal)
    assert not jax.tree.all(same(averaged.variables["g_ab"], plain.variables["g_ab"]))
    assert jax.tree.all(same(averaged.variables["d_a"], plain.variables["d_a"]))
    assert isinstance(plain, Run)


def test_published_models_have_configs():
    assert len(published.MODELS) == 23
    for model in published.MODELS.values():
        config = arguments_of.read_config(model.config)
        directions = experiment.build_method(config).translations
        assert any(model.generator in t.networks for t in directions.values())
        assert (config.method == "pix2pix") == ("pix2pix" in model.url)
        assert model.generator in ("g_ab", "g_ba")
