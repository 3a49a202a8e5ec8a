"""Assigns the networks found in files to the networks of a run."""

import dataclasses
import pathlib
from collections.abc import Sequence

from cyclegan_jax import files, torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_weights import finding
from cyclegan_jax.torch_weights.finding import ROLES, Contents, Part
from cyclegan_jax.torch_weights.recognition import Recognised


@dataclasses.dataclass(frozen=True)
class Source:
    """A file that the user named.

    Attributes:
      file: its path.
      role: which of `ROLES` is in it, or "": whatever is.
      where: which network in it, or "": any.
    """

    file: str
    role: str = ""
    where: str = ""

    @classmethod
    def parse(cls, argument: str) -> "Source":
        """Reads FILE, NETWORK=FILE or NETWORK=FILE:WHERE."""
        role, equals, file = argument.partition("=")
        if not equals or role not in ROLES:
            role, file = "", argument
        path, where = files.as_path(file), ""
        if not path.exists() and ":" in file:
            start, _, end = file.rpartition(":")
            if files.as_path(start).exists():
                path, where = files.as_path(start), end
        return cls(str(path), role, where)


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A network of a run.

    Attributes:
      file: where it was.
      where: and where in that.
      network: what it is.
      average: the moving average of its parameters, if there is one, too.
      notes: what had to be guessed.
    """

    file: str
    where: str
    network: Recognised
    average: Recognised | None
    notes: tuple[str, ...]


@dataclasses.dataclass
class Choice:
    """What is taken from files.

    Attributes:
      networks: by our names.
      unassigned: discriminators whose domain is unknown.
      left_out: what was not taken, file by file.
    """

    networks: dict[str, Chosen] = dataclasses.field(default_factory=dict)
    unassigned: list[Chosen] = dataclasses.field(default_factory=list)
    left_out: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def choose(sources: Sequence[Source], norm: str = "") -> Choice:
    """Reads files, and says which network is which.

    Args:
      sources: the files.
      norm: which norm networks have whose tensors allow for two.

    Raises:
      UserError: a file cannot be read or holds no network of ours; or several may be
        meant, and which one is to be said.
    """
    choice = Choice()
    for source in sources:
        contents = finding.look(torch_files.read_all(source.file), source.file, norm)
        choice.left_out[source.file] = contents.left_out
        for role, chosen in _of_file(source, contents):
            if not role:
                choice.unassigned.append(chosen)
            elif role in choice.networks:
                other = choice.networks[role].file
                raise UserError(f"{other} and {source.file} are both {role}.")
            else:
                choice.networks[role] = chosen
    return choice


def _of_file(source, contents):
    """Yields (role, chosen); the role of a discriminator may be ""."""
    parts = _wanted(source, contents)
    stem = pathlib.PurePath(source.file).stem
    for kind in ("generator", "discriminator"):
        several = _by_base([part for part in parts if part.network.kind == kind])
        roles: dict[str, str] = {}
        for base, same in several.items():
            role = source.role or finding.hint(base, kind)
            if not role and len(several) == 1:
                role = finding.hint(stem, kind)
            notes: tuple[str, ...] = ()
            if not role and kind == "generator":
                if len(several) > 1:
                    raise UserError(_which(source, several, kind))
                role = "g_ab"
                notes = (f"that it is g_ab (g_ba={source.file} for the other way)",)
            if role and role in roles.values():
                raise UserError(_which(source, several, kind))
            roles[base] = role
            yield role, _chosen(source, same, notes)


def _wanted(source, contents: Contents):
    """The networks in a file that the user may mean."""
    parts = [p for p in contents.parts if _is_at(p.where, source.where)]
    if not parts:
        known = ", ".join(p.where for p in contents.parts)
        raise UserError(f"{source.file} has no network {source.where!r}, but {known}.")
    if not source.role:
        return parts
    kind = "generator" if source.role.startswith("g_") else "discriminator"
    suiting = [part for part in parts if part.network.kind == kind]
    if not suiting:
        raise UserError(
            f"{source.file} is a {parts[0].network.kind}, not the {kind} {source.role}."
        )
    several = _by_base(suiting)
    if len(several) > 1:
        hinted = {
            b: p for b, p in several.items() if finding.hint(b, kind) == source.role
        }
        if len(hinted) != 1:
            raise UserError(_which(source, several, kind))
        several = hinted
    return [part for same in several.values() for part in same]


def _is_at(where, wanted):
    return not wanted or f".{wanted}." in f".{where}."


def _by_base(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """Puts a network and its moving average together."""
    several: dict[str, list[Part]] = {}
    for part in parts:
        several.setdefault(part.base, []).append(part)
    if len(parts) == 2 and parts[1].where.lower() in ("ema", "swa", "average"):
        return {parts[0].base: list(parts)}  # {"model": ..., "ema": ...}
    return several


def _which(source, several, kind):
    known = [part.where for same in several.values() for part in same]
    roles = ("g_ab", "g_ba") if kind == "generator" else ("d_a", "d_b")
    role = source.role or roles[0]
    return (
        f"{source.file} has {len(known)} {kind}s ({', '.join(known)}); say which is"
        f" which: {role}={source.file}:{known[0]} and so on ({', '.join(roles)})."
    )


def _chosen(source, parts, notes):
    plain = [part for part in parts if not part.is_average]
    averages = [part for part in parts if part.is_average]
    if len(plain) > 1 or (not plain and len(averages) > 1):
        raise UserError(_which(source, {"": parts}, parts[0].network.kind))
    main = (plain or averages)[0]
    average = averages[0].network if plain and averages else None
    if average and average.settings != main.network.settings:
        raise UserError(_which(source, {"": parts}, main.network.kind))
    notes = (*main.network.guesses, *notes)
    return Chosen(source.file, main.where, main.network, average, notes)
