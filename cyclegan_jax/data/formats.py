"""Which files are images, for training, evaluation and translation alike.

A known file extension decides; otherwise Pillow tries to identify the first bytes.
Every file that is not an image has a reason, for `LeftOut`.
"""

import contextlib
import io
import mimetypes
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import IO

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "GIF": (".gif",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
    "HEIF": (".heic", ".heif", ".heics", ".heifs", ".hif"),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "QOI": (".qoi",),
    "PCX": (".pcx",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
}
_PLACES = {TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.TILEOFFSETS}
# TIFF's tag SampleFormat.
_SAMPLES = {1: "uint", 2: "int", 3: "float", 4: "undefined", 5: "int", 6: "complex"}
_BY_NAME_ONLY = ("TGA", "PCX")  # Nearly any bytes may begin one.
# Pillow identifies many of these as TIFFs, and would read their small preview.
_RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc"),
    *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"),
    *(".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
# Pictures that Pillow cannot read, or reads without their layers, range or size.
_OTHER_SUFFIXES = (
    *(".svg", ".svgz", ".ai", ".eps", ".psd", ".psb", ".xcf", ".kra", ".jxl", ".exr"),
    *(".hdr", ".dds", ".ico", ".icns", ".wmf", ".emf", ".fits", ".flif", ".bpg"),
)
_SYSTEM_FILES = frozenset(
    ("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r")
)
_SYSTEM_FOLDERS = frozenset(
    (
        *("__macosx", "@eadir", "#recycle", "@recycle", "#snapshot"),
        *("$recycle.bin", "system volume information", "lost+found"),
    )
)

SYSTEM = "hidden or of the system"
RAW = "camera raw, which must be developed first"
OTHER_FORMAT = "in a picture format that is not read here: convert to PNG"
NO_PICTURE = "no picture"
RUN = "folder of a training run"
BROKEN_LINK = "a link to nothing"


def _readable() -> tuple[str, ...]:
    """The formats that this installation decodes, by Pillow's names."""
    with contextlib.suppress(ImportError):  # An optional package.
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in _SUFFIXES if name in Image.OPEN)


FORMATS = _readable()
"""The formats that are decoded, by Pillow's names."""
ARRAY_SUFFIXES = (".npy", ".npz")
"""Extensions of NumPy's files, which hold one image each."""
IMAGE_SUFFIXES = (
    *(suffix for name in FORMATS for suffix in _SUFFIXES[name]),
    *ARRAY_SUFFIXES,
)
"""The file extensions of images, in lower case."""
FORMAT_TEXT = ", ".join((*FORMATS, "NPY", "NPZ"))

_TYPES = mimetypes.MimeTypes(filenames=())  # Python's own table, not the system's.
_UNAVAILABLE = {
    suffix: name
    for name, suffixes in _SUFFIXES.items()
    for suffix in suffixes
    if name not in FORMATS
}
_PICTURE_SUFFIXES = frozenset(
    (*IMAGE_SUFFIXES, *_UNAVAILABLE, *_RAW_SUFFIXES, *_OTHER_SUFFIXES)
)


def is_hidden(name: str) -> bool:
    """Whether this is the name of a hidden or system file or folder.

    Such as ``.x``, ``Thumbs.db``, ``__MACOSX`` and ``@eaDir``, the thumbnails of NAS.
    """
    lower = name.lower()
    return (
        (name.startswith(".") and name not in (".", ".."))
        or lower in _SYSTEM_FILES
        or lower in _SYSTEM_FOLDERS
        or lower.startswith("synofile_thumb")
    )


def reason_left_out(name: str, open_file: Callable[[], IO[bytes]]) -> str:
    """Returns why a file is not used as an image; "" if it is used.

    Args:
      name: of the file, without its folder.
      open_file: opens it for reading; called only for unknown extensions.

    Returns:
      One of this module's reasons.
    """
    if is_hidden(name):
        return SYSTEM
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return ""
    if suffix in _UNAVAILABLE:
        return missing_decoder(_UNAVAILABLE[suffix])
    if suffix in _RAW_SUFFIXES:
        return RAW
    if suffix in _OTHER_SUFFIXES:
        return OTHER_FORMAT
    known = _TYPES.guess_type(f"_{suffix}")[0] or "application/octet-stream"
    if not known.startswith("image/") and known != "application/octet-stream":
        return NO_PICTURE  # Such as a text or a video.
    if _is_picture(open_file):
        return ""
    return OTHER_FORMAT if known.startswith("image/") else NO_PICTURE


def names_picture(name: str) -> bool:
    """Whether a file name has the suffix of a picture, decodable here or not."""
    suffix = PurePosixPath(name).suffix.lower()
    kind = _TYPES.guess_type(f"_{suffix}")[0] or ""
    return suffix in _PICTURE_SUFFIXES or kind.startswith("image/")


def missing_decoder(format_name: str) -> str:
    """Names the package needed to read a known format that is not supported here."""
    if format_name == "HEIF":
        return "HEIC, which needs the package pillow-heif"
    return f"{format_name}, which needs a newer Pillow"


def unavailable_format(head: bytes) -> str:
    """Returns the format of these first bytes, if known but not supported here."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in (b"avif", b"avis"):
        name = "AVIF"
    elif brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
        name = "HEIF"
    else:
        return ""
    return "" if name in FORMATS else name


def reason_unreadable(error: BaseException, data: bytes) -> str:
    """Says why a file cannot be decoded.

    Args:
      error: what the decoder raised.
      data: the content of the file.
    """
    if missing := unavailable_format(data):
        return f"it is {missing_decoder(missing)}"
    if isinstance(error, UnidentifiedImageError):
        return f"not one of {FORMAT_TEXT}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def tiff_values(data: bytes) -> str:
    """Describes what a TIFF holds, such as "float64 in 3 channels".

    Args:
      data: the content of any file.

    Returns:
      "" if it is no TIFF, or is damaged.
    """
    try:
        head = data[: 16 if 43 in data[2:4] else 8]  # BigTIFF's is longer.
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        with io.BytesIO(data) as file:
            file.seek(tags.next)
            tags.load(file)
        if not _PLACES & set(tags):  # Of the values; these tags come late.
            return ""
        kind = _SAMPLES[tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0]]
        bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0]
        channels = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    except Exception:  # Decoders may raise anything on damaged files.
        return ""
    return f"{kind}{bits} in {channels} channel{'s' * (channels > 1)}"


def _is_picture(open_file: Callable[[], IO[bytes]]) -> bool:
    try:
        sure = [name for name in FORMATS if name not in _BY_NAME_ONLY]
        with open_file() as file, Image.open(file, formats=sure):
            return True
    except Exception:  # Decoders may raise anything on other formats.
        return False


class LeftOut(dict[str, list[str]]):
    """Input that is not used: reason -> names of files or folders."""

    def add(self, reason: str, name: str) -> None:
        """Adds one file or folder."""
        self.setdefault(reason, []).append(name)

    def merge(self, other: "LeftOut") -> None:
        """Adds everything in `other`."""
        for reason, names in other.items():
            self.setdefault(reason, []).extend(names)

    def describe(self) -> str:
        """One line: counts by reason, with the first names; "" if empty."""
        return "; ".join(
            f"{len(names):,} {reason} ({_some(names)})"
            for reason, names in sorted(self.items())
        )


def _some(names: Iterable[str], count: int = 3) -> str:
    names = [printable(name) for name in names]
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def printable(name: str) -> str:
    """A file name as valid text; bytes that are not UTF-8 become \\xff."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
