"""Scores the answers of a perceptual study: how often fakes are taken for real."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from cyclegan_jax import files
from cyclegan_jax.errors import UserError
from cyclegan_jax.study.protocol import FAKE, REAL, SPOILT


class _UnusableError(Exception):
    """Why a participant is left out."""


@dataclasses.dataclass(frozen=True)
class Participant:
    """The answers of one participant.

    Attributes:
      file: with the answers.
      number: the participant's.
      method: index of the method that the session tests.
      finished: when, as ISO 8601.
      fooled: for each scored trial whether the fake was taken for real.
      failed: attention trials in which the obvious fake was taken for real.
      shown_ms: how long each pair was shown, in milliseconds.
    """

    file: str
    number: int
    method: int
    finished: str
    fooled: np.ndarray
    failed: int
    shown_ms: np.ndarray


def score(
    files: Sequence[epath.PathLike], key: dict[str, Any], *, allowed_failures: int = 0
) -> dict[str, Any]:
    """Scores the answers of participants.

    Percentages have bootstrap standard deviations, over a participant's trials and over
    a method's participants. As all have the same number of trials, the limit of
    infinitely many resamples is the standard deviation of the values divided by the
    square root of their number, which is what is computed.

    Args:
      files: that the page saved.
      key: of the study, from `read_key`.
      allowed_failures: attention trials that a participant may fail.

    Returns:
      {"study", "direction", "participants": [{"file", "participant", "method",
      "labelled_real", "deviation"}], "dropped": [{"file", "reason"}], "methods":
      [{"method", "labelled_real", "deviation", "participants", "trials", "shown_ms":
      {"median", "max"}}]}, in percent; a deviation is None for a single participant.

    Raises:
      UserError: a file cannot be read, or no participant is left.
    """
    answers, dropped = [], []
    for file in files:
        try:
            answers.append(_read_answers(file, key))
        except _UnusableError as error:
            dropped.append({"file": str(file), "reason": str(error)})
    kept: dict[int, Participant] = {}
    for one in sorted(answers, key=lambda one: (one.finished, one.file)):
        if reason := _reason_to_drop(one, kept.get(one.number), allowed_failures):
            dropped.append({"file": one.file, "reason": reason})
        kept.setdefault(one.number, one)  # No second attempt after failing.
    names = [method["workdir"] for method in key["methods"]]
    gone = {entry["file"] for entry in dropped}
    usable = [one for one in answers if one.file not in gone]
    if not usable:
        reasons = [f"{entry['file']}: {entry['reason']}" for entry in dropped]
        raise UserError("\n  ".join(["no participant is left to score:", *reasons]))
    groups = [[one for one in usable if one.method == m] for m in range(len(names))]
    return {
        "study": key["study"],
        "direction": key["direction"],
        "participants": [_describe_one(one, names) for one in usable],
        "dropped": dropped,
        "methods": [
            _describe_method(name, group)
            for name, group in zip(names, groups, strict=True)
            if group
        ],
    }


def _reason_to_drop(one, before, allowed_failures):
    if before is not None:
        return f"participant {one.number} has answered before ({before.file})"
    if one.failed > allowed_failures:
        return (
            f"failed {one.failed} attention trials ({allowed_failures} allowed:"
            " --allowed_failures)"
        )
    return None


def read_key(path: epath.PathLike) -> dict[str, Any]:
    """Reads the key of a study.

    Raises:
      UserError: the file is missing or is not a key.
    """
    try:
        key = json.loads(files.as_path(path).read_text())
        if not {"study", "sessions", "pictures", "methods"} <= set(key):
            raise ValueError("it is not the key of a study")
        return key
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}; name the key that was written beside the study's"
            " folder with --key."
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def _read_answers(file, key):
    """Reads a participant's file; raises _UnusableError with the reason if not."""
    try:
        text = files.as_path(file).read_text()
    except UnicodeDecodeError:
        raise _UnusableError("it holds no answers") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error
    try:
        result = json.loads(text)
        study, number, finished = (
            result[name] for name in ("study", "participant", "finished")
        )
        answers = [
            (answer["left"], answer["right"], answer["chosen"], answer["shown_ms"])
            for answer in result["trials"]
        ]
        shown_ms = np.array([float(answer[3]) for answer in answers])
        if type(number) is not int or number < 0 or not isinstance(finished, str):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise _UnusableError("it holds no answers") from None
    if study != key["study"]:
        raise _UnusableError("it belongs to another study")
    session = key["sessions"][number % len(key["sessions"])]
    pairs = [[left, right] for left, right, _, _ in answers]
    sides = all(chosen in ("left", "right") for _, _, chosen, _ in answers)
    if pairs != session["scored"] or not sides:
        raise _UnusableError(f"it is not what participant {number} was asked")
    kinds = key["pictures"]
    fooled = {FAKE: [], SPOILT: []}
    for left, right, chosen, _ in answers:
        kind, other = kinds[left]["kind"], kinds[right]["kind"]
        picked = kind if chosen == "left" else other
        fooled[other if kind == REAL else kind].append(picked != REAL)
    return Participant(
        file=str(file),
        number=number,
        method=session["method"],
        finished=finished,
        fooled=np.array(fooled[FAKE]),
        failed=sum(fooled[SPOILT]),
        shown_ms=shown_ms,
    )


def _describe_one(one, names):
    return {
        "file": one.file,
        "participant": one.number,
        "method": names[one.method],
        "labelled_real": 100 * float(one.fooled.mean()),
        "deviation": 100 * float(one.fooled.std() / np.sqrt(len(one.fooled))),
    }


def _describe_method(name, group):
    rates = np.array([one.fooled.mean() for one in group])
    shown_ms = np.concatenate([one.shown_ms for one in group])
    deviation = 100 * float(rates.std() / np.sqrt(len(rates)))
    return {
        "method": name,
        "labelled_real": 100 * float(rates.mean()),
        "deviation": deviation if len(group) > 1 else None,
        "participants": len(group),
        "trials": sum(len(one.fooled) for one in group),
        "shown_ms": {
            "median": float(np.median(shown_ms)),
            "max": float(shown_ms.max()),
        },
    }


def describe(result: dict[str, Any]) -> str:
    """Formats the scores for a terminal."""
    lines = ["participant  % labelled real  method"]
    for one in result["participants"]:
        rate = f"{one['labelled_real']:.1f} +- {one['deviation']:.1f}"
        lines.append(f"{one['participant']:>11}  {rate:>15}  {one['method']}")
    lines += [f"dropped: {e['file']}: {e['reason']}" for e in result["dropped"]]
    for entry in result["methods"]:
        deviation = entry["deviation"]
        rate = f"{entry['labelled_real']:.1f} %"
        rate += f" +- {deviation:.1f} %" if deviation is not None else ""
        shown = entry["shown_ms"]
        lines.append(
            f"{entry['method']}, {result['direction']}: {rate} labelled real"
            f" ({entry['participants']} participants, {entry['trials']:,} trials;"
            f" shown for {shown['median']:,.0f} ms, at most {shown['max']:,.0f})"
        )
    return "\n".join(lines)
