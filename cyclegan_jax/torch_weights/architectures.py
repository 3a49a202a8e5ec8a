"""The shapes of each network's convolutions, as PyTorch has them and in its order."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cyclegan_jax.torch_weights.layers import Convolution, NoNetwork

Shape = tuple[int, ...]
_WIDEST = 2**16  # Channels.
_MOST_BLOCKS = 64  # Published networks have 9 at most.


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network that a list of convolutions may be.

    Attributes:
      label: in words.
      kind: "generator" or "discriminator".
      settings: as in a config's section of that name, but for the norm.
      channels_in: channels of its input.
      channels_out: channels of its output.
      shapes: of its convolutions.
      normed: which of them a norm follows.
      blurs: size of a constant blur -> how many it has.
    """

    label: str
    kind: str
    settings: dict[str, Any]
    channels_in: int
    channels_out: int
    shapes: Sequence[Shape]
    normed: list[bool]
    blurs: Mapping[int, int] = dataclasses.field(default_factory=dict)


def _resnet(s: Sequence[Shape], blurs: Mapping[int, int]) -> Architecture:
    blocks = min(max((len(s) - 6) // 2, 1), _MOST_BLOCKS)
    w, outer = s[0][0], s[0][2] if s[0][2] in (3, 5, 7, 9) else 7
    out = s[: 2 * blocks + 6][-1][0]
    down = s[1][2] if len(s) > 1 and s[1][2] in (3, 4) else 3
    shapes: list[Shape] = [(w, s[0][1], outer, outer)]
    shapes += [(2 * w, w, down, down), (4 * w, 2 * w, down, down)]
    shapes += [(4 * w, 4 * w, 3, 3)] * (2 * blocks)
    ups: list[Shape] = [(4 * w, 2 * w, 3, 3), (2 * w, w, 3, 3)]
    # A convolution has the outputs first, a transposed one the inputs.
    blurred_up = s[2 * blocks + 3 : 2 * blocks + 4] == [(2 * w, 4 * w, 3, 3)]
    if blurred_up:
        ups = [(o, i, *sides) for i, o, *sides in ups]
    blurred = 3 in blurs or (blurred_up and not blurs)
    shapes += [*ups, (out, w, outer, outer)]
    settings = {"name": f"resnet_{blocks}blocks", "width": w}
    settings |= {"outer_kernel": outer} if outer != 7 else {}
    settings |= {"down_kernel": down} if down != 3 else {}
    settings |= {"antialias": True} if blurred else {}
    settings |= {"antialias_up": True} if blurred_up else {}
    expected = ({3: 2} if blurred else {}) | ({4: 2} if blurred_up else {})
    normed = [True] * (len(shapes) - 1) + [False]
    label = f"ResNet generator of {blocks} blocks"
    return Architecture(
        *(label, "generator", settings, s[0][1], out, shapes, normed),
        expected if blurs else {},  # A file may have been saved without them.
    )


def _unet(s: Sequence[Shape], blurs: Mapping[int, int]) -> Architecture:
    downs = min(max(len(s) // 2, 3), 12)
    del blurs
    w, out = s[0][0], s[: 2 * downs][-1][1]
    f = [w * min(2**i, 8) for i in range(downs)]
    shapes = [(f[0], s[0][1], 4, 4)]
    shapes += [(f[i], f[i - 1], 4, 4) for i in range(1, downs)]
    shapes += [(f[-1], f[-2], 4, 4)]
    shapes += [(2 * f[i], f[i - 1], 4, 4) for i in range(downs - 2, 0, -1)]
    shapes += [(2 * w, out, 4, 4)]
    normed = [False, *[True] * (downs - 2), False, *[True] * (downs - 1), False]
    settings = {"name": f"unet_{2**downs}", "width": w}
    label = f"U-Net generator of {downs} levels"
    return Architecture(label, "generator", settings, s[0][1], out, shapes, normed)


def _patch(s: Sequence[Shape], blurs: Mapping[int, int]) -> Architecture:
    n, w = min(max(len(s) - 2, 1), 6), s[0][0]
    f = [w * min(2**i, 8) for i in range(n + 1)]
    shapes = [(w, s[0][1], 4, 4)]
    shapes += [(f[i + 1], f[i], 4, 4) for i in range(n)]
    shapes += [(1, f[n], 4, 4)]
    settings = {"name": "n_layers", "n_layers": n, "width": w}
    settings |= {"antialias": True} if blurs else {}
    normed = [False, *[True] * n, False]
    return Architecture(
        *("PatchGAN", "discriminator", settings, s[0][1], 1, shapes, normed),
        {3: n} if blurs else {},
    )


def _pixel(s: Sequence[Shape], blurs: Mapping[int, int]) -> Architecture:
    del blurs
    w = s[0][0]
    shapes = [(w, s[0][1], 1, 1), (2 * w, w, 1, 1), (1, 2 * w, 1, 1)]
    settings, normed = {"name": "pixel", "width": w}, [False, True, False]
    label = "pixel discriminator"
    return Architecture(label, "discriminator", settings, s[0][1], 1, shapes, normed)


_KNOWN: Sequence[Callable[[Sequence[Shape], Mapping[int, int]], Architecture]] = (
    _resnet,
    _unet,
    _patch,
    _pixel,
)


def find(convolutions: Sequence[Convolution], blurs: Mapping[int, int]) -> Architecture:
    """Finds the network whose convolutions have these shapes.

    Args:
      convolutions: in order.
      blurs: see `layers.without_blurs`.

    Raises:
      NoNetwork: there is none; says what the most similar one has, and what is there.
    """
    shapes = [conv.weight.shape for conv in convolutions]
    if max(shapes[0][:2]) > _WIDEST or 0 in shapes[0]:
        raise NoNetwork(f"its first convolution is {list(shapes[0])}")
    known = [build(shapes, blurs) for build in _KNOWN]
    best = max(known, key=lambda one: _agreeing(one.shapes, shapes))
    if best.shapes == shapes and best.blurs != blurs:
        described = ", ".join(f"{n} of {k}x{k}" for k, n in blurs.items())
        raise NoNetwork(
            f"it looks like a {best.label}, but its blurs ({described}) are not those"
            " of one"
        )
    if best.shapes == shapes:
        return best
    at = _agreeing(best.shapes, shapes)
    if not at:
        raise NoNetwork(
            "it is none of the networks known here (ResNet, U-Net, PatchGAN and pixel"
            f" discriminator): its first convolution, {convolutions[0].name[:80]!r}, is"
            f" {list(shapes[0])}"
        )
    name = f"layer {convolutions[at].name[:80]!r}" if at < len(shapes) else ""
    expected = list(best.shapes[at]) if at < len(best.shapes) else None
    if not name:
        reason = f"a convolution {expected} is missing after"
        reason += f" {convolutions[-1].name[:80]!r}, the last of {len(shapes)}"
    elif expected is None:
        reason = f"it has the {name} of {list(shapes[at])} too"
    else:
        reason = f"its {name} is {list(shapes[at])} where {expected} is expected"
    raise NoNetwork(f"it looks like a {best.label}, but {reason}")


def _agreeing(one, other):
    """How many shapes agree before the first that does not."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
