"""World: scene graphs (objects in a picture), their words, how they are sampled, and splits."""

from dataclasses import dataclass
from random import Random
from zlib import crc32

from seesay.errors import SeesayError, nearest

SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross", "heart", "ring")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "cyan")
SIZES = ("small", "large")
TEXTURES = ("solid", "striped", "dotted")
BACKGROUNDS = ("white", "grey", "black", "beige")
PLACES = (
    *("top left", "top", "top right"),
    *("left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
)
SPLITS = ("train", "dev", "test", "combinations", "questions")
LANGUAGES = ("en", "zh")

# Each colour and each shape is held out exactly once (as in CLEVR-CoGenT, arXiv:1612.06890).
HELD_OUT = frozenset(
    {
        ("red", "ring"),
        ("green", "heart"),
        ("blue", "triangle"),
        ("yellow", "cross"),
        ("purple", "square"),
        ("orange", "star"),
        ("pink", "diamond"),
        ("cyan", "circle"),
    }
)

SPAN = 1024  # positions are integers in 0..SPAN-1, whatever the resolution
RADII = {"small": 96, "large": 152}
MOST_OBJECTS = 6
_MARGIN = 28  # from the lines between places, so that no answer to "where" is doubtful
_EDGE = 14  # no corner of a star leaves the picture
_ROW_GAP = 72  # between objects of one row, so that reading order is never doubtful
_APART = 78  # least distance of two centres, in % of the sum of their radii
_APART_ALIKE = 100  # the same for one colour, whose overlap would hide both outlines
_TOGETHER = (0.0, 0.25, 0.5, 0.75)  # chance that an object copies an attribute of an earlier one

_HELD_OUT_IDS = frozenset((COLOURS.index(c), SHAPES.index(s)) for c, s in HELD_OUT)
_HELD_OUT_LIST = tuple(sorted(_HELD_OUT_IDS))


@dataclass(frozen=True, slots=True)
class Object:
    """One thing in a picture; (x, y) is its centre in 0..1023, right and down."""

    shape: str
    colour: str
    size: str
    texture: str
    x: int
    y: int

    @property
    def place(self) -> str:
        """Which ninth of the picture the centre lies in."""
        return PLACES[self.y * 3 // SPAN * 3 + self.x * 3 // SPAN]

    @property
    def radius(self) -> int:
        """Half of how far the object reaches across, in 1/1024 of the picture."""
        return RADII[self.size]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture as a graph: later objects are in front of earlier ones."""

    objects: tuple[Object, ...]
    background: str

    def reading_order(self) -> list[int]:
        """Indices of the objects by rows of thirds from the top, then from the left."""
        at = self.objects
        return sorted(range(len(at)), key=lambda i: (at[i].y * 3 // SPAN, at[i].x))


@dataclass(frozen=True, slots=True)
class World:
    """An endless, seeded stream of scenes: `scene(index)` is the same on every machine.

    `objects` is the least and most number of objects. Splits never share a stream. `combinations`
    scenes each show a held-out pair of colour and shape; `questions` asks held-out forms only.
    """

    seed: int = 0
    split: str = "train"
    objects: tuple[int, int] = (1, MOST_OBJECTS)
    language: str = "en"

    def __post_init__(self) -> None:
        _known("split", self.split, SPLITS)
        _known("language", self.language, LANGUAGES)
        low, high = self.objects
        if not 1 <= low <= high <= MOST_OBJECTS:
            raise SeesayError(
                f"scenes of {low} to {high} objects cannot be drawn: 1 to {MOST_OBJECTS} can",
                where="World.objects",
                fix=f"give two numbers, the smaller first, both from 1 to {MOST_OBJECTS}",
            )

    def rng(self, index: int, stream: str) -> Random:
        """The generator of one stream ("scene", "text", …) of one index of this split and seed."""
        start = crc32(f"{self.split}/{stream}".encode())
        return Random(_mix(_mix(_mix(start) ^ self.seed) ^ index))

    def scene(self, index: int) -> Scene:
        """The scene at `index`."""
        rng = self.rng(index, "scene")
        low, high = self.objects
        if self.split == "questions":  # about things that lie somewhere to other things
            low = max(low, min(3, high))
        while True:
            num = low + int(rng.random() * (high - low + 1))
            held_out = int(rng.random() * num) if self.split == "combinations" else None
            looks = draw_looks(rng, num, held_out=held_out, all_pairs=held_out is not None)
            centres = _centres(rng, looks)
            if centres is not None:
                break
        things = tuple(
            Object(SHAPES[s], COLOURS[c], SIZES[z], TEXTURES[t], x, y)
            for (s, c, z, t), (x, y) in zip(looks, centres, strict=True)
        )
        return Scene(things, BACKGROUNDS[int(rng.random() * len(BACKGROUNDS))])


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise SeesayError(f"no {what} {name!r}", where=f"World.{what}", fix=nearest(name, names))


def _mix(number: int) -> int:
    """splitmix64's step: neighbouring numbers give unrelated ones."""
    number = (number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 31)


def draw_looks(
    rng: Random, num: int, *, held_out: int | None, all_pairs: bool
) -> list[tuple[int, int, int, int]]:
    """(shape, colour, size, texture) of each object, as indices.

    Some scenes repeat an attribute more than chance would, so that groups can be counted.
    """
    draw = rng.random
    same_s, same_c, same_z, same_t = (_TOGETHER[int(draw() * 4)] for _ in range(4))
    looks: list[tuple[int, int, int, int]] = []
    for i in range(num):
        z = looks[int(draw() * i)][2] if i and draw() < same_z else int(draw() * 2)
        t = looks[int(draw() * i)][3] if i and draw() < same_t else int(draw() * 3)
        while True:
            s = looks[int(draw() * i)][0] if i and draw() < same_s else int(draw() * 8)
            c = looks[int(draw() * i)][1] if i and draw() < same_c else int(draw() * 8)
            if all_pairs or (c, s) not in _HELD_OUT_IDS:
                break
        if i == held_out:
            c, s = _HELD_OUT_LIST[int(draw() * 8)]
        looks.append((s, c, z, t))
    return looks


# Where a centre may lie in each third of an axis, by size: (first, how many).
_BANDS = tuple(
    tuple(
        (low, high - low + 1)
        for low, high in (
            (radius * 9 // 8 + _EDGE, SPAN // 3 - _MARGIN),
            (SPAN // 3 + 1 + _MARGIN, SPAN * 2 // 3 - _MARGIN),
            (SPAN * 2 // 3 + 1 + _MARGIN, SPAN - 1 - radius * 9 // 8 - _EDGE),
        )
    )
    for radius in RADII.values()
)
_REACH = tuple(RADII.values())
# Least squared distance of two centres by [alike in colour][size][size].
_LEAST = tuple(
    tuple(tuple(((a + b) * percent // 100) ** 2 for b in _REACH) for a in _REACH)
    for percent in (_APART, _APART_ALIKE)
)


def _centres(rng: Random, looks: list[tuple[int, int, int, int]]) -> list[tuple[int, int]] | None:
    """Centres that keep every distance rule, or None where these looks found no room."""
    for _ in range(40):
        centres: list[tuple[int, int]] = []
        for i in range(len(looks)):
            centre = _centre(rng, looks, i, centres=centres)
            if centre is None:
                break
            centres.append(centre)
        else:
            return centres
    return None


def _centre(
    rng: Random,
    looks: list[tuple[int, int, int, int]],
    i: int,
    *,
    centres: list[tuple[int, int]],
) -> tuple[int, int] | None:
    draw = rng.random
    _, colour, size, _ = looks[i]
    bands = _BANDS[size]
    for _ in range(20):
        cell = int(draw() * 9)
        row = cell // 3
        first, width = bands[cell % 3]
        x = first + int(draw() * width)
        first, width = bands[row]
        y = first + int(draw() * width)
        for (_, c, z, _), (px, py) in zip(looks, centres, strict=False):
            dx, dy = x - px, y - py
            if dx * dx + dy * dy < _LEAST[c == colour][size][z]:
                break
            if -_ROW_GAP < dx < _ROW_GAP and py * 3 // SPAN == row:
                break
        else:
            return x, y
    return None
