"""Looking: questions on what is there: exist, count, attributes, where, refer, box, statement."""

from seesay.scenes import thinking
from seesay.scenes.asking import Asker, Question
from seesay.scenes.chained import chained_noun
from seesay.scenes.reasoning import related
from seesay.scenes.view import COLOUR, SHAPE, code, lone

# Sets of attributes (shape 1, colour 2, size 4, texture 8) whose absence every scene can show.
_EXIST = (1, 2, 3, 3, 3, 5, 6, 9, 10, 7, 11)
_COUNT_ONE = ((0, 3), (1, 3), (2, 4), (3, 4))  # attribute, most
_COUNT_MORE = (3, 3, 5, 6, 9, 10)
_MOST_MORE = 2


def exist(ask: Asker) -> Question | None:
    """Is there a red circle?"""
    attributes = 3 if ask.focus else ask.pick(_EXIST)
    truth = ask.coin()
    number = _mentioned(ask, attributes, truth)
    if number < 0:
        return None
    text = ask.say("exist", ask.tongue.a[attributes][number])
    found = thinking.sorted_out(ask, attributes, number)
    return ask.yes_no("exist", f"exist {attributes}", text, truth, reasoning=found)


def _mentioned(ask: Asker, attributes: int, truth: bool) -> int:
    """The number of a look that is there, or of one that is not; -1 where there is none."""
    if truth:
        return ask.view.codes[ask.pick_object(range(ask.view.num))]
    look = ask.absent(attributes)
    return code(look) if look else -1


def count(ask: Asker) -> Question | None:
    """How many red things are there?"""
    which = ask.below(10)
    if ask.focus or which > 6:
        return _count_more(ask)
    if which == 6:
        return _count_all(ask)
    attribute, most = _COUNT_ONE[min(which, 3) if which < 4 else which - 4]
    return _count_one(ask, attribute, most)


def _count_one(ask: Asker, attribute: int, most: int) -> Question | None:
    counts = ask.view.counts[attribute]
    form = f"count {1 << attribute}"
    numbers = sorted({c for c in counts if c <= most})
    number = ask.choose_count(form, numbers) if numbers else None
    if number is None:
        return None
    value = ask.pick([v for v, c in enumerate(counts) if c == number])
    text = ask.say("count", ask.tongue.many[1 << attribute][lone(attribute, value)])
    return ask.number("count", form, text, number, most)


def _count_all(ask: Asker) -> Question | None:
    if ask.choose_count("count 0", (ask.view.num,)) is None:
        return None
    text = ask.say("count", ask.tongue.many[0][0])
    numbers = ask.tongue.numbers
    return Question("count", "count 0", text, numbers[ask.view.num], numbers[1:])


def _count_more(ask: Asker) -> Question | None:
    """How many red circles: two attributes at once."""
    view = ask.view
    attributes = 3 if ask.focus else ask.pick(_COUNT_MORE)
    sizes = [len(view.matching(attributes, look)) for look in view.looks]
    form = f"count {attributes}"
    number = ask.choose_count(form, sorted({0, *(c for c in sizes if c <= _MOST_MORE)}))
    if number is None:
        return None
    if number:
        which = view.codes[ask.pick_object([i for i, c in enumerate(sizes) if c == number])]
    else:
        which = _mentioned(ask, attributes, False)
    if which < 0:
        return None
    text = ask.say("count", ask.tongue.many[attributes][which])
    found = thinking.sorted_out(ask, attributes, which)
    return ask.number("count", form, text, number, _MOST_MORE, found)


def attribute_kind(attribute: int, kind: str):
    """The kind that asks for one attribute: what colour is the circle?"""

    def query(ask: Asker) -> Question | None:
        view, tongue = ask.view, ask.tongue
        if ask.draw() < 0.15:
            alone = [i for i, place in enumerate(view.places) if view.places.count(place) == 1]
            if not alone:
                return None
            i = ask.pick_object(alone)
            key, slot = "query_place", tongue.at[view.places[i]]
        else:
            objects = view.describable(1 << attribute)
            if not objects:
                return None
            i = ask.pick_object(objects)
            key, slot = "query", ask.the(i, avoid=1 << attribute)
        text = ask.say(key, slot, tongue.attributes[attribute])
        words = tongue.values[attribute]
        return Question(kind, key, text, words[view.looks[i][attribute]], words, (i,))

    return query


def where(ask: Asker) -> Question | None:
    """Where is the red circle?"""
    objects = ask.view.describable()
    if not objects:
        return None
    i = ask.pick_object(objects)
    places = ask.tongue.places
    text = ask.say("where", ask.the(i))
    return Question("where", "where", text, places[ask.view.places[i]], places, (i,))


def refer(ask: Asker) -> Question | None:
    """Find the small red circle: the answer is its place, the example's box is its box."""
    objects = ask.view.describable()
    if not objects:
        return None
    i = ask.pick_object(objects)
    phrase = chained_noun(ask, i) if ask.draw() < 0.25 else ""
    phrase = phrase or ask.the(i, more=0.6)
    places = ask.tongue.places
    text = ask.say("refer", phrase)
    return Question("refer", "refer", text, places[ask.view.places[i]], places, (i,))


def ground(ask: Asker) -> Question | None:
    """Box the small red circle: the answer is its box, which is known where it is drawn."""
    objects = ask.view.describable()
    if not objects:
        return None
    i = ask.pick_object(objects)
    phrase = chained_noun(ask, i) if ask.draw() < 0.25 else ""
    text = ask.say("ground", phrase or ask.the(i, more=0.6))
    return Question("ground", "ground", text, "", (), (i,))


def statement(ask: Asker) -> Question | None:
    """True or false: the red circle is left of the star?"""
    truth = ask.coin()
    form = ask.pick(tuple(_STATEMENTS))
    found = _STATEMENTS[form](ask, truth)
    if found is None:
        return None
    said, thought = found
    words = ask.tongue.true_false
    text = ask.say("statement", said)
    answer = words[0] if truth else words[1]
    return Question("statement", f"statement {form}", text, answer, words, (), thought)


# A statement, and what it takes to judge it.
Stated = tuple[str, str]


def _state_exist(ask: Asker, truth: bool) -> Stated | None:
    attributes = 3 if ask.focus else ask.pick(_EXIST)
    number = _mentioned(ask, attributes, truth)
    if number < 0:
        return None
    text = ask.say("state_exist", ask.tongue.a[attributes][number])
    return text, thinking.sorted_out(ask, attributes, number)


def _state_is(ask: Asker, truth: bool) -> Stated | None:
    view, tongue = ask.view, ask.tongue
    attribute = ask.below(4)
    objects = view.describable(1 << attribute)
    if not objects:
        return None
    i = ask.pick_object(objects)
    look = view.looks[i]
    value = look[attribute] if truth else _other_value(ask, attribute, look)
    subject = ask.the(i, avoid=1 << attribute)
    text = ask.say("state_is", subject, tongue.singular[attribute][value])
    return text, thinking.values(ask, attribute, i)


def _other_value(ask: Asker, attribute: int, look: tuple[int, ...]) -> int:
    """A value the look does not have, nor one that would make a held-out pair."""
    wrong = look[attribute]
    if attribute > 1:
        number = (2, 3)[attribute - 2]
        return (wrong + 1 + ask.below(number - 1)) % number
    while True:
        value = (wrong + 1 + ask.below(7)) % 8
        pair = (value, look[COLOUR]) if attribute == SHAPE else (look[SHAPE], value)
        if ask.may_name(*pair):
            return value


def _state_at(ask: Asker, truth: bool) -> Stated | None:
    objects = ask.view.describable()
    if not objects:
        return None
    i = ask.pick_object(objects)
    place = ask.view.places[i]
    if not truth:
        place = (place + 1 + ask.below(8)) % 9
    return ask.say("state_at", ask.the(i), ask.tongue.at[place]), thinking.place(ask, i)


def _state_relation(ask: Asker, truth: bool) -> Stated | None:
    found = related(ask, truth)
    if found is None:
        return None
    return ask.say("state_relation", found.first, found.said, found.second), found.holds


def _state_count(ask: Asker, truth: bool) -> Stated | None:
    """The number is drawn before the things, from those this scene can confirm and deny."""
    attribute = ask.pick((0, 1, 3))
    counts = ask.view.counts[attribute]
    numbers = sorted({c for c in counts if c})
    if len(numbers) == 1 and not truth and counts.count(0) == 0:
        return None
    number = ask.pick(numbers)
    if truth:
        values = [v for v, c in enumerate(counts) if c == number]
    else:
        values = [v for v, c in enumerate(counts) if c and c != number]
        values = values or [v for v, c in enumerate(counts) if not c]
    value = ask.pick(values)
    look, counted = lone(attribute, value), thinking.numbers(ask, (counts[value],))
    if number == 1:
        return ask.say("state_one", ask.tongue.one[1 << attribute][look]), counted
    many = ask.tongue.many[1 << attribute][look]
    return ask.say("state_count", many, ask.tongue.counted[number]), counted


_STATEMENTS = {
    "exist": _state_exist,
    "is": _state_is,
    "at": _state_at,
    "relation": _state_relation,
    "count": _state_count,
}
