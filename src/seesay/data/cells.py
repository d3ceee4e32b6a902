"""Cells: what a cell of a text column says: texts, one text, options, the option chosen."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from seesay.data.finder import Refused


def texts_in(cell: Any) -> tuple[str, ...]:
    """The texts of a cell, which may hold one, several, a number, a truth value or nothing."""
    if isinstance(cell, str):
        text = _clean(cell)
        return (text,) if text else ()
    if cell is None or cell != cell:  # NaN, pandas' empty cell
        return ()
    if isinstance(cell, bool):
        return ("true" if cell else "false",)
    if isinstance(cell, float) and cell.is_integer():
        return (str(int(cell)),)  # pandas makes whole numbers fractions where one is missing
    if isinstance(cell, (int, float)):
        return (str(cell),)
    if isinstance(cell, dict):  # VQA v2: {"answer": "yes", "answer_confidence": ...}
        return texts_in(next((cell[key] for key in ("answer", "text", "raw") if key in cell), None))
    if isinstance(cell, (list, tuple)):
        return tuple(text for each in cell for text in texts_in(each))
    raise Refused(f"a text column holds a {type(cell).__name__}: {str(cell)[:40]}")


@lru_cache(maxsize=100_000)
def _clean(text: str) -> str:
    if not text.isascii() and not _is_unicode(text):
        raise Refused(f"text that is not valid Unicode: {ascii(text)[:60]}")
    return text.strip()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_in(cell: Any, role: str) -> str:
    """The one text of a cell, which is what `role` says."""
    texts = texts_in(cell)
    if len(texts) == 1:
        return texts[0]
    raise Refused(f"no {role}: it is empty" if not texts else f"{len(texts)} {role}s; expected 1")


def options_in(cell: Any) -> tuple[str, ...]:
    """The answers to choose among: a list, or text with `|` between."""
    return texts_in(cell.split("|")) if isinstance(cell, str) else texts_in(cell)


def chosen(answer: str, options: Sequence[str]) -> str:
    """The option that the answer is, by its text, its letter or its number from 0."""
    if answer in options:
        return answer
    place = "ABCDEFGHIJ".find(answer.upper()) if len(answer) == 1 else -1
    if answer.isdecimal():
        place = int(answer)
    if 0 <= place < len(options):
        return options[place]
    raise Refused(f"the answer '{answer}' is none of the options {', '.join(options)}")
