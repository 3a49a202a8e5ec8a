"""Files that grow on storage that cannot append: written whole, by a thread."""

import threading
import time

from etils import epath

INTERVAL = 1.0
"""Least seconds between two writes of an object: Google Cloud Storage asks for that."""


class Upload:
    """A file that grows in memory and is written to an object store now and then.

    Errors of the thread are raised by the next call.
    """

    def __init__(self, path: epath.Path, content: bytes = b""):
        """Starts with what the file holds already; nothing is written yet."""
        self._path, self._content = path, bytearray(content)
        self._due, self._written, self._error = len(content), len(content), None
        self._closed, self._changed = False, threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, content: bytes) -> int:
        """Appends to the file; it is on the way once `flush` is called."""
        with self._changed:
            self._content += content
        return len(content)

    def flush(self) -> None:
        """Asks for writing all there is soon, and does not wait for it."""
        with self._changed:
            self._raise()
            self._due = len(self._content)
            self._changed.notify_all()

    def wait(self) -> None:
        """Waits until all there is has been written."""
        self.flush()
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._written >= self._due)
            self._raise()

    def close(self) -> None:
        """Writes the rest; may be called again."""
        try:
            if not self._closed:
                self.wait()
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()

    def _raise(self):
        if self._error:
            raise self._error

    def _run(self):
        last = -INTERVAL
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._written < self._due
                )
                if self._closed:
                    return
            time.sleep(max(0.0, last + INTERVAL - time.monotonic()))
            with self._changed:
                content = bytes(self._content)
            try:
                self._path.write_bytes(content)
            except Exception as error:  # Of whatever package the storage needs.
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            last = time.monotonic()
            with self._changed:
                self._written = len(content)
                self._changed.notify_all()
