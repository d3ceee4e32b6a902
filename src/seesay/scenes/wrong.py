"""Wrong: true captions with one word changed so that they are false, and surely false."""

import re
from functools import lru_cache
from random import Random

from seesay.scenes.language import parse, tongue
from seesay.scenes.view import ATTRIBUTES
from seesay.scenes.world import HELD_OUT, Scene

_TRIES = 60


def falsified(
    text: str, scene: Scene, rng: Random, *, language: str = "en", all_pairs: bool = False
) -> tuple[str, str]:
    """(which attribute was changed, the caption with that one word changed).

    Half of the time the new word is one the caption uses elsewhere, so that neither caption is the
    likelier one to someone who does not look. `all_pairs`: held-out pairs may be named.
    """
    pattern, kinds, values = _vocabulary(language)
    spots = list(pattern.finditer(text))
    for attempt in range(_TRIES):
        spot = spots[int(rng.random() * len(spots))]
        kind = kinds[spot[0]]
        choices = values[kind]
        if attempt < _TRIES // 2 and rng.random() < 0.5:
            choices = tuple(s[0] for s in spots if kinds[s[0]] == kind)
        word = choices[int(rng.random() * len(choices))]
        if word == spot[0]:
            continue
        changed = _agreeing(text[: spot.start()] + word + text[spot.end() :])
        facts = parse(changed, language)
        if facts is None or facts.hold(scene):
            continue
        if not all_pairs and any((m.colour, m.shape) in HELD_OUT for m in facts.mentions):
            continue
        return kind, changed
    raise AssertionError(f"no one word makes this caption false: {text!r}")


@lru_cache(maxsize=4)
def _vocabulary(
    language: str,
) -> tuple[re.Pattern[str], dict[str, str], dict[str, tuple[str, ...]]]:
    """A pattern of every content word of captions, the kind of each, and the words of each kind."""
    words = tongue(language)
    values: dict[str, tuple[str, ...]] = {
        **dict(zip(ATTRIBUTES, words.values, strict=True)),
        "place": words.at,
        "relation": words.relations,
        "number": words.counted,
        "background": words.backgrounds,
    }
    kinds = {word: kind for kind, group in values.items() for word in group}
    longest = sorted(kinds, key=len, reverse=True)
    edge = r"\b" if language == "en" else ""
    return re.compile(f"{edge}(?:{'|'.join(longest)}){edge}"), kinds, values


def _agreeing(text: str) -> str:
    """An English caption whose articles agree with the words after them again."""
    return re.sub(r"\ban? (?=([a-z]))", lambda m: "an " if m[1] in "aeiou" else "a ", text)
