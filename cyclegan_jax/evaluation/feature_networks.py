"""The pretrained networks of metrics: loaded, or why they are missing."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from etils import epath

from cyclegan_jax.data.palettes import Palette
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import fcn, lpips
from cyclegan_jax.metrics.extractors import EXTRACTORS
from cyclegan_jax.torch_files.published import AUTO


@dataclasses.dataclass(frozen=True)
class _Request:
    """What loading a network may depend on besides its setting."""

    setting: str
    workdir: epath.PathLike
    palette: Palette | None
    by_image: bool


def _load_fcn(request):
    names = request.palette.names if request.palette else None
    return fcn.load(request.setting, request.workdir, names)


def _load_lpips(request):
    if request.setting == AUTO:
        try:
            return lpips.LPIPS.installed(), ""
        except UserError as error:
            return None, f"LPIPS is missing: {error}"
    setting = request.setting if request.setting != "none" else ""
    files = [file for file in setting.split(",") if file]
    return (lpips.LPIPS.load(files) if files else None), ""


def _load_extractor(extractor):
    return lambda request: extractor.load(request.setting, by_image=request.by_image)


# Name of the setting and flag -> loader; returns the network or None, and a note.
NETWORKS: dict[str, Callable[[_Request], tuple[Any, str]]] = {
    **{name: _load_extractor(extractor) for name, extractor in EXTRACTORS.items()},
    "fcn": _load_fcn,
    "lpips": _load_lpips,
}


def metrics_of(name: str) -> str:
    """The metrics that are computed with a network of `NETWORKS`, for messages."""
    if name in EXTRACTORS:
        return EXTRACTORS[name].measured
    return {"fcn": "FCN scores", "lpips": "LPIPS"}[name]


@dataclasses.dataclass(frozen=True)
class FeatureNetworks:
    """Pretrained networks, for the metrics that need them.

    Attributes:
      by_name: name in `NETWORKS` -> network, without missing ones.
      notes: why a network is missing, or which weights it uses, one sentence each.
    """

    by_name: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        settings: Mapping[str, str],
        *,
        workdir: epath.PathLike,
        palette: Palette | None,
        by_image: bool = False,
    ) -> "FeatureNetworks":
        """Loads the requested networks.

        Args:
          settings: name in `NETWORKS` -> comma-separated files, `auto` or `none`;
            other networks are not loaded.
          workdir: the run's folder, where `train_fcn` puts the FCN of its data.
          palette: the classes of the data, if any.
          by_image: see `machine.spread.Spread`.

        Raises:
          UserError: a given file cannot be used.
        """
        by_name, notes = {}, []
        for name in (name for name in NETWORKS if name in settings):
            request = _Request(settings[name], workdir, palette, by_image)
            network, note = NETWORKS[name](request)
            if network is not None:
                by_name[name] = network
            notes += [note] if note else []
        return cls(by_name, tuple(notes))
