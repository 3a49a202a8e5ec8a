"""The options of the authors' PyTorch code, and what each is called here.

Of junyanz/pytorch-CycleGAN-and-pix2pix in 2025 and, as other names, of its older
versions. Error messages, the converter (`from_pytorch`) and docs/from_pytorch.md use
this table, which is written in full nowhere else.
"""

import dataclasses
import functools
import re
from collections.abc import Container


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of the PyTorch code.

    Attributes:
      default: theirs, of CycleGAN's training.
      setting: ours that takes the same value; "" where the value is translated.
      train: what to write for a training here; "" for `--config.<setting>`.
      use: what to write in evaluation or translation, the first that the command has;
        none where the run keeps it.
      none: why there is no equivalent; then the others are "".
    """

    default: object = None
    setting: str = ""
    train: str = ""
    use: tuple[str, ...] = ()
    none: str = ""

    @property
    def ours(self) -> str:
        """What to write for a training, or why there is nothing to write."""
        return self.none or self.train or f"--config.{self.setting}"


_WORKDIR = "--workdir=runs/NAME"
_STEP = "--step=N, latest or best"
_ALL_DEVICES = "all devices are used; --devices=1 uses one"
_LOGS = "metrics.jsonl, TensorBoard events and index.html are always written"
_ONCE = "images are decoded once and kept in memory (--config.data.cache_gib)"
_BY_STEP = "checkpoints are counted in steps: --config.keep_every_steps=N"
_RESUMES = "run the same command again, and the run resumes where it stopped"
_SPLITS = "splits are recognised by their folders: trainA, testA, valA, ..."
_EVAL = (
    "needed for pix2pix alone: --config.test_dropout=False and"
    " --config.test_statistics=running"
)

OPTIONS = {
    # Of training and test.
    "dataroot": Option(
        train="--config.data.path=FOLDER",
        use=("--data_path=FOLDER", "a picture or folder, after the flags"),
    ),
    "name": Option("experiment_name", train=_WORKDIR, use=(_WORKDIR,)),
    "checkpoints_dir": Option("./checkpoints", train=_WORKDIR, use=(_WORKDIR,)),
    "model": Option(
        "cycle_gan", train="--config=folder (cycle_gan), --config=pix2pix:folder"
    ),
    "input_nc": Option(3, "data.channels_a"),
    "output_nc": Option(3, "data.channels_b"),
    "ngf": Option(64, "generator.width"),
    "ndf": Option(64, "discriminator.width"),
    "netD": Option("basic", "discriminator.name"),
    "netG": Option("resnet_9blocks", "generator.name"),
    "n_layers_D": Option(3, "discriminator.n_layers"),
    "norm": Option(
        "instance", train="--config.generator.norm and --config.discriminator.norm"
    ),
    "init_type": Option(
        "normal",
        train="--config.generator.init_type and --config.discriminator.init_type",
    ),
    "init_gain": Option(
        0.02,
        train="--config.generator.init_gain and --config.discriminator.init_gain",
    ),
    "no_dropout": Option(True, train="--config.generator.dropout=False"),
    "dataset_mode": Option(
        "unaligned", train="--config=folder, or --config=pix2pix:side_by_side (aligned)"
    ),
    "direction": Option(
        "AtoB",
        train="--config.direction with pix2pix; CycleGAN learns both directions",
        use=("--direction",),
    ),
    "serial_batches": Option(
        False, none="images are always shuffled; the order follows --config.seed"
    ),
    "num_threads": Option(4, none=_ONCE),
    "batch_size": Option(1, "batch_size"),
    "load_size": Option(286, "data.load_size", use=("--size=resize",)),
    "crop_size": Option(256, "data.crop_size", use=("--size=resize",)),
    "max_dataset_size": Option(float("inf"), train="--config.data.max_images"),
    "preprocess": Option("resize_and_crop", "data.preprocess", use=("--size",)),
    "no_flip": Option(False, train="--config.data.flip=False"),
    "display_winsize": Option(256, none="the pages show images at their own size"),
    "epoch": Option("latest", none=_RESUMES, use=(_STEP,)),
    "load_iter": Option(0, none=_RESUMES, use=(_STEP,)),
    "verbose": Option(
        False, none="the number of parameters is printed at the start of a run"
    ),
    "suffix": Option("", train=_WORKDIR, use=(_WORKDIR,)),
    "use_wandb": Option(False, none=_LOGS),
    "wandb_project_name": Option("CycleGAN-and-pix2pix", none=_LOGS),
    # Of training.
    "display_freq": Option(400, train="--config.sample_every_steps"),
    "update_html_freq": Option(1000, train="--config.sample_every_steps"),
    "print_freq": Option(100, train="--config.log_every_steps"),
    "no_html": Option(False, train="--config.sample_every_steps=0"),
    "save_latest_freq": Option(5000, train="--config.checkpoint_every_steps"),
    "save_epoch_freq": Option(5, none=_BY_STEP),
    "save_by_iter": Option(False, none=_BY_STEP),
    "continue_train": Option(False, none=_RESUMES),
    "epoch_count": Option(1, none=_RESUMES),
    "phase": Option("train", none=_SPLITS),
    "n_epochs": Option(100, "optimizer.constant_epochs"),
    "n_epochs_decay": Option(100, "optimizer.decay_epochs"),
    "beta1": Option(0.5, "optimizer.beta1"),
    "lr": Option(0.0002, "optimizer.learning_rate"),
    "gan_mode": Option("lsgan", "loss.gan_mode"),
    "pool_size": Option(50, "pool_size"),
    "lr_policy": Option("linear", "optimizer.policy"),
    "lr_decay_iters": Option(50, "optimizer.step_epochs"),
    "lambda_A": Option(10.0, "loss.cycle_a"),
    "lambda_B": Option(10.0, "loss.cycle_b"),
    "lambda_identity": Option(0.5, "loss.identity"),
    "lambda_L1": Option(100.0, "loss.l1"),
    "lambda_regression": Option(
        1.0, none="the template model is an example; docs/methods.md adds a method"
    ),
    # Of test.
    "results_dir": Option(
        "./results/", none="a run's pages are in its folder", use=("--output=FOLDER",)
    ),
    "aspect_ratio": Option(
        1.0, none="translations have their image's size", use=("--size=keep",)
    ),
    "eval": Option(False, none=_EVAL),
    "num_test": Option(50, none="all images are translated"),
    "model_suffix": Option(
        "", none="`python -m cyclegan_jax weights import g_ab=FILE` names the network"
    ),
    # Of older versions.
    "gpu_ids": Option("0", none=_ALL_DEVICES),
    "display_id": Option(1, none=_LOGS),
    "display_ncols": Option(4, none=_LOGS),
    "display_server": Option("http://localhost", none=_LOGS),
    "display_env": Option("main", none=_LOGS),
    "display_port": Option(8097, none=_LOGS),
}
# Names before 2019, and names that people try.
RENAMED = {
    "niter": "n_epochs",
    "niter_decay": "n_epochs_decay",
    "batchSize": "batch_size",
    "loadSize": "load_size",
    "fineSize": "crop_size",
    "which_direction": "direction",
    "which_model_netG": "netG",
    "which_model_netD": "netD",
    "which_epoch": "epoch",
    "nThreads": "num_threads",
    "resize_or_crop": "preprocess",
    "identity": "lambda_identity",
    "how_many": "num_test",
    "no_lsgan": "gan_mode",
    "epochs": "n_epochs",
    "num_epochs": "n_epochs",
    "num_workers": "num_threads",
    "gpu": "gpu_ids",
    "gpus": "gpu_ids",
    "resume": "continue_train",
    "data": "dataroot",
    "data_dir": "dataroot",
    "wandb": "use_wandb",
}


def explain(flag: str, known: Container[str]) -> str | None:
    """Says what a flag of the PyTorch code is called here; None if it is not one.

    Args:
      flag: with its dashes.
      known: the flags of the command; with `--config`, it takes all settings.
    """
    name = flag.lstrip("-")
    option = OPTIONS.get(RENAMED.get(name, name))
    if option is None:
        return None
    trains = "--config" in known
    written = (option.ours, *option.use) if trains else option.use
    here = next(filter(functools.partial(_fits, known=known), written), "")
    if here and not (trains and option.none):
        both = " and --config.optimizer.decay_epochs" if "epochs" in flag[-6:] else ""
        return f"there is no flag {flag}; here it is {here}{both if trains else ''}"
    reason = option.none or "it is a setting of the run, which keeps it: leave it out"
    return f"there is no flag {flag}, nor a need for one: {reason}"


def _fits(text, known):
    """Whether a command has the flag that a text begins with."""
    name = re.split(r"[= ,]", text)[0]
    return name.startswith("--config.") or name in known or not name.startswith("--")
