"""The networks that judge pictures: which are there, and why the others are not."""

import dataclasses
from collections.abc import Sequence

from etils import epath

from cyclegan_jax.data.palettes import Palette
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.realism import REFERENCES, Realism
from cyclegan_jax.metrics import fcn, features
from cyclegan_jax.metrics.lpips import LPIPS
from cyclegan_jax.torch_files.download import file_sha256


@dataclasses.dataclass(frozen=True)
class Judges:
    """Networks with weights of their own that evaluation uses where they are given.

    Attributes:
      realism: FID and KID.
      segmenter: classes of generated photographs.
      lpips: how different two pictures look.
      notes: sentences that say why one of them is not there, or what it is.
    """

    realism: Realism | None = None
    segmenter: fcn.Segmenter | None = None
    lpips: LPIPS | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        *,
        workdir: epath.PathLike,
        palette: Palette | None,
        inception: str = "auto",
        references: Sequence[str] = ("test",),
        fcn_file: str = "auto",
        lpips_files: Sequence[str] = (),
    ) -> "Judges":
        """Loads what is asked for.

        Args:
          workdir: the run's folder, where its own FCN is looked for.
          palette: the classes of the data, if there are any.
          inception: a file; `auto`: the cache or the public release; or `none`.
          references: see `Realism`.
          fcn_file: what `train_fcn` wrote; `auto`: the run's own; or `none`.
          lpips_files: see `LPIPS.load`; none: without.

        Raises:
          UserError: a file that was named cannot be used.
        """
        realism, about_fid = _realism(inception, references)
        segmenter, about_fcn = _segmenter(fcn_file, workdir, palette)
        perceptual = LPIPS.load(lpips_files) if lpips_files else None
        notes = tuple(note for note in (about_fid, about_fcn) if note)
        return cls(realism, segmenter, perceptual, notes)


def _realism(inception, references):
    for reference in references:
        if reference not in REFERENCES:
            raise UserError(f"fid_reference {reference!r} is not test or train+test.")
    if inception == "none":
        return None, "FID and KID were not asked for."
    try:
        weights = features.load_weights(None if inception == "auto" else inception)
    except UserError as error:
        if inception != "auto":
            raise
        return None, f"FID and KID are missing: {error}"
    note = "" if inception == "auto" else _provenance(inception)
    return Realism(features.Extractor(weights), references=references), note


def _provenance(file):
    found = file_sha256(file)
    if found == features.SHA256:
        return ""
    return (
        f"FID and KID use the weights in {file} (SHA-256 {found[:16]}...), which is not"
        f" the file that papers use ({features.SHA256[:16]}...): unless it was made"
        " from that one, compare them with nobody else's."
    )


def _segmenter(file, workdir, palette):
    if palette is None:
        if file not in ("auto", "none"):
            raise UserError(f"--fcn={file}: the data have no classes to recognise.")
        return None, ""
    if file == "none":
        return None, "FCN scores were not asked for."
    own = epath.Path(workdir) / fcn.FILE_NAME
    if file == "auto" and not own.exists():
        return None, (
            "FCN scores of generated photographs are missing: python -m"
            f" cyclegan_jax.train_fcn --workdir={workdir} trains the network for them."
        )
    return fcn.Segmenter.load(own if file == "auto" else file, palette.names), ""
