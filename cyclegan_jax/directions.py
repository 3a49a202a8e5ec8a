"""The two directions of translation, and their domains."""

DIRECTIONS = ("AtoB", "BtoA")


def other(direction: str) -> str:
    """Returns the way back: BtoA for AtoB."""
    return {"AtoB": "BtoA", "BtoA": "AtoB"}[direction]


def domains(direction: str) -> tuple[str, str]:
    """Returns the domain that is translated and the one that it becomes: "a", "b"."""
    return {"AtoB": ("a", "b"), "BtoA": ("b", "a")}[direction]
