"""View: what can be said of one scene, in numbers: which words pick out which object, who is where.

An attribute is a bit (shape 1, colour 2, size 4, texture 8); a set of them is the sum of its bits.
A look is one number for the four values of an object, the index of every table of phrases.
"""

from random import Random

from seesay.scenes.render import overlap
from seesay.scenes.world import (
    COLOURS,
    HELD_OUT,
    SHAPES,
    SIZES,
    SPAN,
    TEXTURES,
    Object,
    Scene,
)

ATTRIBUTES = ("shape", "colour", "size", "texture")
VALUES = (SHAPES, COLOURS, SIZES, TEXTURES)
SHAPE, COLOUR, SIZE, TEXTURE = 0, 1, 2, 3
NUM_LOOKS = 8 * 8 * 2 * 3
CLEAR = 124  # 12 % of the picture: a difference of position that nobody can mistake
COVERS = 9  # pixels of 64 x 64 that must overlap before one thing is "in front of" another
LEFT, RIGHT, ABOVE, BELOW, FRONT, BEHIND = range(6)
OPPOSITE = (RIGHT, LEFT, BELOW, ABOVE, BEHIND, FRONT)

HELD_OUT_IDS = frozenset((SHAPES.index(s), COLOURS.index(c)) for c, s in HELD_OUT)
_IDS = tuple({value: i for i, value in enumerate(values)} for values in VALUES)

Look = tuple[int, int, int, int]


def code(look: Look) -> int:
    """The number of a look (shape, colour, size, texture)."""
    shape, colour, size, texture = look
    return ((shape * 8 + colour) * 2 + size) * 3 + texture


def numbered(thing: Object) -> Look:
    """The look of an object."""
    shapes, colours, sizes, textures = _IDS
    return shapes[thing.shape], colours[thing.colour], sizes[thing.size], textures[thing.texture]


def lone(attribute: int, value: int) -> int:
    """The number of a look of which only one attribute will be spoken of."""
    return value * (48, 6, 3, 1)[attribute]


def look_of(number: int) -> Look:
    """The look of a number."""
    rest, texture = divmod(number, 3)
    rest, size = divmod(rest, 2)
    return rest // 8, rest % 8, size, texture


# Sets of attributes that do not tell apart two objects equal in the given set: its subsets.
_SUBSETS = tuple(sum(1 << part for part in range(16) if part & ~same == 0) for same in range(16))
_ALL_SETS = 0xFFFF
# Sets that use none of the attributes in `avoid`.
_WITHOUT = tuple(sum(1 << part for part in range(16) if not part & avoid) for avoid in range(16))


def _choices(sets: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The smallest of some sets of attributes, and those with one attribute more."""
    parts = sorted((p for p in range(16) if sets >> p & 1), key=int.bit_count)
    least = parts[0].bit_count() if parts else 0
    return (
        tuple(p for p in parts if p.bit_count() == least),
        tuple(p for p in parts if p.bit_count() == least + 1),
    )


_CHOICES: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}


class View:
    """One scene, measured once for all of its questions.

    `looks[i]` are the four value indices of object i, `codes[i]` its number, `unique[i]` the sets
    of attributes that pick it out (a bit a set), `counts[a][v]` how many have value v of a.
    """

    __slots__ = ("scene", "num", "looks", "codes", "unique", "counts", "places", "_sides", "_front")

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        things = scene.objects
        num = self.num = len(things)
        looks = self.looks = [numbered(thing) for thing in things]
        self.codes = [((s * 8 + c) * 2 + z) * 3 + t for s, c, z, t in looks]
        self.places = [o.y * 3 // SPAN * 3 + o.x * 3 // SPAN for o in things]
        counts = self.counts = [[0] * 8, [0] * 8, [0] * 2, [0] * 3]
        unique = self.unique = [_ALL_SETS] * num
        for i, (s, c, z, t) in enumerate(looks):
            counts[0][s] += 1
            counts[1][c] += 1
            counts[2][z] += 1
            counts[3][t] += 1
            for j in range(i):
                s2, c2, z2, t2 = looks[j]
                tells = ~_SUBSETS[(s == s2) + (c == c2) * 2 + (z == z2) * 4 + (t == t2) * 8]
                unique[i] &= tells
                unique[j] &= tells
        self._sides: list[list[tuple[int, ...]]] | None = None
        self._front: list[tuple[int, int]] | None = None

    def describe(self, i: int, rng: Random, *, avoid: int = 0, more: float = 0.2) -> int:
        """A set of attributes that picks out object i without `avoid`, or -1.

        The fewest that do, and with chance `more` one more than needed.
        """
        sets = self.unique[i] & _WITHOUT[avoid]
        found = _CHOICES.get(sets)
        if found is None:
            found = _CHOICES[sets] = _choices(sets)
        least, longer = found
        if not least:
            return -1
        if longer and rng.random() < more:
            least = longer
        return least[int(rng.random() * len(least))]

    def describable(self, avoid: int = 0) -> list[int]:
        """The objects that some set of attributes without `avoid` picks out."""
        allowed = _WITHOUT[avoid]
        return [i for i, sets in enumerate(self.unique) if sets & allowed]

    def present(self, attribute: int) -> list[int]:
        """The values of an attribute that some object has."""
        return [v for v, count in enumerate(self.counts[attribute]) if count]

    def sides(self) -> list[list[tuple[int, ...]]]:
        """For each object its relation to each other one, on both axes, as (x, y).

        LEFT or RIGHT and ABOVE or BELOW: where the other lies from here; -1 where it is not clear.
        """
        if self._sides is None:
            things = self.scene.objects
            self._sides = [
                [(_side(b.x - a.x, LEFT, RIGHT), _side(b.y - a.y, ABOVE, BELOW)) for b in things]
                for a in things
            ]
        return self._sides

    def fronts(self) -> list[tuple[int, int]]:
        """Pairs (front, behind) whose order anybody can see."""
        if self._front is None:
            things = self.scene.objects
            self._front = [
                (j, i) for j in range(1, self.num) for i in range(j) if covers(things[i], things[j])
            ]
        return self._front

    def matching(self, attributes: int, look: Look) -> list[int]:
        """The objects that agree with a look in a set of attributes."""
        return [i for i, other in enumerate(self.looks) if agree(attributes, look, other)]


def covers(back: Object, front: Object) -> bool:
    """Whether one object, drawn later, hides enough of another that anybody can see which."""
    return back.colour != front.colour and overlap(back, front) >= COVERS


def _side(gap: int, less: int, more: int) -> int:
    return more if gap >= CLEAR else less if gap <= -CLEAR else -1


def agree(attributes: int, a: Look, b: Look) -> bool:
    """Whether two looks are equal in a set of attributes."""
    return (
        (not attributes & 1 or a[0] == b[0])
        and (not attributes & 2 or a[1] == b[1])
        and (not attributes & 4 or a[2] == b[2])
        and (not attributes & 8 or a[3] == b[3])
    )
