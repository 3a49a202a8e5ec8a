"""Files of options, written as the PyTorch code writes them, become configs."""

import pathlib
import re

import pytest

from cyclegan_jax.cli import arguments
from cyclegan_jax.cli.pytorch_options import OPTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.from_pytorch import __main__ as command_line
from cyclegan_jax.runs import configuration
from cyclegan_jax.runs.experiment import Experiment

# In a file of a training in 2025, and what their class sets by itself.
TEST_ONLY = ("results_dir", "aspect_ratio", "eval", "num_test", "model_suffix")
OLDER = ("gpu_ids", *(name for name in OPTIONS if name.startswith("display_")))
OTHER_MODELS = ("lambda_L1", "lambda_regression")
CYCLEGAN = {
    name: option.default
    for name, option in OPTIONS.items()
    if name not in (*TEST_ONLY, *OLDER, *OTHER_MODELS)
} | {"dataroot": "./datasets/maps", "name": "maps_cyclegan", "isTrain": True}
PIX2PIX = {k: v for k, v in CYCLEGAN.items() if not k.startswith("lambda_")} | {
    "lambda_L1": 100.0,
    "model": "pix2pix",
    "norm": "batch",
    "netG": "unet_256",
    "dataset_mode": "aligned",
    "gan_mode": "vanilla",
    "pool_size": 0,
    "no_dropout": False,
}


def written(values, defaults=CYCLEGAN):
    """As `print_options` of their BaseOptions does."""
    lines = ["----------------- Options ---------------"]
    for name, value in sorted(values.items()):
        default = defaults.get(name)
        comment = f"\t[default: {default}]" if value != default else ""
        lines.append(f"{name!s:>25}: {value!s:<30}{comment}")
    return "\n".join([*lines, "----------------- End -------------------", ""])


def convert(tmp_path, text, capsys=None):
    """Returns the settings that are not the defaults, and what was printed."""
    file, output = tmp_path / "train_opt.txt", tmp_path / "converted.py"
    file.write_text(text)
    output.unlink(missing_ok=True)
    given = [str(file), f"--output={output}"]
    assert command_line.main(arguments.parse(command_line.parser(), given)) == 0
    config = arguments.read_config(str(output))
    configuration.check(config)
    Experiment.of(config)
    plain = configuration.flatten(configuration.defaults().to_dict())
    flat = configuration.flatten(config.to_dict())
    changed = {k: v for k, v in flat.items() if v != plain[k]}
    assert arguments.read_config(f"{output}:smoke").max_steps == 8
    return changed, capsys.readouterr().out if capsys else ""


def test_their_defaults_are_ours(tmp_path, capsys):
    changed, said = convert(tmp_path, written(CYCLEGAN), capsys)
    assert changed == {"data.path": "./datasets/maps"}
    assert said.count("Note: ") == 1
    assert "Note: lr_policy linear: taken for that of the code of 2025" in said
    assert "Now: python train.py --config=" in said


def test_pix2pix_is_the_published_setting(tmp_path):
    changed, _ = convert(tmp_path, written(PIX2PIX))
    config = arguments.read_config("pix2pix:side_by_side")
    config.data.path = "./datasets/maps"
    plain = configuration.flatten(configuration.defaults().to_dict())
    flat = configuration.flatten(config.to_dict())
    assert changed == {k: v for k, v in flat.items() if v != plain[k]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"n_epochs": 30, "n_epochs_decay": 20},
            {"optimizer.constant_epochs": 30, "optimizer.decay_epochs": 20},
        ),
        (
            {"lambda_A": 5.0, "lambda_B": 7.0},
            {"loss.cycle_a": 5.0, "loss.cycle_b": 7.0},
        ),
        ({"lambda_A": 5.0, "direction": "BtoA"}, {"loss.cycle_b": 5.0}),
        ({"input_nc": 1, "direction": "BtoA"}, {"data.channels_b": 1}),
        ({"lambda_identity": 0.0}, {"loss.identity": 0.0}),
        (
            {"netD": "n_layers", "n_layers_D": 5},
            {"discriminator.name": "n_layers", "discriminator.n_layers": 5},
        ),
        ({"netD": "basic", "n_layers_D": 5}, {}),
        (
            {"norm": "syncbatch"},
            {"generator.norm": "batch", "discriminator.norm": "batch"},
        ),
        (
            {"no_dropout": False, "no_flip": True},
            {"generator.dropout": True, "data.flip": False},
        ),
        (
            {"batch_size": 4},
            {
                "batch_size": 4,
                "log_every_steps": 25,
                "checkpoint_every_steps": 1250,
                "sample_every_steps": 250,
            },
        ),
        (
            {"gan_mode": "wgangp"},
            {"loss.gan_mode": "wgangp", "loss.gradient_penalty": 0.0},
        ),
        (
            {"lr": 1e-4, "lr_policy": "step", "lr_decay_iters": 9},
            {
                "optimizer.learning_rate": 1e-4,
                "optimizer.policy": "step",
                "optimizer.step_epochs": 9,
            },
        ),
        ({"lr_policy": "plateau"}, {"optimizer.policy": "constant"}),
        (
            {"load_size": 143, "crop_size": 128, "netG": "resnet_6blocks"},
            {
                "data.load_size": 143,
                "data.crop_size": 128,
                "generator.name": "resnet_6blocks",
            },
        ),
        ({"max_dataset_size": 9}, {"data.max_images": 9}),
        ({"no_html": True}, {"sample_every_steps": 0}),
        (
            {"init_type": "xavier", "init_gain": 1.0, "ngf": 32, "ndf": 16},
            {
                "generator.init_type": "xavier",
                "discriminator.init_type": "xavier",
                "generator.init_gain": 1.0,
                "discriminator.init_gain": 1.0,
                "generator.width": 32,
                "discriminator.width": 16,
            },
        ),
        ({"gpu_ids": "0,1"}, {"optimizer.policy": "linear_2020"}),
    ],
)
def test_settings(given, expected, tmp_path):
    changed, _ = convert(tmp_path, written(CYCLEGAN | given))
    assert changed == {"data.path": "./datasets/maps"} | expected


def test_pix2pix_from_labels_to_photos(tmp_path):
    changed, _ = convert(tmp_path, written(PIX2PIX | {"direction": "BtoA"}))
    assert changed["direction"] == "BtoA"


def test_a_file_of_2018(tmp_path):
    """Other names, and no alignment."""
    text = """------------ Options -------------
batchSize: 2
dataroot: /data/h2z
fineSize: 128
gpu_ids: [0]
how_many: 50
identity: 0.25
isTrain: True
loadSize: 143
model: cycle_gan
nThreads: 2
name: h2z
niter: 10
niter_decay: 5
no_dropout: True
no_lsgan: True
resize_or_crop: resize_and_crop
which_direction: AtoB
which_model_netD: basic
which_model_netG: resnet_6blocks
-------------- End ----------------
"""
    changed, _ = convert(tmp_path, text)
    assert changed == {
        "batch_size": 2,
        "checkpoint_every_steps": 2500,
        "data.crop_size": 128,
        "data.load_size": 143,
        "data.path": "/data/h2z",
        "generator.name": "resnet_6blocks",
        "log_every_steps": 50,
        "loss.gan_mode": "vanilla",
        "loss.identity": 0.25,
        "optimizer.constant_epochs": 10,
        "optimizer.decay_epochs": 5,
        "sample_every_steps": 500,
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"serial_batches": True}, "serial_batches True: images are always shuffled"),
        ({"save_epoch_freq": 20}, "save_epoch_freq 20: checkpoints are counted in"),
        ({"continue_train": True, "epoch_count": 9}, "epoch_count 9: run the same"),
        ({"lr_policy": "plateau"}, "lr_policy plateau: theirs follows a number that"),
        ({"my_own": "x"}, "my_own x: not an option of the authors' code"),
        ({"lambda_L1": 9.0}, "lambda_L1 9.0: cycle_gan does not use it"),
        ({"direction": "BtoA"}, "translate with --direction=BtoA"),
    ],
)
def test_what_has_no_equivalent_is_named(given, said, tmp_path, capsys):
    _, printed = convert(tmp_path, written(CYCLEGAN | given), capsys)
    assert f"Note: {said}" in printed or said in printed
    assert said in (tmp_path / "converted.py").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "holds no options"),
        (written(CYCLEGAN | {"model": "colorization"}), "model is 'colorization'"),
        (written(CYCLEGAN | {"dataset_mode": "single"}), "dataset_mode is 'single'"),
        (written(CYCLEGAN | {"ngf": "many"}), "ngf is 'many', not a int"),
        (written(CYCLEGAN | {"gan_mode": "x"}), "loss.gan_mode is 'x'"),
    ],
)
def test_mistakes(text, said, tmp_path):
    file, output = tmp_path / "train_opt.txt", tmp_path / "converted.py"
    file.write_text(text)
    given = [str(file), f"--output={output}"]
    with pytest.raises(UserError) as error:
        command_line.main(arguments.parse(command_line.parser(), given))
    assert said in str(error.value)
    assert not output.exists()


def test_files_are_found_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/train_opt.txt").write_text(written(CYCLEGAN))

    def call(*given):
        return command_line.main(arguments.parse(command_line.parser(), given))

    assert call("checkpoints") == 0
    for given, said in (
        (["checkpoints"], "maps_cyclegan.py exists"),
        (["checkpoints", "--output=x.txt"], "--output is x.txt"),
        (["nowhere"], "there is no nowhere"),
        (["."], "has no train_opt.txt"),
        ([], "name one file"),
    ):
        with pytest.raises(UserError, match=said):
            call(*given)


def test_a_name_cannot_run_anything(tmp_path, capsys):
    evil = {"name": '"""+exit(3)+"""', "dataroot": '"+exit(3)+"', "x": '"""\\N{'}
    changed, _ = convert(tmp_path, written(CYCLEGAN | evil), capsys)
    assert changed == {"data.path": '"+exit(3)+"'}


def rows():
    """The table of docs/from_pytorch.md."""

    def marked(text):
        return re.sub(r"--[\w.]*\w(=[\w:/]+)?", r"`\g<0>`", text)

    for name, option in OPTIONS.items():
        cells = marked(option.ours), marked(" or ".join(option.use))
        yield f"| `--{name}` | {' | '.join(cells)} |"


def test_the_guide_has_all_options():
    guide = pathlib.Path(__file__).parent.parent / "docs/from_pytorch.md"
    lines = guide.read_text().splitlines()
    assert [line for line in lines if line.startswith("| `--")] == list(rows())
