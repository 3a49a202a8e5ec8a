"""Between files of PyTorch's weights and run folders."""

from collections.abc import Mapping

import jax
import ml_collections
import numpy as np
from etils import epath

from cyclegan_jax import torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import experiment
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.run import Run
from cyclegan_jax.torch_files.download import file_sha256
from cyclegan_jax.torch_weights import names as torch_names
from cyclegan_jax.torch_weights.recognition import Recognised, recognise

# The authors' D_A judges images of B.
THEIR_NAMES = {"g_ab": "G_A", "g_ba": "G_B", "d_b": "D_A", "d_a": "D_B"}


def import_weights(
    files: Mapping[str, epath.PathLike],
    workdir: epath.PathLike,
    config: ml_collections.ConfigDict,
) -> dict[str, Recognised]:
    """Makes a run folder of files of weights.

    Args:
      files: our network name (g_ab, g_ba, d_a, d_b) -> file.
      workdir: the folder to make; it does not exist, or is empty.
      config: settings of the run; those of the networks and the channels are set to
        what the files hold.

    Returns:
      What was found, by our network name.

    Raises:
      UserError: a file is not one of weights, they do not fit together, or the folder
        is taken. Nothing is written then.
    """
    workdir = epath.Path(workdir)
    if workdir.exists() and any(workdir.iterdir()):
        raise UserError(f"{workdir} is not empty; choose another --workdir.")
    found = {name: recognise(torch_files.read(f), f) for name, f in files.items()}
    config = ml_collections.ConfigDict(config.to_dict())
    _fill_in(config, found, files)
    experiment.build_method(config)  # Whoever opens the run will do that.
    params = {name: r.variables["params"] for name, r in found.items()}
    stats = {name: r.variables["batch_stats"] for name, r in found.items()}
    temporary = workdir.with_name(f".{workdir.name}.importing")
    if temporary.exists():
        temporary.rmtree()  # Left by an import that was killed.
    run_folder.create(
        temporary,
        config.to_dict(),
        imported={
            name: {"file": str(file), "sha256": file_sha256(file)}
            for name, file in files.items()
        },
    )
    checkpoints = Checkpoints(temporary / "checkpoints")
    state = {
        "params": params,
        "ema_params": {},
        "norm_stats": {name: value for name, value in stats.items() if value},
    }
    try:
        checkpoints.save(0, {"state": jax.tree.map(jax.numpy.asarray, state)}, {})
        checkpoints.close()
    except UserError:
        temporary.rmtree()
        raise
    if workdir.exists():  # An empty folder.
        workdir.rmdir()
    temporary.rename(workdir)  # All of it or nothing.
    return found


def _fill_in(config, found, files):
    """Sets the networks of the config to those that were found."""
    channels: dict[str, dict[str, int]] = {"a": {}, "b": {}}
    sections: dict[str, tuple[str, dict]] = {}
    for name, network in found.items():
        kind = "generator" if name.startswith("g_") else "discriminator"
        if network.kind != kind:
            raise UserError(
                f"{files[name]} is a {network.kind}, not the {kind} {name}."
            )
        if kind in sections and sections[kind][1] != network.settings:
            other = sections[kind][0]
            raise UserError(
                f"{files[name]} and {files[other]} are different {kind}s"
                f" ({_differences(network.settings, sections[kind][1])});"
                " import them into a folder each."
            )
        sections[kind] = name, network.settings
        config[kind].update(network.settings)
        if kind == "generator":
            channels[name[2]][name] = network.channels_in
            channels[name[3]][name] = network.channels_out
        else:
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


def _differences(one, two):
    keys = sorted(set(one) | set(two))
    pairs = [(k, one.get(k), two.get(k)) for k in keys if one.get(k) != two.get(k)]
    return ", ".join(f"{key} {a} and {b}" for key, a, b in pairs)


def export_weights(run: Run, output: epath.PathLike) -> list[epath.Path]:
    """Writes a run's networks as `latest_net_G_A.pth` and so on.

    Args:
      run: whose networks.
      output: a folder; made if needed.

    Returns:
      The files written.

    Raises:
      UserError: a file cannot be written, or PyTorch's code has no such networks.
    """
    output, written = epath.Path(output), []
    if not set(run.variables) & set(THEIR_NAMES):
        raise UserError(
            f"{run.workdir} has no networks that the authors' PyTorch code knows: its"
            f" method is {run.config.method}."
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{output} cannot be made ({error.strerror}).") from error
    for ours, theirs in THEIR_NAMES.items():
        if ours not in run.variables:
            continue
        variables = jax.tree.map(np.asarray, run.variables[ours])
        tensors = torch_names.to_torch(run.method.modules[ours], variables)
        path = output / f"latest_net_{theirs}.pth"
        torch_files.write(path, tensors)
        written.append(path)
    return written
