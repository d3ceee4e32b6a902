"""Reasoning: questions on several things at once: relations, comparisons, logic."""

from typing import NamedTuple

from seesay.scenes import thinking
from seesay.scenes.asking import Asker, Question
from seesay.scenes.view import BEHIND, FRONT, OPPOSITE, SIZE, lone

_PAIRS = (
    (0, 0),
    (0, 0),
    (1, 1),
    (1, 1),
    (2, 2),
    (3, 3),
    (0, 1),
    (1, 0),
    (0, 3),
    (3, 1),
    (2, 0),
    (1, 2),
)


class Related(NamedTuple):
    """Two things, a relation said of them, the one that holds, and which objects they are."""

    first: str
    said: str
    second: str
    holds: str
    objects: tuple[int, int]


def related(ask: Asker, truth: bool) -> Related | None:
    """Two things and a relation that does, or does not, hold between them, beyond doubt."""
    view = ask.view
    objects = view.describable()
    if len(objects) < 2:
        return None
    fronts = view.fronts() if ask.draw() < 0.25 else []
    if fronts:
        first, second = ask.pick(fronts)
        relation = FRONT
        if ask.coin():
            first, second, relation = second, first, BEHIND
    else:
        first = ask.pick_object(objects)
        second = ask.pick(objects)
        if first == second:
            return None
        if ask.coin():
            first, second = second, first
        axes = view.sides()[second][first]
        relation = axes[ask.below(2)]
        relation = relation if relation >= 0 else max(axes)
    if relation < 0:
        return None
    a, b = ask.the(first), ask.the(second)
    if not a or not b:
        return None
    words = ask.tongue.relations
    said = relation if truth else OPPOSITE[relation]
    return Related(a, words[said], b, words[relation], (first, second))


def relation(ask: Asker) -> Question | None:
    """Is the red circle left of the blue square?"""
    truth = ask.coin()
    for _ in range(3):
        found = related(ask, truth)
        if found is not None:
            text = ask.say("relation", found.first, found.said, found.second)
            objects, holds = found.objects, found.holds
            return ask.yes_no("relation", "relation", text, truth, *objects, reasoning=holds)
    return None


def compare_count(ask: Asker) -> Question | None:
    """Are there more red things than circles?"""
    first, second = ask.pick(_PAIRS)
    sign = ask.below(4)  # more, fewer, as many, or asked which of them
    more, equal, fewer = _compared(ask, first, second)
    if sign == 3:
        return _more_or_fewer(ask, (more, fewer, equal), attributes=(first, second))
    key = ("more", "fewer", "as_many")[sign]
    right = (more, fewer, equal)[sign]
    wrong = ((fewer, equal), (more, equal), (more, fewer))[sign]
    if not right or not (wrong[0] or wrong[1]):
        return None
    truth = ask.coin()
    pairs = right if truth else (ask.pick(wrong) or wrong[0] or wrong[1])
    pair = ask.pick(pairs)
    text = ask.say(key, *_things(ask, pair, attributes=(first, second)))
    counted = _counted(ask, pair, attributes=(first, second))
    return ask.yes_no("compare_count", f"{key} {first}{second}", text, truth, reasoning=counted)


Pairs = list[tuple[int, int]]


def _compared(ask: Asker, first: int, second: int) -> tuple[Pairs, Pairs, Pairs]:
    """Pairs of values, one of each attribute, of which the first has more, as many and fewer."""
    more: Pairs = []
    equal: Pairs = []
    fewer: Pairs = []
    counts_u, counts_v = ask.view.counts[first], ask.view.counts[second]
    present_v = [(v, c) for v, c in enumerate(counts_v) if c]
    for u, count_u in enumerate(counts_u):
        if not count_u:
            continue
        for v, count_v in present_v:
            if first == second and u == v:
                continue
            (more if count_u > count_v else fewer if count_u < count_v else equal).append((u, v))
    return more, equal, fewer


def _things(ask: Asker, pair: tuple[int, int], *, attributes: tuple[int, int]) -> tuple[str, str]:
    many = ask.tongue.many
    (u, v), (a, b) = pair, attributes
    return many[1 << a][lone(a, u)], many[1 << b][lone(b, v)]


def _counted(ask: Asker, pair: tuple[int, int], *, attributes: tuple[int, int]) -> str:
    """How many there are of each of the two."""
    counts = ask.view.counts
    numbers = (counts[a][u] for a, u in zip(attributes, pair, strict=True))
    return thinking.numbers(ask, numbers)


def _more_or_fewer(
    ask: Asker, sets: tuple[Pairs, Pairs, Pairs], *, attributes: tuple[int, int]
) -> Question | None:
    if not all(sets):
        return None
    which = ask.below(3)
    pair = ask.pick(sets[which])
    text = ask.say("more_fewer", *_things(ask, pair, attributes=attributes))
    words = ask.tongue.more_fewer_same
    counted = _counted(ask, pair, attributes=attributes)
    return Question("compare_count", "more_fewer", text, words[which], words, (), counted)


def compare_attribute(ask: Asker) -> Question | None:
    """Is the red circle the same size as the star?"""
    attribute = ask.below(5)
    if attribute == 4:
        return _bigger(ask)
    view = ask.view
    objects = view.describable(1 << attribute)
    same: Pairs = []
    other: Pairs = []
    for at, i in enumerate(objects):
        value = view.looks[i][attribute]
        for j in objects[:at]:
            (same if view.looks[j][attribute] == value else other).append((i, j))
    if not same or not other:
        return None
    truth = ask.coin()
    i, j = ask.pick(same if truth else other)
    i, j = (i, j) if ask.coin() else (j, i)
    a, b = ask.the(i, avoid=1 << attribute), ask.the(j, avoid=1 << attribute)
    text = ask.say("same", a, b, ask.tongue.attributes[attribute])
    values = thinking.values(ask, attribute, i, j)
    form = f"same {attribute}"
    return ask.yes_no("compare_attribute", form, text, truth, i, j, reasoning=values)


def _bigger(ask: Asker) -> Question | None:
    """Is the star bigger than the circle?"""
    view = ask.view
    objects = view.describable(1 << SIZE)
    groups = [[i for i in objects if view.looks[i][SIZE] == size] for size in (0, 1)]
    if not groups[0] or not groups[1]:
        return None
    truth = ask.coin()
    key = ask.pick(("bigger", "smaller"))
    i, j = ask.pick(groups[1]), ask.pick(groups[0])
    if (key == "bigger") != truth:
        i, j = j, i
    if not truth and ask.draw() < 0.3:
        i, j = _equal_pair(ask, groups) or (i, j)
    text = ask.say(key, ask.the(i, avoid=1 << SIZE), ask.the(j, avoid=1 << SIZE))
    values = thinking.values(ask, SIZE, i, j)
    return ask.yes_no("compare_attribute", key, text, truth, i, j, reasoning=values)


def _equal_pair(ask: Asker, groups: list[list[int]]) -> tuple[int, int] | None:
    group = ask.pick(groups)
    if len(group) < 2:
        return None
    at = ask.below(len(group))
    return group[at], group[at - 1 - ask.below(len(group) - 1)]


def same_as(ask: Asker) -> Question | None:
    """What shape is the other thing of the same colour as the star?"""
    if ask.view.num == 1:
        return None
    shared = ask.below(4)
    if ask.draw() < 0.4:
        return _same_count(ask, shared)
    view, tongue = ask.view, ask.tongue
    asked = (shared + 1 + ask.below(3)) % 4
    avoid = 1 << shared | (1 << asked if asked > 1 else 0)
    pairs = [i for i in view.describable(avoid) if view.counts[shared][view.looks[i][shared]] == 2]
    if not pairs:
        return None
    i = ask.pick_object(pairs)
    value = view.looks[i][shared]
    other = next(j for j in range(view.num) if j != i and view.looks[j][shared] == value)
    words = tongue.values[asked]
    names = tongue.attributes
    text = ask.say("same_query", ask.the(i, avoid=avoid), names[shared], names[asked])
    answer = words[view.looks[other][asked]]
    form, seen = f"same_query {shared}{asked}", thinking.values(ask, shared, i)
    return Question("same_as", form, text, answer, words, (i, other), seen)


_MOST_SAME = 3


def _same_count(ask: Asker, shared: int) -> Question | None:
    """How many other things are the same colour as the star?"""
    view = ask.view
    objects = view.describable(1 << shared)
    others = {i: view.counts[shared][view.looks[i][shared]] - 1 for i in objects}
    counts = sorted({c for c in others.values() if c <= _MOST_SAME})
    if not counts:
        return None
    form = f"same_count {shared}"
    number = ask.choose_count(form, counts)
    if number is None:
        return None
    i = ask.pick_object([i for i, c in others.items() if c == number])
    text = ask.say("same_count", ask.the(i, avoid=1 << shared), ask.tongue.attributes[shared])
    counted = thinking.counted(ask, shared, i)
    return ask.number("same_as", form, text, number, _MOST_SAME, counted)


def logic(ask: Asker) -> Question | None:
    """And, or, not, every."""
    return ask.pick((_or_count, _or_count, _but_not, _both, _either, _every))(ask)


_UNIONS = ((0, 0), (1, 1), (0, 1), (1, 0), (0, 3), (3, 1))
_MOST_UNION = 4


def _or_count(ask: Asker) -> Question | None:
    """How many things are red or striped?"""
    view = ask.view
    a, b = ask.pick(_UNIONS)
    sizes = ((0, 1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 3, 4, 5, 6, 7), (0, 1), (0, 1, 2))
    found: dict[int, Pairs] = {}
    for _ in range(8):
        u = view.looks[ask.below(view.num)][a] if ask.draw() < 0.7 else ask.pick(sizes[a])
        v = view.looks[ask.below(view.num)][b] if ask.draw() < 0.7 else ask.pick(sizes[b])
        if a == b and u == v:
            continue
        number = sum(look[a] == u or look[b] == v for look in view.looks)
        if number <= _MOST_UNION:
            found.setdefault(number, []).append((u, v))
    if not found:
        return None
    form = f"or_count {a}{b}"
    number = ask.choose_count(form, sorted(found))
    if number is None:
        return None
    u, v = ask.pick(found[number])
    plural = ask.tongue.plural
    text = ask.say("or_count", plural[a][u], plural[b][v])
    first = view.counts[a][u]
    counted = thinking.numbers(ask, (first, number - first))
    return ask.number("logic", form, text, number, _MOST_UNION, counted)


def _but_not(ask: Asker) -> Question | None:
    """Is there a thing that is red but not a circle?"""
    view = ask.view
    a = ask.below(4)
    b = (a + 1 + ask.below(3)) % 4
    present = view.present(b)
    yes: Pairs = []
    no: Pairs = []
    for u in view.present(a):
        group = {look[b] for look in view.looks if look[a] == u}
        for v in present:
            (no if group == {v} else yes).append((u, v))
    if a < 2 and b < 2:
        yes = [p for p in yes if ask.may_name(p[a], p[b])]
    if not yes or not no:
        return None
    truth = ask.coin()
    u, v = ask.pick(yes if truth else no)
    singular = ask.tongue.singular
    text = ask.say("but_not", singular[a][u], singular[b][v])
    found = thinking.listed(ask, (a, u), (b,))
    return ask.yes_no("logic", f"but_not {a}{b}", text, truth, reasoning=found)


def _both(ask: Asker) -> Question | None:
    """Is there both a red thing and a blue thing?  (One attribute, so never one thing twice.)"""
    attribute = ask.below(2)
    counts = ask.view.counts[attribute]
    present = ask.view.present(attribute)
    if len(present) < 2:
        return None
    truth = ask.coin()
    u = ask.pick(present)
    others = [v for v in range(8) if v != u and bool(counts[v]) == truth]
    return _joined(ask, "both", truth, things=((attribute, u), (attribute, ask.pick(others))))


def _either(ask: Asker) -> Question | None:
    """Is there a red thing or a circle?"""
    a, b = ask.below(2), ask.below(2)
    truth = ask.coin()
    absent = [[v for v, c in enumerate(ask.view.counts[k]) if not c] for k in (a, b)]
    u = ask.pick(ask.view.present(a) if truth else absent[0])
    there = [v for v in ask.view.present(b) if a != b or u != v]
    others = [v for v in absent[1] if a != b or u != v]
    if truth and there and ask.draw() < 0.3:
        others = there
    return _joined(ask, "either", truth, things=((a, u), (b, ask.pick(others))))


def _joined(
    ask: Asker, key: str, truth: bool, *, things: tuple[tuple[int, int], tuple[int, int]]
) -> Question:
    (a, u), (b, v) = things
    if ask.coin():
        a, u, b, v = b, v, a, u
    words = ask.tongue.a
    text = ask.say(key, words[1 << a][lone(a, u)], words[1 << b][lone(b, v)])
    counts = ask.view.counts
    there = thinking.truths(ask, (counts[a][u] > 0, counts[b][v] > 0))
    return ask.yes_no("logic", f"{key} {a}{b}", text, truth, reasoning=there)


def _every(ask: Asker) -> Question | None:
    """Is every circle striped?"""
    view = ask.view
    a = ask.below(4)
    b = (a + 1 + ask.below(3)) % 4
    yes: Pairs = []
    no: Pairs = []
    for u in view.present(a):
        group = {look[b] for look in view.looks if look[a] == u}
        if len(group) == 1:
            yes.extend((u, v) for v in group)
        no.extend((u, v) for v in group if len(group) > 1)
        no.extend((u, v) for v in view.present(b) if v not in group)
    if a < 2 and b < 2:
        no = [p for p in no if ask.may_name(p[a], p[b])]
    if not yes or not no:
        return None
    truth = ask.coin()
    u, v = ask.pick(yes if truth else no)
    tongue = ask.tongue
    text = ask.say("every", tongue.one[1 << a][lone(a, u)], tongue.singular[b][v])
    found = thinking.listed(ask, (a, u), (b,))
    return ask.yes_no("logic", f"every {a}{b}", text, truth, reasoning=found)
