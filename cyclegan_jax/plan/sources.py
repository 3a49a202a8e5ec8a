"""Which line of the source code an instruction of a compiled program comes from."""

import re
from pathlib import PurePath

_FRAME = re.compile(r"\bstack_frame_id=(\d+)")
_OLD_FRAME = re.compile(r'source_file="([^"]*)"(?: source_line=(\d+))?')
_FIELD = re.compile(r"(\w+)=(\d+)")
_TABLES = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")
_OURS = ("cyclegan_jax", "site-packages")


class Sources:
    """The tables of files and lines at the start of a program's text."""

    def __init__(self, text: str):
        """Reads the text of a compiled program (`compiled.as_text()`)."""
        tables: dict[str, dict[int, str]] = {}
        current = None
        for line in text.splitlines():
            if line in _TABLES:
                current = tables.setdefault(line, {})
            elif current is not None and line[:1].isdigit():
                number, _, rest = line.partition(" ")
                current[int(number)] = rest
            elif line:
                current = None
                if line.startswith(("%", "ENTRY")):
                    break
        self._files = tables.get("FileNames", {})
        self._lines = _fields(tables.get("FileLocations", {}))
        self._frames = _fields(tables.get("StackFrames", {}))

    def line(self, instruction: str) -> str:
        """Returns the innermost line, such as core/steps.py:12; "" if unknown.

        Args:
          instruction: its text.
        """
        if found := _FRAME.search(instruction):
            frame = self._frames.get(int(found[1]), {})
            place = self._lines.get(frame.get("file_location_id"), {})
            file = self._files.get(place.get("file_name_id"), '""').strip('"')
            return f"{_shortened(file)}:{place['line']}" if file else ""
        if found := _OLD_FRAME.search(instruction):
            return f"{_shortened(found[1])}:{found[2]}"
        return ""


def _fields(table):
    return {
        key: {name: int(value) for name, value in _FIELD.findall(row)}
        for key, row in table.items()
    }


def _shortened(file):
    """Paths from the package on, or from where packages are installed."""
    parts = PurePath(file).parts
    for root in _OURS:
        if root in parts:
            at = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[at + 1 :])
    return file
