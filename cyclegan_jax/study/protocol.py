"""Assignment in a perceptual study: pairs, sessions, and the key for scoring.

The page contains only random image names and which two form a pair. Which is real is
recorded in the key, which participants never see.
"""

import dataclasses
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from cyclegan_jax.errors import UserError

REAL, FAKE, SPOILT = "real", "fake", "spoilt"


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The protocol of a session; by default as in Zhu et al. 2017, section 5.1.1.

    Attributes:
      trials: scored pairs that each participant sees.
      practice: pairs before them, with feedback, the same for all participants.
      attention: pairs among the scored ones whose fake is obvious; the same for all.
      max_pairs: scored pairs in the study; each session has a random choice of them.
      sessions: different sequences of trials for each method.
      show_ms: how long a pair is shown, in milliseconds.
      pause_ms: time before each pair, in milliseconds.
      seed: of all random choices.
    """

    trials: int = 40
    practice: int = 10
    attention: int = 5
    max_pairs: int = 100
    sessions: int = 25
    show_ms: int = 1000
    pause_ms: int = 500
    seed: int = 0

    def __post_init__(self):
        lowest = {"trials": 1, "sessions": 1, "show_ms": 1}
        for field in dataclasses.fields(self):
            value, low = getattr(self, field.name), lowest.get(field.name, 0)
            if value < low:
                raise UserError(f"{field.name} is {value}; it must be {low} or more.")
        if self.max_pairs < self.trials:
            raise UserError(
                f"max_pairs is {self.max_pairs}, fewer than the {self.trials} trials"
                f" of a session: ask for --max_pairs={self.trials} or more."
            )

    def count_pairs(self, available: int) -> int:
        """Returns how many pairs to make for each method.

        Args:
          available: pictures in the smaller test split.

        Raises:
          UserError: that is too few for one session.
        """
        others = self.practice + self.attention
        if available < others + self.trials:
            raise UserError(
                f"there are {available} test pictures, too few for {self.practice}"
                f" practice, {self.attention} attention and {self.trials} scored"
                " trials, which never repeat one; ask for fewer of them (--trials,"
                " --practice, --attention)."
            )
        return min(available, others + self.max_pairs)

    def is_attention(self, pair: int) -> bool:
        """Whether this pair of a method, counted from 0, is an attention trial."""
        return self.practice <= pair < self.practice + self.attention


@dataclasses.dataclass
class Pair:
    """A real image and a fake one, of the same size.

    Attributes:
      real: uint8 [H, W, C].
      fake: uint8 [H, W, C], or an obvious fake.
      kind: of the fake, `FAKE` or `SPOILT`.
      sources: names of the real picture, and of the fake's input, in the data set.
    """

    real: np.ndarray
    fake: np.ndarray
    kind: str
    sources: tuple[str, str]


def plan(
    methods: Sequence[Sequence[Pair]], protocol: Protocol
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Names the images and assigns pairs to sessions.

    Session k of M methods tests method k mod M. Its scored pairs, their order and which
    side the real picture is on are drawn by `np.random.default_rng([seed, k])`.

    Args:
      methods: for each method its pairs: practice, then attention, then scored ones.
      protocol: of the sessions.

    Returns:
      The key, {"study", "protocol", "sessions": [{"method", "practice", "scored"}],
      "pictures": {name: {"kind", "source"}}}, with lists of [left, right] names; and
      the pictures by name.
    """
    kinds: dict[str, dict[str, str]] = {}
    pictures: dict[str, np.ndarray] = {}
    names: list[list[list[str]]] = []
    for pairs in methods:
        names.append([])
        for pair in pairs:
            # Not from the seed, which would make the names reproducible.
            real, fake = secrets.token_hex(6), secrets.token_hex(6)
            pictures |= {real: pair.real, fake: pair.fake}
            kinds[real] = {"kind": REAL, "source": pair.sources[0]}
            kinds[fake] = {"kind": pair.kind, "source": pair.sources[1]}
            names[-1].append([real, fake])
    key = {
        "study": secrets.token_hex(4),
        "protocol": dataclasses.asdict(protocol),
        "sessions": [
            _session(number, names, protocol)
            for number in range(protocol.sessions * len(methods))
        ],
        "pictures": kinds,
    }
    return key, pictures


def _session(number, names, protocol):
    rng = np.random.default_rng([protocol.seed, number])
    method = number % len(names)
    first = protocol.practice
    pool = first + protocol.attention
    practice, attention = names[method][:first], names[method][first:pool]
    chosen = rng.choice(len(names[method]) - pool, protocol.trials, replace=False)
    scored = [names[method][pool + index] for index in chosen]
    return {
        "method": method,
        "practice": _mixed(practice, rng),
        "scored": _mixed(scored + attention, rng),
    }


def _mixed(pairs, rng):
    """Shuffles pairs, and the two images of each pair."""
    order = rng.permutation(len(pairs))
    return [pairs[i] if rng.random() < 0.5 else pairs[i][::-1] for i in order]


def page_data(key: dict[str, Any]) -> dict[str, Any]:
    """Returns the data for the page, without kinds of images and methods.

    For feedback on practice trials it includes hashes of their real images.
    """
    practice = {
        name
        for session in key["sessions"]
        for pair in session["practice"]
        for name in pair
        if key["pictures"][name]["kind"] == REAL
    }
    return {
        "study": key["study"],
        "show_ms": key["protocol"]["show_ms"],
        "pause_ms": key["protocol"]["pause_ms"],
        "checks": sorted(fnv1a(name) for name in practice),
        "sessions": [
            {kind: session[kind] for kind in ("practice", "scored")}
            for session in key["sessions"]
        ],
    }


def fnv1a(text: str) -> int:
    """The 32-bit FNV-1a hash, which study.js computes as well."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    return value
