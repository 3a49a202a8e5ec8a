"""How the processes of a job connect to each other, and how that can fail."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

import jax

from cyclegan_jax.errors import UserError, complain, one_line


def check(coordinator: str, num_processes: int, process_id: int) -> None:
    """Checks what would make joining hang.

    Args:
      coordinator: HOST:PORT of process 0.
      num_processes: of the job.
      process_id: of this process, from 0.

    Raises:
      UserError: the numbers are impossible, a name is not known, or the port is taken.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"--coordinator is {coordinator!r}; it must be HOST:PORT.")
    if not 0 <= process_id < num_processes:
        raise UserError(
            f"--process_id is {process_id}; of {num_processes} processes it can be 0"
            f" to {num_processes - 1}."
        )
    if num_processes == 1:
        return
    found = addresses(host, "the host of process 0")
    platforms = jax.config.jax_platforms  # type: ignore[attr-defined]  # Set by JAX.
    if platforms == "cpu":
        own = addresses(socket.gethostname(), "this host's own name")
        if all(map(_is_loopback, own)) and not any(map(_is_loopback, found)):
            sentence = (
                f"this host's name, {socket.gethostname()}, resolves to {own[0]}, where"
                " the other hosts cannot reach it: give it its network address in"
                " /etc/hosts."
            )
            if not is_here(found[0]):
                raise UserError(sentence)
            if process_id == 0:  # Perhaps all processes are on this host.
                print(f"warning: {sentence}", file=sys.stderr, flush=True)
    if process_id == 0:
        _check_port(int(port))


def addresses(host: str, what: str) -> list[str]:
    """Returns the addresses of a host.

    Args:
      host: its name or address.
      what: it is, for the message.

    Raises:
      UserError: the name is not known.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{what}, {host}, is not known here ({reason}): use an address, or put the"
            " name into /etc/hosts."
        ) from None  # Not a storage that may come back.
    return [str(address[0]) for *_, address in found]


def _is_loopback(address):
    return address == "::1" or address.startswith("127.")


def is_here(address: str) -> bool:
    """Whether an address is one of this host's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as test:
        try:
            test.bind((address, 0))
        except OSError:
            return False
    return True


def _check_port(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as test:
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test.bind(("", port))
        except OSError as error:
            raise UserError(
                f"port {port} of this host cannot be used ({error.strerror}): give"
                " another one in --coordinator."
            ) from None


@contextlib.contextmanager
def waiting(
    coordinator: str, num_processes: int, process_id: int, timeout: float
) -> Iterator[None]:
    """Announces that this process waits for others; ends it if they do not arrive.

    JAX itself waits in silence, cannot be stopped by Ctrl-C, and aborts in the end.

    Args:
      coordinator: HOST:PORT of process 0.
      num_processes: of the job.
      process_id: of this process, from 0.
      timeout: seconds to wait.

    Raises:
      UserError: process 0 is not there in that time.
    """
    if num_processes == 1:
        yield
        return
    print(
        f"process {process_id} waits for the {num_processes} processes of this job at"
        f" {coordinator}, for up to {timeout:.0f} s; Ctrl-C ends it",
        file=sys.stderr,
        flush=True,
    )
    until = time.monotonic() + timeout
    if process_id:
        _reach(coordinator, until, timeout)
    arrived = threading.Event()
    thread = threading.Thread(
        target=_give_up, args=(arrived, until, num_processes, coordinator, timeout)
    )
    thread.daemon = True
    thread.start()
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_DFL) if main else None
    try:
        yield
    finally:
        arrived.set()
        if main:
            signal.signal(signal.SIGINT, before)


def _reach(coordinator, until, timeout):
    """Waits until process 0 takes connections."""
    while not is_reachable(coordinator, 5.0):
        if time.monotonic() > until:
            raise UserError(
                f"process 0 has not taken connections at {coordinator} for"
                f" {timeout:.0f} s (--initialization_timeout): is it running, and does"
                " a firewall let this port through?"
            )
        time.sleep(min(0.2, timeout))


def is_reachable(coordinator: str, timeout: float = 2.0) -> bool:
    """Whether HOST:PORT takes a connection within some seconds."""
    host, _, port = coordinator.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()
    except OSError:
        return False
    return True


def _give_up(arrived, until, num_processes, coordinator, timeout):
    if not arrived.wait(max(0.0, until - time.monotonic())):
        complain(
            f"not all {num_processes} processes connected to {coordinator} in"
            f" {timeout:.0f} s (--initialization_timeout): start all of them with the"
            " same --coordinator and --num_processes."
        )
        os._exit(2)


def explain(error: BaseException) -> tuple[str, int] | None:
    """Returns the sentence and the status where CPUs cannot reach each other."""
    if "Gloo context initialization failed" not in str(error):
        return None
    return (
        f"the hosts cannot reach each other ({one_line(error)}): in /etc/hosts, each"
        f" host's name, such as {socket.gethostname()}, must resolve to its network"
        " address, not to 127.0.1.1.",
        2,
    )
