"""Converts PyTorch weight files to run folders, and back."""

import sys
from collections.abc import Mapping

import jax
import ml_collections
import numpy as np
from etils import epath

from cyclegan_jax import files, torch_files
from cyclegan_jax.core.methods import cut
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import experiment, storage
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.run import Run
from cyclegan_jax.runs.settings import SETTINGS
from cyclegan_jax.torch_files.download import file_sha256
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights.choosing import Chosen, Source, choose
from cyclegan_jax.torch_weights.recognition import Recognised

# The authors' D_A discriminates images of B.
THEIR_NAMES = {"g_ab": "G_A", "g_ba": "G_B", "d_b": "D_A", "d_a": "D_B"}
_CUT = {name: name[0].upper() for name in ("g_ab", "g_ba", "d_b", "d_a")}
_CUT |= {"f_ab": "F", "f_ba": "F"}
# What a file may have or lack; settings of a config that it replaces.
_RECOGNISED = ("outer_kernel", "down_kernel", "antialias", "antialias_up")


def import_weights(
    files: Mapping[str, epath.PathLike],
    workdir: epath.PathLike,
    config: ml_collections.ConfigDict,
) -> dict[str, Recognised]:
    """Makes a run folder of files of weights, as `import_networks` does.

    Args:
      files: our network name (g_ab, g_ba, d_a, d_b) -> file.
      workdir: see there.
      config: see there.

    Returns:
      What was found, by our network name.
    """
    choice = choose([Source(str(file), name) for name, file in files.items()])
    import_networks(choice.networks, workdir, config)
    return {name: chosen.network for name, chosen in choice.networks.items()}


def import_networks(
    chosen: Mapping[str, Chosen],
    workdir: epath.PathLike,
    config: ml_collections.ConfigDict,
) -> None:
    """Makes a run folder of networks.

    Args:
      chosen: by our names.
      workdir: the folder to make; it does not exist, or is empty.
      config: settings of the run; those of the networks and the channels are set to
        what the networks are.

    Raises:
      UserError: they do not fit together, or the folder is taken. Nothing is written
        then.
    """
    workdir = storage.locate(workdir)
    if workdir.exists() and any(workdir.iterdir()):
        raise UserError(f"{workdir} is not empty; choose another --workdir.")
    config = ml_collections.ConfigDict(config.to_dict())
    _fill_in(config, chosen)
    experiment.build_method(config)  # Whoever opens the run will do that.
    temporary = workdir.with_name(f".{workdir.name}.importing")
    if temporary.exists():
        temporary.rmtree()  # Left by an import that was killed.
    run_folder.create(
        temporary,
        config.to_dict(),
        imported={
            name: {"file": one.file, "sha256": file_sha256(one.file)}
            | ({"where": one.where} if one.where else {})
            for name, one in chosen.items()
        },
    )
    variables = {name: one.network.variables for name, one in chosen.items()}
    averages = {name: one.average for name, one in chosen.items() if one.average}
    stats = {name: value["batch_stats"] for name, value in variables.items()}
    state = {
        "params": {name: value["params"] for name, value in variables.items()},
        "ema_params": {name: one.variables["params"] for name, one in averages.items()},
        "norm_stats": {name: value for name, value in stats.items() if value},
    }
    checkpoints = Checkpoints(temporary / "checkpoints")
    try:
        checkpoints.save(0, {"state": jax.tree.map(jax.numpy.asarray, state)}, {})
        checkpoints.close()
    except UserError:
        temporary.rmtree()
        raise
    if workdir.exists():  # An empty folder.
        workdir.rmdir()
    temporary.rename(workdir)  # All of it or nothing.


def _fill_in(config, chosen):
    """Sets the networks of the config to those that were found."""
    channels: dict[str, dict[str, int]] = {"a": {}, "b": {}}
    sections: dict[str, tuple[str, dict]] = {}
    for name, one in chosen.items():
        network = one.network
        if network.kind in sections and sections[network.kind][1] != network.settings:
            other, settings = sections[network.kind]
            raise UserError(
                f"{one.file} and {chosen[other].file} are different {network.kind}s"
                f" ({_differences(network.settings, settings)});"
                " import each into a separate folder."
            )
        sections[network.kind] = name, network.settings
        section = config[network.kind]
        for key in set(_RECOGNISED) & set(section):
            section[key] = SETTINGS[f"{network.kind}.{key}"].default
        section.update(network.settings)
        if network.kind == "generator":
            channels[name[2]][name] = network.channels_in
            channels[name[3]][name] = network.channels_out
        elif config.method != "pix2pix":
            channels[name[2]][name] = network.channels_in
    for domain, counts in channels.items():
        if len(set(counts.values())) > 1:
            described = ", ".join(f"{n} has {c}" for n, c in counts.items())
            raise UserError(
                f"the files do not fit together: of the channels of domain"
                f" {domain.upper()}, {described}."
            )
        for count in counts.values():
            config.data[f"channels_{domain}"] = count
    if config.cut.layers == SETTINGS["cut.layers"].default and config.method == "cut":
        config.cut.layers = cut.layers_of(config)  # They matter to training alone.
    _check_discriminator_of_pairs(config, chosen)


def _check_discriminator_of_pairs(config, chosen):
    together = config.data.channels_a + config.data.channels_b
    for name, one in chosen.items():
        count = one.network.channels_in
        if config.method == "pix2pix" and name.startswith("d_") and count != together:
            raise UserError(
                f"{one.file} takes {count} channels; pix2pix's discriminator takes"
                f" pairs of images, which have {together}."
            )


def _differences(one, two):
    keys = sorted(set(one) | set(two))
    pairs = [(k, one.get(k), two.get(k)) for k in keys if one.get(k) != two.get(k)]
    return ", ".join(f"{key} {a} and {b}" for key, a, b in pairs)


def export_weights(run: Run, output: epath.PathLike) -> list[epath.Path]:
    """Writes a run's networks as `latest_net_G_A.pth` and so on, or `_G.pth` of CUT.

    Discriminators that PyTorch's code does not have are left out, which is printed.

    Args:
      run: whose networks.
      output: a folder; made if needed.

    Returns:
      The files written.

    Raises:
      UserError: a file cannot be written, or PyTorch's code has no such networks.
    """
    output, written = files.as_path(output), []
    names = _CUT if run.config.method == "cut" else THEIR_NAMES
    if not set(run.variables) & set(names):
        raise UserError(
            f"{run.workdir} has no networks that the authors' PyTorch code knows: its"
            f" method is {run.config.method}."
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{output} cannot be made ({error.strerror}).") from error
    for ours, theirs in names.items():
        if ours not in run.variables:
            continue
        variables = jax.tree.map(np.asarray, run.variables[ours])
        try:
            tensors = torch_names.to_torch(run.method.modules[ours], variables)
        except UserError as error:
            if not ours.startswith("d"):
                raise
            print(f"left out {ours}: {error}", file=sys.stderr)
            continue
        path = output / f"latest_net_{theirs}.pth"
        torch_files.write(path, tensors)
        written.append(path)
    return written
