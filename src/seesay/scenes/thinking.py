"""Thinking: what it takes to know before an answer, in a few words, for a model to say to itself.

Each step is one look at the picture: the colours of two things before whether they are the same.
"""

from collections.abc import Iterable, Sequence

from seesay.scenes.asking import Asker
from seesay.scenes.view import COLOUR, SHAPE, SIZE, TEXTURE, lone, look_of

# In the order phrases say them, but for what is looked for first: the shape, or else the colour.
_TOLD = (SIZE, TEXTURE, COLOUR)


def values(ask: Asker, attribute: int, *objects: int) -> str:
    """What each object is in an attribute: "red blue"."""
    words, looks = ask.tongue.values[attribute], ask.view.looks
    return " ".join(words[looks[i][attribute]] for i in objects)


def counted(ask: Asker, attribute: int, i: int) -> str:
    """How many things share an object's value of an attribute, itself included: "circles two"."""
    view = ask.view
    value = view.looks[i][attribute]
    things = ask.tongue.many[1 << attribute][lone(attribute, value)]
    return f"{things} {ask.tongue.numbers[view.counts[attribute][value]]}"


def numbers(ask: Asker, counts: Iterable[int]) -> str:
    """How many: "two one"."""
    return " ".join(ask.tongue.numbers[count] for count in counts)


def truths(ask: Asker, found: Iterable[bool]) -> str:
    """Whether there is each: "yes no"."""
    yes, no = ask.tongue.yes_no
    return " ".join(yes if one else no for one in found)


def place(ask: Asker, i: int) -> str:
    """Where an object lies: "top left"."""
    return ask.tongue.places[ask.view.places[i]]


def sorted_out(ask: Asker, attributes: int, number: int) -> str:
    """To find red circles: the colours of the circles, in reading order; "zero" for no circle.

    `attributes` and `number` are the set and the look that are looked for; of one attribute,
    nothing needs to be sorted out.
    """
    first = SHAPE if attributes & 1 << SHAPE else COLOUR
    rest = [a for a in _TOLD if attributes & 1 << a and a != first]
    if not rest or not attributes & 1 << first:
        return ""
    return listed(ask, (first, look_of(number)[first]), rest)


def listed(ask: Asker, value: tuple[int, int], attributes: Sequence[int]) -> str:
    """What those that have a value of an attribute are in others, in reading order: "red blue"."""
    view, (attribute, wanted) = ask.view, value
    if not view.counts[attribute][wanted]:
        return ask.tongue.numbers[0]
    found = [i for i in view.scene.reading_order() if view.looks[i][attribute] == wanted]
    words = ask.tongue.values
    return " ".join(words[a][view.looks[i][a]] for i in found for a in attributes)
