"""From options of the PyTorch code to settings."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from cyclegan_jax.cli.pytorch_options import OPTIONS
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.settings import SETTINGS

# By their `model`; the values are those that its class sets when nothing is given.
_MODELS: dict[str, dict[str, Any]] = {
    "cycle_gan": {"no_dropout": True},
    "pix2pix": {
        "no_dropout": False,
        "norm": "batch",
        "netG": "unet_256",
        "dataset_mode": "aligned",
        "gan_mode": "vanilla",
        "pool_size": 0,
    },
}
_DATASETS = {"unaligned": "folder", "aligned": "side_by_side"}
_NORMS = {"syncbatch": "batch"}  # Ours is synchronised.
# What takes effect only where the model has it.
_CYCLEGAN = ("lambda_A", "lambda_B", "lambda_identity")
_PIX2PIX = ("lambda_L1",)
# Options that matter where a training ran, or was looked at, not for what it computes.
_SILENT = (
    *("checkpoints_dir", "name", "suffix", "verbose", "num_threads", "gpu_ids"),
    *("display_freq", "display_winsize", "display_id", "display_ncols"),
    *("display_server", "display_env", "display_port", "wandb_project_name"),
    *("use_wandb", "phase", "epoch", "load_iter", "model_suffix", "save_by_iter"),
    *("results_dir", "aspect_ratio", "eval", "num_test", "isTrain", "device"),
    *("local_rank", "version"),
)


@dataclasses.dataclass(frozen=True)
class Converted:
    """Settings for options.

    Attributes:
      settings: those that differ from the defaults, by name.
      notes: option -> what became of it, where that is not obvious; a sentence.
    """

    settings: dict[str, Any]
    notes: dict[str, str]


def convert(given: Mapping[str, Any], unknown: Mapping[str, str] = {}) -> Converted:
    """Converts options.

    Args:
      given: values of `OPTIONS`, as `reading.read` returns them.
      unknown: texts of options that are not known.

    Raises:
      UserError: there is no such method or data set here, or a value is not possible.
    """
    model = given.get("model", "cycle_gan")
    if model not in _MODELS:
        raise UserError(
            f"model is {model!r}, whose options are not converted; those of"
            f" {' and '.join(_MODELS)} are. docs/methods.md has all methods."
        )
    defaults = {name: option.default for name, option in OPTIONS.items()}
    options = defaults | _MODELS[model] | dict(given)
    if options["dataset_mode"] not in _DATASETS:
        raise UserError(
            f"dataset_mode is {options['dataset_mode']!r}, which has no equivalent"
            f" here; there are {' and '.join(_DATASETS)}."
        )
    settings = _same(options, model) | _data(options) | _networks(options)
    settings |= _written(options, given) | _losses(options, model)
    settings["optimizer.policy"] = _policy(options)
    for name, value in settings.items():
        SETTINGS[name].check(name, value)
    always = ("data.dataset", "data.path")
    changed = {
        name: value
        for name, value in settings.items()
        if value != SETTINGS[name].default or name in always
    }
    return Converted(changed, _notes(options, model, given, unknown))


def _same(options, model):
    """The options whose values are those of our settings."""
    left_out = (*(_PIX2PIX if model == "cycle_gan" else _CYCLEGAN), "input_nc")
    left_out = (*left_out, "output_nc", "n_layers_D", "lr_policy", "gan_mode")
    return {
        option.setting: options[name]
        for name, option in OPTIONS.items()
        if option.setting and name not in left_out
    }


def _data(options):
    aligned = options["dataset_mode"] == "aligned"
    channels = options["input_nc"], options["output_nc"]
    most = options["max_dataset_size"]
    if options["direction"] == "BtoA":
        channels = channels[::-1]
    return {
        "data.dataset": _DATASETS[options["dataset_mode"]],
        "data.path": options["dataroot"] or "",
        "data.paired": aligned,
        "data.channels_a": channels[0],
        "data.channels_b": channels[1],
        "data.flip": not options["no_flip"],
        "data.max_images": 0 if most > 2**31 else int(most),  # Theirs: sys.maxsize.
    }


def _networks(options):
    norm = _NORMS.get(options["norm"], options["norm"])
    shared = {"norm": norm} | {k: options[k] for k in ("init_type", "init_gain")}
    settings = {
        f"{network}.{name}": value
        for network in ("generator", "discriminator")
        for name, value in shared.items()
    }
    settings["generator.dropout"] = not options["no_dropout"]
    if options["netD"] == "n_layers":
        settings["discriminator.n_layers"] = options["n_layers_D"]
    return settings


def _losses(options, model):
    swapped = options["direction"] == "BtoA"
    settings = {"method": "cyclegan", "loss.gan_mode": options["gan_mode"]}
    if options["gan_mode"] == "wgangp":
        settings["loss.gradient_penalty"] = 0.0  # Theirs is never computed.
    if model == "pix2pix":
        settings["method"] = "pix2pix"
        settings["direction"] = options["direction"]
    elif swapped:  # The domains change places, and nothing else is different.
        settings["loss.cycle_a"] = options["lambda_B"]
        settings["loss.cycle_b"] = options["lambda_A"]
    return settings


def _written(options, given):
    """What is counted in images there, and in steps here."""

    def steps(images):
        return math.ceil(images / options["batch_size"])

    html = "update_html_freq" if "update_html_freq" in given else "display_freq"
    samples = options[html] if html in given else options["update_html_freq"]
    return {
        "log_every_steps": steps(options["print_freq"]),
        "checkpoint_every_steps": steps(options["save_latest_freq"]),
        "sample_every_steps": 0 if options["no_html"] else steps(samples),
    }


def _policy(options):
    """The linear policy of that version of the code; plateau has no equivalent."""
    policy = options["lr_policy"]
    if policy == "linear" and options.get("version") == "2020 to 2025":
        return "linear_2020"
    return "constant" if policy == "plateau" else policy


def _notes(options, model, given, unknown):
    notes = {}
    for name, value in given.items():
        option = OPTIONS.get(name)
        if option and option.none and name not in _SILENT and value != option.default:
            notes[name] = f"{value}: {option.none}"
    others = _PIX2PIX if model == "cycle_gan" else _CYCLEGAN
    for name in others:
        if name in given:
            notes[name] = f"{given[name]}: {model} does not use it"
    if options["lr_policy"] == "plateau":
        notes["lr_policy"] = (
            "plateau: theirs follows a number that is always 0; here the learning rate"
            " is constant, so choose another --config.optimizer.policy"
        )
    elif options["lr_policy"] == "linear" and "version" in given:
        notes["lr_policy"] = (
            f"linear: taken for that of the code of {given['version']};"
            " docs/training.md has its variants"
        )
    if options["direction"] == "BtoA" and model == "cycle_gan":
        notes["direction"] = (
            "BtoA: A and B are what their folders say; translate with --direction=BtoA"
        )
    if options["gan_mode"] == "wgangp":
        notes["gan_mode"] = (
            "wgangp: without the gradient penalty, as there;"
            " --config.loss.gradient_penalty=10 adds it"
        )
    for name, text in unknown.items():
        if name not in _SILENT:
            notes[name] = f"{text}: not an option of the authors' code"
    return notes
