r"""Trains the network that scores generated photographs, on a data set's real pairs.

    python -m cyclegan_jax.train_fcn --workdir=runs/cityscapes
    python -m cyclegan_jax.train_fcn --config=configs/streets.py --output=fcn.st

Writes fcn.safetensors into the run's folder, where evaluate.py finds it. To compare
several runs, give all of them the same file with evaluate.py's --fcn.
"""

from absl import flags
from ml_collections import config_flags

from cyclegan_jax import cli
from cyclegan_jax.errors import UserError

_WORKDIR = flags.DEFINE_string("workdir", "", "The run's folder; its data are used.")
_CONFIG = config_flags.DEFINE_config_file("config", None, "Instead: says the data.")
_OUTPUT = flags.DEFINE_string("output", "", "The file; else WORKDIR/fcn.safetensors.")
_STEPS = flags.DEFINE_integer("steps", 2000, "Of training.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Pictures a step.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the start and the order.", lower_bound=0)
_DATA_PATH = flags.DEFINE_string(
    "data_path", "", "Where the data lie, if not where the run's config says."
)


def main() -> int:
    """Trains and scores the network, and writes its file."""
    from etils import epath  # After the flags: these take seconds.

    from cyclegan_jax.metrics import fcn, fcn_training, labels
    from cyclegan_jax.runs import experiment
    from cyclegan_jax.runs import folder as run_folder

    config, output = _CONFIG.value, _OUTPUT.value
    if bool(_WORKDIR.value) == bool(config) or (config and not output):
        raise UserError("give either --workdir, or --config and --output.")
    if not config:
        config = run_folder.load_config(_WORKDIR.value)
    dataset = experiment.load_dataset(config, path=_DATA_PATH.value)
    segmenter = fcn_training.fit(
        dataset,
        config.data.crop_size,
        steps=_STEPS.value,
        batch_size=_BATCH_SIZE.value,
        seed=_SEED.value,
    )
    output = epath.Path(output or epath.Path(_WORKDIR.value) / fcn.FILE_NAME)
    segmenter.save(output)
    if dataset.test_class_maps is not None:
        truth = labels.Truth(dataset.test_class_maps, len(dataset.palette.names))
        scores = fcn.score_photos(segmenter, dataset.test_a, truth).items()
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores)
        print(f"Real test photographs: {shown}")
    print(f"Written to {output}")
    return 0


if __name__ == "__main__":
    cli.run(main)
