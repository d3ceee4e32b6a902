"""A reader of its own for statements about boxes: from the words alone to whether they are true."""

import re
from collections.abc import Callable, Sequence

from seesay.scenes.panels import Item, Panels

WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
COUNT = r"(?:(exactly|at least|only) )?(\d|no|an?|one|two|three|four|five|six|seven|eight)"
COLOUR = r"(?:(yellow|black|blue) )?"
THING = (COLOUR + r"(circle|square|triangle|item|object|thing|block)s?"
         r"(?: (not )?(?:closely )?touching (?:the|a) (wall|edge|side|bottom|base|top|corner)"
         r"(?: of a box)?)?")  # fmt: skip
Box = Sequence[Item]


def count(how: str | None, number: str) -> Callable[[int], bool]:
    if number in ("a", "an"):
        return lambda n: n > 0
    wanted = int(number) if number.isdigit() else WORDS.index(number)
    return (lambda n: n >= wanted) if how == "at least" else (lambda n: n == wanted)


def thing(colour: str | None, noun: str, no: str | None, touched: str | None):
    def holds(item: Item) -> bool:
        left, top = item.x, item.y
        right, bottom = left + item.length, top + item.length
        walls = {"left": left == 0, "right": right == 100, "top": top == 0, "bottom": bottom == 100}
        found = {
            None: True,
            **dict.fromkeys(("wall", "edge", "side"), any(walls.values())),
            **dict.fromkeys(("bottom", "base"), walls["bottom"]),
            "top": walls["top"],
            "corner": (walls["left"] or walls["right"]) and (walls["top"] or walls["bottom"]),
        }[touched]
        shaped = noun in ("item", "object", "thing", "block") or item.shape == noun
        return shaped and item.colour in (colour or item.colour) and found != bool(no)

    return holds


def listed(text: str) -> Callable[[Box], bool]:
    """A box with …: kinds of things, so many of each."""
    tests = []
    for part in re.split(r", | and ", text):
        found = re.fullmatch(f"{COUNT} {THING}", part)
        assert found, part
        tests.append((count(*found.groups()[:2]), thing(*found.groups()[2:])))
    return lambda box: all(test(sum(map(holds, box))) for test, holds in tests)


def built(text: str) -> Callable[[Box], bool]:
    """A tower with …"""
    if found := re.fullmatch(r"(.*) and (an? \w+ block (?:at|as) the \w+)", text):
        first, second = built(found[1]), built(found[2])
        return lambda box: first(box) and second(box)
    if found := re.fullmatch(r"an? (\w+) block (?:at|as) the (top|base)", text):
        return lambda box: ends(box)[found[2]] == found[1]
    if found := re.fullmatch(COUNT + r" blocks?", text):
        return lambda box: count(*found.groups())(len(box))
    if found := re.fullmatch(r"an? (\w+) block (.*) an? (\w+) block", text):
        return lambda box: stacked(box, *found.groups())
    return listed(text)


def ends(box: Box) -> dict[str, str]:
    ordered = sorted(box, key=lambda item: item.y)
    return {"top": ordered[0].colour, "base": ordered[-1].colour}


def stacked(box: Box, one: str, where: str, other: str) -> bool:
    if where in ("below", "under"):
        one, other = other, one
    return any(a.colour == one and b.colour == other and a.y < b.y for a in box for b in box)


def stands(above: Item, below: Item) -> bool:
    middle = above.x + above.length / 2 == below.x + below.length / 2
    return middle and above.y + above.length == below.y


def is_true(text: str, panels: Panels) -> bool:
    """Whether it is true of a picture.

    Raises:
        AssertionError: it cannot be read.
    """
    text, boxes = text.lower().rstrip("."), panels.boxes
    every = [item for box in boxes for item in box]
    read = built if panels.towers else listed

    def match(pattern: str) -> re.Match | None:
        return re.fullmatch(pattern, text)

    if found := match(r"there is a box with items of (the same|(\w+) different) (shape|colou?r)s?"):
        number = "1" if found[1] == "the same" else found[2]
        name = "shape" if found[3] == "shape" else "colour"
        return any(count(None, number)(len({getattr(i, name) for i in box})) for box in boxes)
    if found := match(r"there are (?:(at least) )?(\w+) towers with the same (.*)"):
        key = {"height": len, "number of blocks": len, "base": lambda b: ends(b)["base"],
               "color at the base": lambda b: ends(b)["base"],
               "color at the top": lambda b: ends(b)["top"]}[found[3]]  # fmt: skip
        values = [key(box) for box in boxes]
        return count(found[1], found[2])(max(values.count(v) for v in values))
    if found := match(r"the tower with (?:exactly )?(\w+) blocks? has (.*)"):
        meant = [box for box in boxes if count(None, found[1])(len(box))]
        return bool(meant) and all(built(found[2])(box) for box in meant)
    if found := match(r"there is (a \w+ block (?:at|as) the \w+) of a tower with (.*)"):
        return any(built(found[1])(box) and built(found[2])(box) for box in boxes)
    if panels.towers and (found := match(r"there is (a|no) (\w+) block (.*) a (\w+) block")):
        if "tower" not in text:
            return count(None, found[1])(sum(stacked(box, *found.groups()[1:]) for box in boxes))
    if found := match(rf"there is an? {THING} (on top of|touching) an? {THING}"):
        up, how, down = thing(*found.groups()[:4]), found[5], thing(*found.groups()[5:])
        pairs = [(a, b) for box in boxes for a in box for b in box if stands(a, b)]
        either = how == "touching"
        return any(up(a) and down(b) or (either and up(b) and down(a)) for a, b in pairs)
    if found := match(rf"there is a box without an? {THING}"):
        return any(not any(map(thing(*found.groups()), box)) for box in boxes)
    if found := match("(?:all boxes contain|each box contains|all the boxes have|"
                      "each grey square has) (.*)"):  # fmt: skip
        return all(map(listed(found[1]), boxes))
    if found := match(
        rf"there (?:is|are) {COUNT} (?:grey )?(?:box|boxes|squares?|towers?) "
        "(?:with|which has|which have) (.*)"
    ):
        return count(*found.groups()[:2])(sum(map(read(found[3]), boxes)))
    found = match(rf"there (?:is|are) {COUNT} {THING}")
    assert found, text
    return count(*found.groups()[:2])(sum(map(thing(*found.groups()[2:]), every)))
