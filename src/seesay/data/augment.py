"""Augment: pictures changed at random, and what is said of them along with them.

Where a change would make the text of a row untrue, it is not made, or the text is put in the words
that are then true.

Shapes: N pictures, H W pixels.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate

import numpy as np

from seesay.config import DataConfig
from seesay.coordinates import Sides, without_boxes
from seesay.data import boxes
from seesay.data.geometry import Affine, is_cut
from seesay.data.operations import CUTTING, OPERATIONS, RAND_AUGMENT, applied, moving
from seesay.data.plan import Plan
from seesay.data.seen import View
from seesay.data.wording import MIXED, Says, exchanged, reworded
from seesay.errors import DataError
from seesay.records import Example, Turn

_CHANNELS = ("RGB", "RBG", "GRB", "GBR", "BRG", "BGR")
# Colour jitter, in this order; of hue, so much of the strength of the others (SimCLR,
# arXiv:2002.05709, appendix A).
_JITTER = {"brightness": 1.0, "contrast": 1.0, "colour": 1.0, "hue": 0.25}
# How much wider or narrower than the picture a random crop is, at most.
_BEND = 4 / 3


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to a picture, in this order: mirrored, turned to the left, recoloured, moved,
    and then operations by name and amount. A part is cut out before all that.

    channels: which of a picture's is shown as red, as green and as blue. moved: pixels down and
    right, edges repeated. crop: the part that is shown at all, as shares; None: the whole.
    """

    mirrored: bool = False
    quarters: int = 0
    channels: str = "RGB"
    moved: tuple[int, int] = (0, 0)
    operations: tuple[tuple[str, float], ...] = ()
    crop: Sides | None = None

    def plan(self, plan: Plan) -> Plan:
        """What becomes of a picture of which a part is shown."""
        return plan if self.crop is None else plan.within(self.crop)

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """Pictures (N, H, W, 3) so changed, their part cut out before; square ones where they are
        turned.
        """
        if replace(self, crop=None) == Change():
            return pixels
        if self.mirrored:
            pixels = pixels[:, :, ::-1]
        pixels = np.rot90(pixels, self.quarters, axes=(1, 2))
        pixels = pixels[..., ["RGB".index(channel) for channel in self.channels]]
        pixels = np.ascontiguousarray(_moved(pixels, *self.moved))
        for name, amount in self.operations:
            done = [applied(each, name, amount) for each in pixels]
            pixels = np.stack(done) if done else pixels
        return pixels

    def map(self, size: tuple[int, int]) -> Affine:
        """Where what is in a picture of that size (height, width) then is, in shares of it."""
        (height, width), made = size, Affine()
        if self.mirrored:
            made = made.then(Affine.mirrored(width))
        for _ in range(self.quarters % 4):
            made = made.then(Affine.quarter(width))
            height, width = width, height
        made = made.then(Affine.moved(self.moved[1], self.moved[0]))
        for name, amount in self.operations:
            made = made.then(moving(name, amount, size=(height, width)) or Affine())
        return made.shares(size, (height, width))

    def box(self, sides: Sides, *, size: tuple[int, int]) -> Sides:
        """Where a box then lies in pictures of that size (height, width); it may lie outside.

        `sides`: left, top, right and bottom, as shares of the picture, before and after.
        """
        return self.map(size).sides(sides)

    def views(self, plans: Sequence[Plan], *, box_text: str) -> tuple[View, ...]:
        """How pictures of these plans are seen."""
        if self == Change():
            return tuple(View.of(plan, box_text=box_text) for plan in plans)
        changed = [(self.plan(plan), self.map(plan.canvas)) for plan in plans]
        return tuple(View.of(own, box_text=box_text, change=map) for own, map in changed)

    def turns(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """What is then true of it, boxes aside."""
        if not exchanged(self.mirrored, self.quarters, self.channels):
            return tuple(turns)
        return tuple(self._turn(turn) for turn in turns)

    def _turn(self, turn: Turn) -> Turn:
        cuts = (0, *turn.pictures, len(turn.text))
        pieces = [self.text(turn.text[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
        places = tuple(accumulate(len(piece) for piece in pieces[:-1]))
        return replace(
            turn, text="".join(pieces), reasoning=self.text(turn.reasoning), pictures=places
        )

    def text(self, text: str) -> str:
        """A text in the words that are then true."""
        return reworded(text, self.mirrored, self.quarters, self.channels)

    def fitting(self, examples: Sequence[Example], plans: Sequence[Plan]) -> "Change":
        """As much of it as leaves true what examples on the pictures of these plans say.

        A part is not cut out, and nothing is moved aside, where a place or a number is told, or
        where a box would be cut off.
        """
        if self.crop is None and self.moved == (0, 0) and not self.operations:
            return self
        said = Says.of(text for example in examples for text in _texts(example))
        sides = [side for example in examples for side in boxes.every(example)]
        told = {name for name in Says.__dataclass_fields__ if getattr(said, name)}
        told |= {"boxes"} if sides else set()
        kept = tuple(each for each in self.operations if not OPERATIONS[each[0]].spoils & told)
        crop = None if told & {"places", "counts"} else self.crop
        made = replace(self, operations=kept, crop=crop)
        return made._whole() if sides and made._cuts(sides, plans) else made

    def _whole(self) -> "Change":
        """Without what may bring something out of the picture."""
        stay = tuple(each for each in self.operations if each[0] not in CUTTING)
        return replace(self, operations=stay, crop=None, moved=(0, 0))

    def _cuts(self, sides: Sequence[Sides], plans: Sequence[Plan]) -> bool:
        """Whether any of these boxes of a picture would no longer be shown whole."""
        for plan in plans:
            high, wide = plan.canvas
            by = (0.5 / wide, 0.5 / high)  # half a pixel of the canvas is no matter
            before = View.of(plan, box_text="thousandths")
            (after,) = self.views([plan], box_text="thousandths")
            for each in sides:
                # Nor is what the fit itself has cut off.
                was = is_cut(before.map.sides(each), within=before.part, by=by)
                if not was and is_cut(after.map.sides(each), within=after.part, by=by):
                    return True
        return False


def _texts(example: Example) -> Iterable[str]:
    """All that an example says, beside its boxes."""
    bare = example.task == "ground"
    for turn in example.turns:
        yield without_boxes(turn.text, bare=bare)
        yield turn.reasoning and without_boxes(turn.reasoning)
    yield from example.options


def _moved(pixels: np.ndarray, down: int, right: int) -> np.ndarray:
    if not (down or right):
        return pixels
    height, width = pixels.shape[1:3]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return pixels[:, rows[:, None], columns]


@dataclass(frozen=True, slots=True)
class Augment:
    """Changes that may be made to a picture at random; all of them off leave it as it is.

    flip: mirrored, half of the time. turn: by any number of quarters. recolour: red, green and
    blue change places. shift: moved by up to so many pixels. random_crop: the least share of its
    area that is shown. jitter: how strongly light, contrast and colours vary, from 0 to 1.
    rand_augment: how many operations, of a magnitude from 0 to 10.
    """

    flip: bool = False
    turn: bool = False
    recolour: bool = False
    shift: int = 0
    random_crop: float = 1.0
    jitter: float = 0.0
    rand_augment: int = 0
    magnitude: int = 5

    @classmethod
    def of(cls, data: DataConfig) -> "Augment":
        """What a recipe's data settings ask for."""
        return cls(**{each.name: getattr(data, each.name) for each in fields(cls)})

    def drawn(self, *seed: int) -> Change:
        """One change; the same for the same seed."""
        if self == Augment():
            return Change()
        random = np.random.Generator(np.random.PCG64(seed))
        mirrored = self.flip and random.random() < 0.5
        down = right = 0
        if self.shift:
            down, right = (int(n) for n in random.integers(-self.shift, self.shift + 1, size=2))
        quarters = int(random.integers(4)) if self.turn else 0
        channels = _CHANNELS[int(random.integers(6))] if self.recolour else "RGB"
        crop = _part(self.random_crop, random) if self.random_crop < 1 else None
        operations = _jitter(self.jitter, random) if self.jitter else ()
        operations += _operations(self.rand_augment, self.magnitude, random)
        return Change(mirrored, quarters, channels, (down, right), operations, crop)

    def check(self, examples: Iterable[Example], *, size: tuple[int, int] | None) -> None:
        """Raise DataError where a change would make the text untrue, or the picture not fit.

        size: of all pictures (height, width); None where they differ in it.
        """
        if self.turn and (size is None or size[0] != size[1]):
            said = "of many shapes" if size is None else f"of {size[0]}×{size[1]}"
            raise DataError(
                f"pictures {said} do not fit when they are turned",
                where="data.turn",
                fix="make model.vision.image_size square and data.tiles a number, or set it to "
                "false",
            )
        for example in examples if self.recolour else ():
            found = next(filter(None, (MIXED.search(turn.text) for turn in example.turns)), None)
            if found:
                raise DataError(
                    f"data.recolour exchanges red, green and blue, and what '{found[0]}' becomes "
                    "has no name",
                    where=str(example.origin),
                    fix="set data.recolour to false",
                )


def _part(least: float, random: np.random.Generator) -> Sides:
    """A part of a picture, of at least that share of its area, as shares (Inception's crops,
    arXiv:1409.4842, section 6; the sides' ratio is against the picture's own).
    """
    area = random.uniform(least, 1.0)
    bend = math.exp(random.uniform(-math.log(_BEND), math.log(_BEND)))
    high = min(1.0, area / min(1.0, math.sqrt(area * bend)))
    wide = area / high
    left, top = random.uniform(0.0, 1.0 - wide), random.uniform(0.0, 1.0 - high)
    return left, top, left + wide, top + high


def _jitter(strength: float, random: np.random.Generator) -> tuple[tuple[str, float], ...]:
    amounts = random.uniform(-strength, strength, size=len(_JITTER))
    return tuple(
        (name, float(amount) * share)
        for (name, share), amount in zip(_JITTER.items(), amounts, strict=True)
    )


def _operations(
    count: int, magnitude: int, random: np.random.Generator
) -> tuple[tuple[str, float], ...]:
    """So many of RandAugment's, each as far as the magnitude says, one way or the other."""
    made = []
    for _ in range(count):
        name = RAND_AUGMENT[int(random.integers(len(RAND_AUGMENT)))]
        sign = 1 if random.random() < 0.5 else -1
        amount = OPERATIONS[name].most * magnitude / 10
        made.append((name, amount * sign if OPERATIONS[name].signed else amount))
    return tuple(made)
