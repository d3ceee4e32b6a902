"""Asking: what every kind of question is made with: the scene, the dice, the words, the balance."""

from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import NamedTuple, TypeVar

from seesay.scenes.balance import WEIGHTS
from seesay.scenes.tongue import Tongue
from seesay.scenes.view import COLOUR, HELD_OUT_IDS, SHAPE, Look, View

T = TypeVar("T")

_EVEN = (1.0,) * 8

_MATES = {colour: shape for shape, colour in HELD_OUT_IDS}


class Question(NamedTuple):
    """A question on a scene, its answer, the answers its form can have, and the objects meant.

    `reasoning` is what it takes to know first, where it takes more than one look.
    """

    kind: str
    form: str
    text: str
    answer: str
    options: tuple[str, ...]
    objects: tuple[int, ...] = ()
    reasoning: str = ""


class Asker:
    """One scene being asked about.

    `held_out_pairs`: a `combinations` scene, whose held-out objects are asked about where possible
    (`focus`); everywhere else no held-out pair may be named, not even to be denied.
    `held_out_forms`: ask held-out forms of chained questions, and no others.
    """

    __slots__ = (
        "view",
        "draw",
        "rng",
        "tongue",
        "focus",
        "held_out_pairs",
        "held_out_forms",
        "relaxed",
    )

    def __init__(
        self,
        view: View,
        rng: Random,
        *,
        tongue: Tongue,
        held_out_pairs: bool = False,
        held_out_forms: bool = False,
    ) -> None:
        self.view = view
        self.rng = rng
        self.draw = rng.random
        self.tongue = tongue
        self.held_out_pairs = held_out_pairs
        self.held_out_forms = held_out_forms
        self.relaxed = False  # ask even what would upset the balance
        self.focus: frozenset[int] = frozenset()
        if held_out_pairs:
            self.focus = frozenset(
                i for i, look in enumerate(view.looks) if (look[0], look[1]) in HELD_OUT_IDS
            )

    def below(self, number: int) -> int:
        """A number from 0 to below `number`."""
        return int(self.draw() * number)

    def pick(self, things: Sequence[T]) -> T:
        """One of them."""
        return things[int(self.draw() * len(things))]

    def pick_object(self, objects: Sequence[int]) -> int:
        """One of some objects, a held-out one where the split is about those."""
        if self.focus:
            objects = [i for i in objects if i in self.focus] or objects
        return objects[int(self.draw() * len(objects))]

    def coin(self) -> bool:
        """Yes or no, before the question is known: so the question cannot tell."""
        return self.draw() < 0.5

    def say(self, key: str, *slots: str) -> str:
        """One of the phrasings of `key`."""
        phrasings = self.tongue.templates[key]
        return phrasings[int(self.draw() * len(phrasings))](*slots)

    def the(self, i: int, *, avoid: int = 0, more: float = 0.2) -> str:
        """Words that pick out object i, or "" where none do."""
        attributes = self.view.describe(i, self.rng, avoid=avoid, more=more)
        return self.tongue.the[attributes][self.view.codes[i]] if attributes >= 0 else ""

    def yes_no(
        self, kind: str, form: str, text: str, truth: bool, *objects: int, reasoning: str = ""
    ) -> Question:
        """A question answered by yes or no."""
        words = self.tongue.yes_no
        answer = words[0] if truth else words[1]
        return Question(kind, form, text, answer, words, objects, reasoning)

    def number(
        self, kind: str, form: str, text: str, number: int, most: int, reasoning: str = ""
    ) -> Question:
        """A question answered by a number from 0 to `most`."""
        words = self.tongue.numbers[: most + 1]
        return Question(kind, form, text, words[number], words, (), reasoning)

    def choose_count(self, form: str, counts: Sequence[int]) -> int | None:
        """One of the numbers (rising) this scene can answer, or None to pass the scene by.

        Small numbers are easy to ask for, so most scenes that show nothing larger are passed by;
        within a scene the numbers stay nearly alike, or the largest group would be the safe bet.
        """
        weights = WEIGHTS.get(form, _EVEN)
        if not self.relaxed and self.draw() >= weights[counts[-1]]:
            return None
        if len(counts) == 1:
            return counts[0]
        shares = [sqrt(sqrt(weights[c])) for c in counts]  # exact everywhere, unlike a power
        at = self.draw() * sum(shares)
        for c, share in zip(counts, shares, strict=True):
            at -= share
            if at < 0:
                return c
        return counts[-1]

    def may_name(self, shape: int, colour: int) -> bool:
        """Whether a text may speak of this pair."""
        return self.held_out_pairs or (shape, colour) not in HELD_OUT_IDS

    def absent(self, attributes: int) -> Look | None:
        """A look that no object has in `attributes`, but one nearly has."""
        view, below = self.view, self.below
        for attempt in range(12):
            look = list(view.looks[below(view.num)])
            if attempt > 5:
                look = [below(8), below(8), below(2), below(3)]
            elif self.held_out_pairs and attributes & 3 == 3:
                # Or else naming a held-out pair would give the answer away.
                look[COLOUR] = below(8) if attempt else look[COLOUR]
                look[SHAPE] = _MATES[look[COLOUR]]
            else:
                attribute = self.pick(_MEMBERS[attributes])
                look[attribute] = below((8, 8, 2, 3)[attribute])
            shape, colour, size, texture = look
            if attributes & 3 == 3 and not self.may_name(shape, colour):
                continue
            found = (shape, colour, size, texture)
            if not view.matching(attributes, found):
                return found
        return None


_MEMBERS = tuple(tuple(a for a in range(4) if attributes >> a & 1) for attributes in range(16))
