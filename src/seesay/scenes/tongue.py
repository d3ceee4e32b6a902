"""Tongue: one language as tables of phrases, answers and templates: saying is a look-up."""

from collections.abc import Callable
from dataclasses import dataclass, field

from seesay.scenes.view import ATTRIBUTES, NUM_LOOKS, VALUES, look_of

# phrase[attributes][look]: a set of attributes and an object's look give its words.
Phrases = tuple[tuple[str, ...], ...]
Phrase = Callable[[int, tuple[int, int, int, int]], str]


@dataclass(frozen=True)
class Tongue:
    """The words of one language.

    Phrases for an object described by some of its attributes: `one` ("red circle"), `a` ("a red
    circle"), `the` ("the red circle"), `many` ("red circles"). Predicates by attribute and value:
    `singular` ("red", "a circle"), `plural` ("red", "circles"). `templates[key]` are the phrasings
    of a question or sentence, as bound `str.format`s.
    """

    name: str
    one: Phrases
    a: Phrases
    the: Phrases
    many: Phrases
    singular: tuple[tuple[str, ...], ...]
    plural: tuple[tuple[str, ...], ...]
    values: tuple[tuple[str, ...], ...]  # answers, by attribute
    attributes: tuple[str, ...]
    places: tuple[str, ...]  # "top left"
    at: tuple[str, ...]  # "at the top left"
    relations: tuple[str, ...]
    numbers: tuple[str, ...]  # answers: "two"
    counted: tuple[str, ...]  # in a sentence: "two" or 两个
    backgrounds: tuple[str, ...]
    yes_no: tuple[str, str]
    true_false: tuple[str, str]
    more_fewer_same: tuple[str, str, str]
    headings: tuple[str, ...]  # ways to move, as answers, by `motion.STEPS`: "up left"
    paths: tuple[str, ...]  # the same in a sentence: "from left to right"
    events: tuple[str, ...]  # answers: what a thing does
    comma: str
    last: str
    clause: str  # between clauses, where a language does not join those as it joins nouns
    exists: str  # the word that makes a clause of a place and a thing, where there is one
    prompts: dict[str, tuple[str, ...]]
    templates: dict[str, tuple[Callable[..., str], ...]] = field(repr=False)

    def listed(self, parts: list[str], *, clauses: bool = False) -> str:
        """ "a", "a and b", "a, b and c"."""
        if clauses and self.clause:
            return self.clause.join(parts)
        if len(parts) == 1:
            return parts[0]
        return self.comma.join(parts[:-1]) + self.last + parts[-1]


def phrases(phrase: Phrase) -> Phrases:
    """Every phrase of a language: by set of attributes, then by look."""
    looks = [look_of(number) for number in range(NUM_LOOKS)]
    return tuple(tuple(phrase(attributes, look) for look in looks) for attributes in range(16))


def bound(templates: dict[str, tuple[str, ...]]) -> dict[str, tuple[Callable[..., str], ...]]:
    """Templates as functions of their slots."""
    return {key: tuple(text.format for text in texts) for key, texts in templates.items()}


def checked(tongue: Tongue) -> Tongue:
    """The tongue itself, once its tables fit the world's vocabularies."""
    for name, words, known in zip(ATTRIBUTES, tongue.values, VALUES, strict=True):
        if len(words) != len(known):
            raise ValueError(f"{tongue.name}: {len(words)} words for {len(known)} values of {name}")
    return tongue
