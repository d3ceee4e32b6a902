"""Watching: what is asked and said of scenes that move, and captions of them read back."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from seesay.scenes.asking import Question
from seesay.scenes.motion import (
    APPEARS,
    CHANGES,
    GAP,
    HITS,
    LEAVES,
    MOST_MOVING,
    MOVES,
    NEARS,
    STAYS,
    STEPS,
    TIMED,
    Film,
    Mover,
)
from seesay.scenes.tongue import Tongue
from seesay.scenes.view import COLOUR, HELD_OUT_IDS, Look, agree, code, numbered
from seesay.scenes.world import COLOURS, PLACES, SPAN, Object

T = TypeVar("T")

# What a thing is called by: shape, colour, both, or the size too; the fewest that tell it.
_SETS = ((1, 2), (3, 5, 6), (7, 9, 10))
_CLEAR = 40  # of a centre from the lines between places, that nobody could doubt where it is
# What share of questions is kept, by what is true: so each answer is about as likely.
_KEPT = {
    "count_moving": (0.03, 0.04, 0.11, 0.25, 1.0),
    "moving": (0.5, 1.0),
    "event": (0.4, 0.2, 0.8, 0.75, 1.0),
    "where": (1.0, 0.15, 0.8, 0.15, 0.04, 0.15, 0.8, 0.17, 0.8),
}
_FIRST = {APPEARS: "appears_first", LEAVES: "leaves_first", CHANGES: "changes_first"}
_TOLD = {
    STAYS: "film_stays",
    MOVES: "film_moves",
    APPEARS: "film_appears",
    LEAVES: "film_leaves",
    CHANGES: "film_changes",
    NEARS: "film_nears",
    HITS: "film_hits",
}


class Watcher:
    """One film being asked about; in the split `combinations`, about held-out pairs if possible."""

    __slots__ = ("film", "rng", "draw", "tongue", "relaxed", "held_out_forms", "focus", "_looks")

    def __init__(self, film: Film, rng: Random, *, tongue: Tongue, focused: bool = False) -> None:
        self.film, self.rng, self.draw, self.tongue = film, rng, rng.random, tongue
        self.relaxed = self.held_out_forms = False
        # Of each thing all it ever looks like.
        self._looks: list[tuple[Look, ...]] = [
            tuple(dict.fromkeys(map(numbered, (mover.first, mover.last)))) for mover in film.movers
        ]
        held = (i for i, looks in enumerate(self._looks) if looks[0][:2] in HELD_OUT_IDS)
        self.focus = frozenset(held if focused else ())

    def below(self, number: int) -> int:
        """A number from 0 to below `number`."""
        return int(self.draw() * number)

    def pick(self, things: Sequence[T]) -> T:
        """One of them."""
        return things[int(self.draw() * len(things))]

    def one_of(self, *events: int) -> int:
        """One of the things that do one of these and can be called something; -1 for none."""
        found = [
            i for i, mover in enumerate(self.film.movers) if mover.event in events and self._sets(i)
        ]
        found = [i for i in found if i in self.focus] or found
        return self.pick(found) if found else -1

    def keeps(self, kind: str, answer: int) -> bool:
        """Whether to ask what has this answer, for the balance of all."""
        return self.relaxed or self.draw() < _KEPT[kind][answer]

    def say(self, key: str, *slots: str) -> str:
        """One of the phrasings of `key`."""
        return self.pick(self.tongue.templates[key])(*slots)

    def the(self, i: int) -> str:
        """Words that pick out thing i, whatever anything looks like by then."""
        attributes = self.pick(self._sets(i))
        return self.tongue.the[attributes][code(self._looks[i][0])]

    def both(self, i: int) -> str:
        """Thing i by colour and shape, which no other ever has, without an article."""
        return self.tongue.one[3][code(self._looks[i][0])]

    def _sets(self, i: int) -> tuple[int, ...]:
        """The smallest sets of attributes that tell thing i from all others at all times."""
        own = self._looks[i]
        others = [look for j, looks in enumerate(self._looks) if j != i for look in looks]
        changes = len(own) > 1
        for several in _SETS:
            found = tuple(
                s
                for s in several
                if not (changes and s >> COLOUR & 1)
                and not any(agree(s, own[0], other) for other in others)
            )
            if found:
                return found
        return ()

    def yes_no(self, kind: str, text: str, truth: bool, *objects: int) -> Question:
        """A question answered by yes or no."""
        words = self.tongue.yes_no
        return Question(kind, kind, text, words[0 if truth else 1], words, objects)


def direction(ask: Watcher) -> Question | None:
    """Which way does the red square move?"""
    i = ask.one_of(MOVES)
    if i < 0:
        return None
    words = ask.tongue.headings
    text = ask.say("direction", ask.the(i))
    return Question("direction", "", text, words[ask.film.movers[i].heading], words, (i,))


def heading(ask: Watcher) -> Question | None:
    """Does the red square move up? Where it does not, half the time it moves down."""
    i, truth = ask.one_of(MOVES), ask.draw() < 0.5
    if i < 0:
        return None
    own = asked = ask.film.movers[i].heading
    if not truth:
        back = STEPS.index((-STEPS[own][0], -STEPS[own][1]))
        asked = back if ask.draw() < 0.5 else (own + 1 + ask.below(len(STEPS) - 1)) % len(STEPS)
    text = ask.say("heading", ask.the(i), ask.tongue.headings[asked])
    return ask.yes_no("heading", text, truth, i)


def moving(ask: Watcher) -> Question | None:
    """Does the red square move?"""
    truth = ask.draw() < 0.5
    i = ask.one_of(MOVES, NEARS, HITS) if truth else ask.one_of(STAYS, *TIMED)
    if i < 0 or not ask.keeps("moving", truth):
        return None
    return ask.yes_no("moving", ask.say("moving", ask.the(i)), truth, i)


def count_moving(ask: Watcher) -> Question | None:
    """How many things move? Of one alone, that is asked by `moving`."""
    events = [mover.event for mover in ask.film.movers]
    number = sum(event in (MOVES, NEARS, HITS) for event in events)
    if len(events) < 2 or not ask.keeps("count_moving", number):
        return None
    words = ask.tongue.numbers[: MOST_MOVING + 1]
    return Question("count_moving", "", ask.say("count_moving"), words[number], words)


def becomes(ask: Watcher) -> Question | None:
    """What colour does the square become; or what colour is it at first?"""
    i, late = ask.one_of(CHANGES), ask.draw() < 0.5
    if i < 0:
        return None
    mover = ask.film.movers[i]
    shown = mover.last if late else mover.first
    words = ask.tongue.values[COLOUR]
    text = ask.say("becomes" if late else "was", ask.the(i))
    return Question("becomes", "", text, words[COLOURS.index(shown.colour)], words, (i,))


def event(ask: Watcher) -> Question | None:
    """What does the red square do?"""
    words = ask.tongue.events
    i = ask.one_of(STAYS, MOVES, *TIMED)
    if i < 0 or not ask.keeps("event", ask.film.movers[i].event):
        return None
    text = ask.say("event", ask.the(i))
    return Question("event", "", text, words[ask.film.movers[i].event], words, (i,))


def order(ask: Watcher) -> Question | None:
    """Which appears first, the red square or the blue circle?"""
    movers = ask.film.movers
    pairs = [
        (i, j)
        for i, one in enumerate(movers)
        for j, other in enumerate(movers)
        if one.event == other.event and one.event in TIMED and other.at - one.at >= GAP
    ]
    if not pairs:
        return None
    i, j = ask.pick(pairs)
    first, second = (i, j) if ask.draw() < 0.5 else (j, i)
    the = ask.tongue.the[3]
    called = [the[code(numbered(movers[k].first))] for k in (first, second)]
    text = ask.say(_FIRST[movers[i].event], *called)
    return Question("order", "", text, ask.both(i), (ask.both(first), ask.both(second)),
                    (first, second))  # fmt: skip


def touch(ask: Watcher) -> Question | None:
    """Do the red square and the blue circle touch? Only of two of which one nears the other."""
    i = ask.one_of(NEARS, HITS)
    if i < 0 or not ask._sets(j := ask.film.movers[i].other):
        return None
    text = ask.say("touch", ask.the(i), ask.the(j))
    return ask.yes_no("touch", text, ask.film.movers[i].event == HITS, i, j)


def where(ask: Watcher) -> Question | None:
    """Where is the red square at first; or at the end? Of what moves."""
    i, late = ask.one_of(MOVES), ask.draw() < 0.5
    if i < 0:
        return None
    thing = ask.film.movers[i].last if late else ask.film.movers[i].first
    words, place = ask.tongue.places, PLACES.index(thing.place)
    if not _lies_clear(thing) or not ask.keeps("where", place):
        return None
    text = ask.say("ends_at" if late else "begins_at", ask.the(i))
    return Question("where", "", text, words[place], words, (i,))


def _lies_clear(thing: Object) -> bool:
    lines = (SPAN // 3, SPAN * 2 // 3)
    return all(abs(at - line) >= _CLEAR for at in (thing.x, thing.y) for line in lines)


FILM_KINDS: dict[str, Callable[[Watcher], Question | None]] = {
    "direction": direction,
    "heading": heading,
    "moving": moving,
    "count_moving": count_moving,
    "becomes": becomes,
    "event": event,
    "order": order,
    "touch": touch,
    "where": where,
}


def told(film: Film, words: Tongue) -> str:
    """What everything does, by shape and then by colour."""
    order = sorted(range(len(film.movers)), key=lambda i: numbered(film.movers[i].first))
    clauses = [_clause(film, film.movers[i], words) for i in order]
    return words.listed(clauses, clauses=True)


def _clause(film: Film, mover: Mover, words: Tongue) -> str:
    the = words.the[3]
    slots = [the[code(numbered(mover.first))]]
    if mover.event == MOVES:
        slots.append(words.paths[mover.heading])
    elif mover.event == CHANGES:
        slots.append(words.values[COLOUR][COLOURS.index(mover.last.colour)])
    elif mover.other >= 0:
        slots.append(the[code(numbered(film.movers[mover.other].first))])
    return words.templates[_TOLD[mover.event]][0](*slots)


def is_right(text: str, film: Film, words: Tongue) -> bool:
    """Whether a caption says what everything does, in any order, and nothing else."""
    gap = " " if words.name == "en" else ""
    text = gap.join(text.split()).replace(" ,", ",")
    if words.clause:
        clauses = text.split(words.clause)
    else:
        *head, tail = text.split(words.comma)
        clauses = head + tail.split(words.last)
    return sorted(clauses) == sorted(_clause(film, mover, words) for mover in film.movers)
