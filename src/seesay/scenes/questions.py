"""Questions: the table of kinds, and how many questions on one scene are chosen among them."""

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

from seesay.errors import SeesayError, nearest
from seesay.scenes.asking import Asker, Question
from seesay.scenes.chained import chained
from seesay.scenes.looking import attribute_kind, count, exist, ground, refer, statement, where
from seesay.scenes.reasoning import compare_attribute, compare_count, logic, relation, same_as

Kind = Callable[[Asker], Question | None]

KINDS: dict[str, Kind] = {
    "exist": exist,
    "count": count,
    "colour": attribute_kind(1, "colour"),
    "shape": attribute_kind(0, "shape"),
    "size": attribute_kind(2, "size"),
    "texture": attribute_kind(3, "texture"),
    "where": where,
    "relation": relation,
    "compare_count": compare_count,
    "compare_attribute": compare_attribute,
    "same_as": same_as,
    "logic": logic,
    "chained": chained,
    "refer": refer,
    "statement": statement,
    "ground": ground,
}
# Only where it is asked for: its answers are numbers, which every other kind can do without.
UNASKED = ("ground",)
_TRIES = 12
_TRIES_OF_KIND = 4  # a kind draws its own form anew before another kind takes its turn


def chosen(
    kinds: Mapping[str, float] | None, table: Mapping[str, Any] = KINDS
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The names of kinds of a table with weight, and the running sums of their weights."""
    if kinds is None:
        kinds = {name: 1.0 for name in table if name not in UNASKED}
    for name in kinds:
        if name not in table:
            raise SeesayError(
                f"no kind of question {name!r}", where="kinds", fix=nearest(name, tuple(table))
            )
    names = tuple(name for name, weight in kinds.items() if weight > 0)
    if not names:
        raise SeesayError("no kind of question has a weight above 0", where="kinds")
    return names, tuple(accumulate(kinds[name] for name in names))


def ask_many(
    ask: Any,
    num: int,
    *,
    names: tuple[str, ...],
    sums: tuple[float, ...],
    table: Mapping[str, Any] = KINDS,
) -> list[Question]:
    """`num` questions, different where the scene has enough; none where no kind can ask it.

    Held-out forms are for measuring: they are never repeated, so there may be fewer.
    """
    found: list[Question] = []
    texts: set[str] = set()
    while len(found) < num:
        question = _one(ask, names, sums, texts, table)
        if question is None:
            break
        texts.add(question.text)
        found.append(question)
    # A scene too poor for so many different questions is asked some of them again.
    for i in range(num - len(found) if found and not ask.held_out_forms else 0):
        found.append(found[i])
    return found


def _one(
    ask: Any,
    names: tuple[str, ...],
    sums: tuple[float, ...],
    texts: set[str],
    table: Mapping[str, Any],
) -> Question | None:
    for _ in range(_TRIES):
        at = ask.draw() * sums[-1]
        name = next((n for n, end in zip(names, sums, strict=True) if at < end), names[-1])
        for _ in range(_TRIES_OF_KIND):
            question = table[name](ask)
            if question is not None:
                break
        else:
            continue
        if question.text not in texts:
            return question
    if ask.held_out_forms and texts:
        return None
    ask.relaxed = True
    for name in names:
        for _ in range(_TRIES):
            question = table[name](ask)
            if question is not None and question.text not in texts:
                return question
    return None
