"""Forms: the kinds of sentences about boxes, and of which pictures each is true."""

from collections.abc import Callable
from typing import NamedTuple

from seesay.scenes.panels import TALLEST, Panels
from seesay.scenes.speaker import COLOURS, OVER, Box, Count, Holds, Speaker, above


class Said(NamedTuple):
    """A sentence, of which pictures it is true, and which things it is about, if that is known."""

    text: str
    test: Callable[[Panels], bool]
    about: Holds | None = None


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
    said, up = speak.pick(OVER)
    pair = (upper, lower) if up else (lower, upper)
    count = speak.pick((Count("a", lambda n: n >= 1, False), Count("no", lambda n: n == 0, False)))
    text = speak.there(count, f"{upper} block {said} a {lower} block")
    return Said(text, lambda p: count.test(sum(pair in above(box) for box in p.boxes)))


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
OF_THINGS: dict[str, Form] = {
    "exist": _exist,
    "counted": _counted,
    "boxed": _boxed,
    "without": _without,
    "every": _every,
    "one_look": _one_look,
    "stood": _stood,
}
OF_TOWERS: dict[str, Form] = {
    "exist": _block,
    "counted": _blocks,
    "boxed": _towers,
    "ended": _end_of,
    "over": _over,
    "the": _the,
    "alike": _alike,
}
FORMS = OF_THINGS | OF_TOWERS
USUAL = {"exist": 1.0, "counted": 3.0, "boxed": 4.0, "without": 1.0, "every": 0.7, "one_look": 0.3,
         "stood": 0.7, "ended": 1.0, "over": 1.0, "the": 1.0, "alike": 1.0}  # fmt: skip
