"""Speaker: counts, things, places and towers in words at random, each with a test of its truth."""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, TypeVar

from seesay.scenes.panels import RGB, TALLEST, Item

COLOURS = tuple(RGB)
OVER = (("over", True), ("above", True), ("on top of", True), ("below", False), ("under", False))
_SHAPES = ("circle", "square", "triangle")
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_AN = re.compile(r"\b([Aa]) (item|object)")
T = TypeVar("T")
Holds = Callable[[Item], bool]
Box = tuple[Item, ...]


class Count(NamedTuple):
    """So many of something: in words, whether a number is so many, and whether they are several."""

    words: str
    test: Callable[[int], bool]
    many: bool


class Speaker:
    """Sentences at random, of one generator."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def pick(self, several: Sequence[T]) -> T:
        """One of several."""
        return several[int(self.rng.random() * len(several))]

    def chance(self, share: float) -> bool:
        """Whether something happens that does so often."""
        return self.rng.random() < share

    def written(self, text: str) -> str:
        """A sentence as people write it: with an "an" where it belongs, with or without a stop."""
        text = _AN.sub(r"\1n \2", text)
        text = text[0].lower() + text[1:] if self.chance(0.4) else text
        return text + "." if self.chance(0.4) else text

    def number(self, count: int) -> str:
        """A number, in letters or digits."""
        return str(count) if self.chance(0.4) else _WORDS[count]

    def count(self, most: int) -> Count:
        """So many, from none to `most`."""
        how, count = self.rng.random(), 1 + int(self.rng.random() * most)
        said, many = self.number(count), count > 1
        if how < 0.25:
            return Count(f"exactly {said}", lambda n: n == count, many)
        if how < 0.45:
            return Count(f"at least {said}", lambda n: n >= count, many)
        if how < 0.55:
            return Count(f"only {said}", lambda n: n == count, many)
        if how < 0.75:
            return Count(said, lambda n: n == count, many)
        if how < 0.95:
            return Count("a", lambda n: n >= 1, False)
        return Count("no", lambda n: n == 0, self.chance(0.5))

    def there(self, count: Count, rest: str) -> str:
        """There is, or are, so many."""
        return f"There {'are' if count.many else 'is'} {count.words} {rest}"

    def thing(self, many: bool, *, where: float = 0.35) -> tuple[str, Holds]:
        """What a thing is: its colour, its shape, and what it touches."""
        colour = self.pick(COLOURS) if self.chance(0.75) else None
        shape = self.pick(_SHAPES) if self.chance(0.5) else None
        noun = shape or self.pick(("item", "item", "object", "thing"))
        words = f"{colour + ' ' if colour else ''}{noun}{'s' if many else ''}"
        touches, place = self.place() if self.chance(where) else (None, "")

        def holds(item: Item) -> bool:
            return (
                (colour is None or item.colour == colour)
                and (shape is None or item.shape == shape)
                and (touches is None or touches(item))
            )

        return words + place, holds

    def place(self) -> tuple[Holds, str]:
        """What a thing touches."""
        close, box = self.pick((" ", " ", " closely ")), self.pick(("", "", " of a box"))
        which = self.rng.random()
        if which < 0.4:
            wall = self.pick(("the wall", "the edge", "the side", "a wall"))
            return (lambda item: any(item.walls)), f"{close}touching {wall}"
        if which < 0.6:
            wall = self.pick(("edge", "wall", "side"))
            return (lambda item: not any(item.walls)), f" not touching the {wall}"
        if which < 0.8:
            wall = self.pick(("bottom", "base"))
            return (lambda item: item.walls[3]), f"{close}touching the {wall}{box}"
        if which < 0.9:
            return (lambda item: item.walls[1]), f"{close}touching the top{box}"
        corner = self.pick(("a corner", "the corner"))
        return (
            lambda item: sum(item.walls[::2]) + sum(item.walls[1::2]) > 1,
            f"{close}touching {corner}{box}",
        )

    def things(self) -> tuple[str, Callable[[Box], bool]]:
        """What a box holds: one to three kinds of things, so many of each."""
        parts = [self.some() for _ in range(self.pick((1, 1, 1, 2, 2, 3)))]
        words = [words for words, _ in parts]
        tests = [test for _, test in parts]
        text = " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]
        return text, lambda box: all(test(box) for test in tests)

    def some(self) -> tuple[str, Callable[[Box], bool]]:
        """So many things of a kind."""
        count = self.count(4)
        words, holds = self.thing(count.many, where=0.2)
        return f"{count.words} {words}", lambda box: count.test(sum(map(holds, box)))

    def tower(self) -> tuple[str, Callable[[Box], bool]]:
        """What a tower is like, after "with"."""
        which = self.rng.random()
        if which < 0.3:
            return self.ended()
        if which < 0.5:
            return self.tall()
        if which < 0.65:
            upper, lower = self.pick(COLOURS), self.pick(COLOURS)
            over, up = self.pick(OVER)
            a, b = (upper, lower) if up else (lower, upper)
            pair = (a, b)
            return f"a {upper} block {over} a {lower} block", lambda box: pair in above(box)
        if which < 0.85:
            count, colour = self.count(3), self.pick(COLOURS)
            words = f"{count.words} {colour} block{'s' if count.many else ''}"
            return words, lambda box: count.test(sum(i.colour == colour for i in box))
        (first, one), (second, two) = self.tall(), self.ended()
        return f"{first} and {second}", lambda box: one(box) and two(box)

    def ended(self) -> tuple[str, Callable[[Box], bool]]:
        """The colour of a tower's top, or of its base."""
        colour, top = self.pick(COLOURS), self.chance(0.5)
        at = self.pick(("at the", "as the")) + (" top" if top else " base")
        return f"a {colour} block {at}", lambda box: box[-1 if top else 0].colour == colour

    def tall(self) -> tuple[str, Callable[[Box], bool]]:
        """How many blocks a tower has."""
        count = self.count(TALLEST)
        while count.words in ("a", "no"):
            count = self.count(TALLEST)
        words = f"{count.words} block{'s' if count.many else ''}"
        return words, lambda box: count.test(len(box))


def above(box: Box) -> set[tuple[str, str]]:
    """The colours of blocks of a tower, each with that of one anywhere below it."""
    return {(a.colour, b.colour) for i, b in enumerate(box) for a in box[i + 1 :]}
