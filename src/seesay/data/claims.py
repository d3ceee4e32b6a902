"""Claims: texts to hold against pictures, and whether each is true."""

from collections.abc import Sequence

from seesay.data.text import Text
from seesay.records import Example


def claims(said: Sequence[tuple[str, bool]], text: Text, *, limit: int) -> dict[str, tuple]:
    """Texts and whether they are true, as a row holds them."""
    return {
        "claims": tuple(text.claim(words, limit=limit) for words, _ in said),
        "truths": tuple(true for _, true in said),
    }


def claimed_by(example: Example) -> list[tuple[str, bool]]:
    """What an example says of its pictures, and whether that is true.

    A caption is; of a match's options the first; a class by its name. A question says nothing.
    """
    if example.task == "match":
        return [(option, i == 0) for i, option in enumerate(example.options)]
    return [(example.answer, True)] if example.task in ("caption", "classify") else []
