"""Chained: questions that go from thing to thing ("what colour is the thing left of the star").

A form is (asked, filtered by, relation). About a tenth of them never appears in training; they make
the split `questions` (as the held-out question types of SHAPES, arXiv:1511.02799, and its kin).
"""

from zlib import crc32

from seesay.scenes import thinking
from seesay.scenes.asking import Asker, Question
from seesay.scenes.view import ABOVE, ATTRIBUTES, lone

EXIST, COUNT = 4, 5
ASKED = (*ATTRIBUTES, "exist", "count")
FILTERS = (*ATTRIBUTES, "thing")
SPATIAL = ("left of", "right of", "above", "below")
NONE = 4  # no filter

Form = tuple[int, int, int]

FORMS: tuple[Form, ...] = tuple(
    (asked, by, relation)
    for asked in range(6)
    for by in range(5)
    for relation in range(4)
    if asked != by or asked >= EXIST
)


def form_name(form: Form) -> str:
    """A form in words, as it is hashed: "colour thing left of"."""
    return f"{ASKED[form[0]]} {FILTERS[form[1]]} {SPATIAL[form[2]]}"


HELD_OUT_FORMS = frozenset(f for f in FORMS if crc32(form_name(f).encode()) % 10 == 0)
_SEEN_FORMS = tuple(f for f in FORMS if f not in HELD_OUT_FORMS)
_KEPT_FORMS = tuple(f for f in FORMS if f in HELD_OUT_FORMS)
_MOST_ALL, _MOST_FILTERED = 4, 2

Anchors = list[tuple[int, list[int], list[int]]]


def chained(ask: Asker) -> Question | None:
    """One question of a random form that this split may ask."""
    if ask.view.num == 1 and not ask.held_out_forms:
        return None
    form = ask.pick(_KEPT_FORMS if ask.held_out_forms else _SEEN_FORMS)
    if form[0] == COUNT:
        return _count(ask, form)
    if form[0] == EXIST:
        return _exist(ask, form)
    return _query(ask, form)


def _anchors(ask: Asker, relation: int, *, avoid: int = 0) -> Anchors:
    """Objects to start from, in random order, each with those surely there and those in doubt."""
    sides, axis = ask.view.sides(), relation >= ABOVE
    found = []
    for j in ask.view.describable(avoid):
        there, doubtful = [], []
        for i, axes in enumerate(sides[j]):
            side = axes[axis]
            if side == relation:
                there.append(i)
            elif side < 0 and i != j:
                doubtful.append(i)
        found.append((j, there, doubtful))
    found.sort(key=lambda _: ask.draw())  # only random() is promised to stay the same
    return found


def _query(ask: Asker, form: Form) -> Question | None:
    """What colour is the circle left of the star?"""
    asked, by, relation = form
    avoid = 1 << asked if asked > 1 else 0
    view, tongue = ask.view, ask.tongue
    for j, there, doubtful in _anchors(ask, relation, avoid=avoid):
        targets = _single(ask, by, there, doubtful)
        if not targets:
            continue
        i = ask.pick_object(targets)
        noun = tongue.one[0][0] if by == NONE else tongue.one[1 << by][view.codes[i]]
        anchor = _anchor_words(ask, j, avoid=avoid, target=i)
        text = ask.say(
            "chain_query", noun, tongue.relations[relation], anchor, tongue.attributes[asked]
        )
        words = tongue.values[asked]
        answer = words[view.looks[i][asked]]
        start = thinking.place(ask, j)
        return Question("chained", form_name(form), text, answer, words, (i, j), start)
    return None


def _single(ask: Asker, by: int, there: list[int], doubtful: list[int]) -> list[int]:
    """Which of the objects `there` are the only ones of their value of attribute `by`."""
    if by == NONE:
        return there if len(there) == 1 and not doubtful else []
    looks = ask.view.looks
    values = [looks[i][by] for i in there]
    unsure = {looks[i][by] for i in doubtful}
    return [
        i for i, v in zip(there, values, strict=True) if values.count(v) == 1 and v not in unsure
    ]


def _anchor_words(ask: Asker, j: int, *, avoid: int, target: int) -> str:
    """Words for the anchor; sometimes a second hop: "the circle above the star"."""
    if not avoid and ask.draw() < 0.3:
        phrase = chained_noun(ask, j, without=target)
        if phrase:
            return phrase
    return ask.the(j, avoid=avoid)


def chained_noun(ask: Asker, i: int, *, without: int = -1) -> str:
    """Words that pick out object i by where it lies: "the circle above the star", or ""."""
    relation = ask.below(4)
    by = ask.below(3)
    by = NONE if by == 2 else by
    for j, there, doubtful in _anchors(ask, relation):
        if j == without or i not in there or i not in _single(ask, by, there, doubtful):
            continue
        tongue = ask.tongue
        noun = tongue.one[0][0] if by == NONE else tongue.one[1 << by][ask.view.codes[i]]
        return ask.say("chain_noun", noun, tongue.relations[relation], ask.the(j))
    return ""


def _count(ask: Asker, form: Form) -> Question | None:
    """How many red things are above the green cross?"""
    _, by, relation = form
    most = _MOST_ALL if by == NONE else _MOST_FILTERED
    found: dict[int, list[tuple[int, int]]] = {}
    for j, there, doubtful in _anchors(ask, relation):
        if by == NONE:
            if not doubtful and len(there) <= most:
                found.setdefault(len(there), []).append((j, 0))
            continue
        for value, number in _numbers(ask, by, there, doubtful):
            if number <= most:
                found.setdefault(number, []).append((j, value))
    if not found:
        return None
    number = ask.choose_count(f"chain_count {FILTERS[by]}", sorted(found))
    if number is None:
        return None
    j, value = ask.pick(found[number])
    tongue = ask.tongue
    things = tongue.many[0][0] if by == NONE else tongue.many[1 << by][lone(by, value)]
    text = ask.say("chain_count", things, tongue.relations[relation], ask.the(j))
    return ask.number("chained", form_name(form), text, number, most, thinking.place(ask, j))


def _numbers(ask: Asker, by: int, there: list[int], doubtful: list[int]) -> list[tuple[int, int]]:
    """For values of an attribute that the scene shows: how many of the objects `there` have it."""
    looks = ask.view.looks
    values = [looks[i][by] for i in there]
    unsure = {looks[i][by] for i in doubtful}
    return [(v, values.count(v)) for v in ask.view.present(by) if v not in unsure]


def _exist(ask: Asker, form: Form) -> Question | None:
    """Is there a red thing above the green cross?"""
    _, by, relation = form
    yes: list[tuple[int, int]] = []
    no: list[tuple[int, int]] = []
    for j, there, doubtful in _anchors(ask, relation):
        if by == NONE:
            if there:
                yes.append((j, 0))
            elif not doubtful:
                no.append((j, 0))
            continue
        for value, number in _numbers(ask, by, there, doubtful):
            (yes if number else no).append((j, value))
    if not yes or not no:
        return None
    truth = ask.coin()
    j, value = ask.pick(yes if truth else no)
    tongue = ask.tongue
    look = 0 if by == NONE else lone(by, value)
    thing = tongue.a[0 if by == NONE else 1 << by][look]
    text = ask.say("chain_exist", thing, tongue.relations[relation], ask.the(j))
    start = thinking.place(ask, j)
    return ask.yes_no("chained", form_name(form), text, truth, j, reasoning=start)
