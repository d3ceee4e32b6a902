"""Statements: sentences that are true or false of all boxes of a picture (NLVR, Suhr et al., 2017).

Each is true of one of two pictures and false of the other, as NLVR's were gathered: which of them
it is asked of is a coin, so that nothing can be told from the sentence alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple, TypeVar

from seesay.records import Example, Origin, Turn
from seesay.scenes.panels import RGB, TALLEST, Item, Panels, drawn_by, panels, picture
from seesay.scenes.questions import chosen
from seesay.scenes.world import World

COLOURS = tuple(RGB)
_SHAPES = ("circle", "square", "triangle")
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_AN = re.compile(r"\b([Aa]) (item|object)")
_TRIES = 40
TRUTH, WHAT = ("false", "true"), "what is in the boxes?"
T = TypeVar("T")
Holds = Callable[[Item], bool]
Box = tuple[Item, ...]


class Said(NamedTuple):
    """A sentence, of which pictures it is true, and which things it is about, if that is known."""

    text: str
    test: Callable[[Panels], bool]
    about: Holds | None = None


class Count(NamedTuple):
    """So many of something: in words, whether a number is so many, and whether they are several."""

    words: str
    test: Callable[[int], bool]
    many: bool


def judged(
    world: World,
    index: int,
    *,
    boxes: int = 3,
    statements: int = 4,
    captions: int = 0,
    kinds: Mapping[str, float] | None = None,
    height: int = 64,
) -> list[Example]:
    """One picture of boxes, as high as that in pixels: what is in it, and statements that are true
    or false.

    All examples hold the same picture; asked for nothing, one holds it alone. `kinds` weighs what
    is stated; a picture of which it cannot be has fewer statements, perhaps none.
    """
    made, rng = panels(world, index, boxes=boxes), world.rng(index, "statements")
    image = (picture(made, height),)
    origin = Origin(f"scenes:panels:{world.split}:{world.seed}", index)
    whole = Example(image, (), origin, "caption", group=str(origin), scene=made)
    if not statements and not captions:
        return [whole]
    tried = (statement(made, rng, kinds=kinds) for _ in range(statements))
    return [
        *(replace(whole, turns=turns(WHAT, listed(made))) for _ in range(captions)),
        *(
            replace(whole, task="vqa", turns=turns(text, str(truth).lower()), options=TRUTH,
                    labels={"kind": kind, "boxes": "towers" if made.towers else "strewn"},
                    objects=about)
            for kind, text, truth, about in filter(None, tried)
        ),
    ]  # fmt: skip


def turns(asked: str, answer: str) -> tuple[Turn, Turn]:
    """A question and its answer."""
    return Turn("user", asked), Turn("assistant", answer)


def listed(panels: Panels) -> str:
    """All there is, box by box: a tower from its base, other things from the top and the left."""
    if panels.towers:
        boxes = ([item.colour for item in box] for box in panels.boxes)
        return "; ".join("tower of " + ", ".join(colours) for colours in boxes)
    ordered = (sorted(box, key=lambda item: (item.y, item.x)) for box in panels.boxes)
    return "; ".join(
        ", ".join(f"{item.size} {item.colour} {item.shape}" for item in box) for box in ordered
    )


def statement(
    panels: Panels, rng: Random, *, kinds: Mapping[str, float] | None = None
) -> tuple[str, str, bool, tuple[int, ...]] | None:
    """The kind of a sentence about a picture, itself, its truth, and which things of the picture it
    is about; None where none was found.

    It is true of the picture and false of another like it, or the other way. `kinds` weighs the
    forms of it; None: as people have said.
    """
    names, sums = chosen(USUAL if kinds is None else kinds, FORMS)
    forms = _OF_TOWERS if panels.towers else _OF_THINGS
    weights = [b - a if name in forms else 0.0
               for name, a, b in zip(names, (0.0, *sums), sums, strict=False)]  # fmt: skip
    if not any(weights):
        return None
    # One other picture only: of those that differ from it, a picture has too many.
    other = drawn_by(rng, boxes=len(panels.boxes), towers=panels.towers)
    truth, speaker = rng.random() < 0.5, Speaker(rng)
    for name in rng.choices(names, weights, k=_TRIES):
        said = forms[name](speaker)
        if said.test(panels) is truth and said.test(other) is not truth:
            holds, items = said.about, panels.items
            about = tuple(i for i, item in enumerate(items) if holds and holds(item))
            return name, speaker.written(said.text), truth, about
    return None


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
            over, up = self.pick(_OVER)
            a, b = (upper, lower) if up else (lower, upper)
            pair = (a, b)
            return f"a {upper} block {over} a {lower} block", lambda box: pair in _above(box)
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


_OVER = (("over", True), ("above", True), ("on top of", True), ("below", False), ("under", False))


def _above(box: Box) -> set[tuple[str, str]]:
    """The colours of blocks of a tower, each with that of one anywhere below it."""
    return {(a.colour, b.colour) for i, b in enumerate(box) for a in box[i + 1 :]}


def _exist(speak: Speaker) -> Said:
    """There is a blue square."""
    words, holds = speak.thing(False, where=0.2)
    return Said(f"There is a {words}", lambda p: any(map(holds, p.items)), holds)


def _counted(speak: Speaker) -> Said:
    """There are exactly two yellow squares."""
    count = speak.count(6)
    words, holds = speak.thing(count.many)
    return Said(speak.there(count, words), lambda p: count.test(sum(map(holds, p.items))), holds)


def _boxed(speak: Speaker) -> Said:
    """There is a box with two blue items and a circle."""
    count, (words, holds) = speak.count(3), speak.things()
    noun = speak.pick(("box", "box", "grey box", "grey square"))
    nouns = (noun + ("es" if noun.endswith("x") else "s")) if count.many else noun
    text = speak.there(count, f"{nouns} with {words}")
    return Said(text, lambda p: count.test(sum(map(holds, p.boxes))))


def _without(speak: Speaker) -> Said:
    """There is a box without a blue item."""
    words, holds = speak.thing(False, where=0.15)
    return Said(
        f"There is a box without a {words}",
        lambda p: any(not any(map(holds, box)) for box in p.boxes),
        holds,
    )


def _every(speak: Speaker) -> Said:
    """All boxes contain a black item."""
    words, holds = speak.things()
    begin = speak.pick(("All boxes contain", "Each box contains", "All the boxes have",
                        "Each grey square has"))  # fmt: skip
    return Said(f"{begin} {words}", lambda p: all(map(holds, p.boxes)))


def _one_look(speak: Speaker) -> Said:
    """There is a box with items of only one colour."""
    what = speak.pick(("colour", "shape", "color"))
    number = speak.pick((1, 1, 2, 3))
    name = "shape" if what == "shape" else "colour"
    said = "the same" if number == 1 else f"{speak.number(number)} different"
    words = f"There is a box with items of {said} {what}{'s' if number > 1 else ''}"
    return Said(
        words, lambda p: any(len({getattr(i, name) for i in box}) == number for box in p.boxes)
    )


def _stood(speak: Speaker) -> Said:
    """There is a black triangle on top of a blue square."""
    (above, up), (below, down) = speak.thing(False, where=0), speak.thing(False, where=0)
    top = speak.chance(0.5)
    said = "on top of" if top else "touching"

    def holds(panels: Panels) -> bool:
        pairs = [(a, b) for box in panels.boxes for a in box for b in box if a.on(b)]
        return any(up(a) and down(b) or (not top and up(b) and down(a)) for a, b in pairs)

    return Said(f"There is a {above} {said} a {below}", holds)


def _block(speak: Speaker) -> Said:
    """There is a yellow block."""
    holds = _of(colour := speak.pick(COLOURS))
    return Said(f"There is a {colour} block", lambda p: any(map(holds, p.items)), holds)


def _of(colour: str) -> Holds:
    return lambda item: item.colour == colour


def _blocks(speak: Speaker) -> Said:
    """There are 3 yellow blocks."""
    count, colour = speak.count(5), speak.pick(COLOURS)
    rest, holds = f"{colour} block{'s' if count.many else ''}", _of(colour)
    return Said(speak.there(count, rest), lambda p: count.test(sum(map(holds, p.items))), holds)


def _towers(speak: Speaker) -> Said:
    """There are two towers with a black block at the base."""
    count, (words, holds) = speak.count(3), speak.tower()
    noun = speak.pick(("tower", "tower", "tower", "box"))
    nouns = (noun + ("es" if noun.endswith("x") else "s")) if count.many else noun
    begin = speak.there(count, nouns)
    if count.words == "a" and speak.chance(0.3):
        begin = speak.pick(("There is at least one tower", "There is one tower"))
        count = count if "least" in begin else Count("", lambda n: n == 1, False)
    joined = speak.pick(("with", "with", "which has" if not count.many else "which have"))
    return Said(f"{begin} {joined} {words}", lambda p: count.test(sum(map(holds, p.boxes))))


def _end_of(speak: Speaker) -> Said:
    """There is a blue block as the top of a tower with three blocks."""
    (ended, end), (tall, height) = speak.ended(), speak.tall()
    text = f"There is {ended} of a tower with {tall}"
    return Said(text, lambda p: any(end(box) and height(box) for box in p.boxes))


def _over(speak: Speaker) -> Said:
    """There is a yellow block above a black block."""
    upper, lower = speak.pick(COLOURS), speak.pick(COLOURS)
    said, up = speak.pick(_OVER)
    pair = (upper, lower) if up else (lower, upper)
    count = speak.pick((Count("a", lambda n: n >= 1, False), Count("no", lambda n: n == 0, False)))
    text = speak.there(count, f"{upper} block {said} a {lower} block")
    return Said(text, lambda p: count.test(sum(pair in _above(box) for box in p.boxes)))


def _the(speak: Speaker) -> Said:
    """The tower with three blocks has a yellow block at the base."""
    (ended, end), number = speak.ended(), 1 + int(speak.rng.random() * TALLEST)
    words = f"exactly {speak.number(number)}" if speak.chance(0.3) else speak.number(number)

    def holds(panels: Panels) -> bool:
        meant = [box for box in panels.boxes if len(box) == number]
        return bool(meant) and all(map(end, meant))

    return Said(f"The tower with {words} block{'s' if number > 1 else ''} has {ended}", holds)


def _alike(speak: Speaker) -> Said:
    """There are two towers with the same height."""
    number, (words, key) = speak.pick((2, 3)), speak.pick(_ALIKE)
    some = f"at least {speak.number(2)}" if number == 2 and speak.chance(0.5) else None

    def holds(panels: Panels) -> bool:
        values = [key(box) for box in panels.boxes]
        most = max(map(values.count, values))
        return most >= number if some else most == number

    return Said(f"There are {some or speak.number(number)} towers with the same {words}", holds)


Form = Callable[[Speaker], Said]
_ALIKE: tuple[tuple[str, Callable[[Box], object]], ...] = (
    ("height", len),
    ("number of blocks", len),
    ("base", lambda box: box[0].colour),
    ("color at the base", lambda box: box[0].colour),
    ("color at the top", lambda box: box[-1].colour),
)
# What is said of things strewn about, of towers, and how often where nothing else is wanted.
_OF_THINGS: dict[str, Form] = {
    "exist": _exist,
    "counted": _counted,
    "boxed": _boxed,
    "without": _without,
    "every": _every,
    "one_look": _one_look,
    "stood": _stood,
}
_OF_TOWERS: dict[str, Form] = {
    "exist": _block,
    "counted": _blocks,
    "boxed": _towers,
    "ended": _end_of,
    "over": _over,
    "the": _the,
    "alike": _alike,
}
FORMS = _OF_THINGS | _OF_TOWERS
USUAL = {"exist": 1.0, "counted": 3.0, "boxed": 4.0, "without": 1.0, "every": 0.7, "one_look": 0.3,
         "stood": 0.7, "ended": 1.0, "over": 1.0, "the": 1.0, "alike": 1.0}  # fmt: skip
