"""Examples: the rows of a table whose columns are known -> examples, or why a row is broken."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from seesay.data import video
from seesay.data.columns import Columns
from seesay.data.dialogue import MARK, VIDEO, among, shown, turns_of
from seesay.data.finder import Finder, Refused, Shown
from seesay.data.tables import Row
from seesay.records import Example, Origin, Turn

# What is asked of a picture that has nothing but a class.
CLASS_QUESTION = "what is this?"
_NO_LABELS: Mapping[str, str] = {}
MAX_OPTIONS = 100  # more different labels than this are no closed set to choose from


@dataclass(frozen=True, slots=True)
class Broken:
    """A row or a picture that was left out: where it is, and why."""

    origin: Origin
    why: str


@dataclass(slots=True)
class _Item:
    """A row whose pictures are found and whose text is cleaned."""

    images: tuple[Shown, ...]
    group: str
    origin: Origin
    question: str
    truths: tuple[str, ...]
    options: tuple[str, ...]
    labels: Mapping[str, str]
    turns: tuple[Turn, ...] = ()
    task: str = ""  # where it is not the form's
    reasoning: str = ""


@dataclass(slots=True)
class Reader:
    """Turns rows into examples by what `columns` says they mean."""

    columns: Columns
    finder: Finder
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    task: str | None = None

    def read(self, rows: Iterable[Row]) -> tuple[list[Example], list[Broken], int]:
        """The examples, the broken rows, and how many rows there were."""
        items, broken, number = [], [], 0
        for origin, row in rows:
            number += 1
            try:
                items.append(self._item(origin, row))
            except Refused as why:
                broken.append(Broken(origin, str(why)))
        return self._examples(items), broken, number

    def _item(self, origin: Origin, row: Mapping[str, Any] | str) -> _Item:
        if isinstance(row, str):
            raise Refused(row)
        found, form = self.columns.found, self.columns.form
        images, group = self.finder.find(row.get(found["image"]))
        labels = self._labels(row)
        if form.truth == "conversation":
            turns = turns_of(row.get(found["conversation"]), num_pictures=len(images))
            return _Item(images, group, origin, "", ("",), (), labels, turns)
        if form.asks and (captions := self._captions(row)):
            question = "".join(_texts(row.get(found[form.asks])))
            return _Item(images, group, origin, question, captions, (), labels, task="caption")
        question = _single(row.get(found[form.asks]), form.asks) if form.asks else ""
        truths = self._truths(row.get(found[form.truth]))
        options = _options(row.get(found["options"])) if "options" in found else ()
        if options:
            truths = (_chosen(truths[0], options),)
        reasoning = _texts(row.get(found["reasoning"])) if "reasoning" in found else ()
        thought = reasoning[0] if reasoning else ""  # of several people's, one
        return _Item(images, group, origin, question, truths, options, labels, reasoning=thought)

    def _captions(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The captions of a row that answers no question; one with a question lacks the answer."""
        found, form = self.columns.found, self.columns.form
        if "caption" not in found or _texts(row.get(found[form.truth])):
            return ()
        if found[form.truth] in row and _texts(row.get(found[form.asks])):
            return ()
        return _texts(row.get(found["caption"]))

    def _labels(self, row: Mapping[str, Any]) -> Mapping[str, str]:
        if not self.columns.kinds:
            return _NO_LABELS
        texts = ((name, _texts(row.get(name))) for name in self.columns.kinds)
        return {name: several[0] for name, several in texts if several}

    def _truths(self, cell: Any) -> tuple[str, ...]:
        form = self.columns.form
        names = self.classes.get(self.columns.found[form.truth], ())
        if names and isinstance(cell, int) and 0 <= cell < len(names):
            cell = names[cell]
        texts = _texts(cell)
        if not texts:
            raise Refused(f"no {form.truth}: it is empty")
        if len(texts) == 1 or form.truth == "caption":
            return texts  # several captions are as many truths
        return (Counter(texts).most_common(1)[0][0],)  # several answers are people who voted

    def _examples(self, items: Sequence[_Item]) -> list[Example]:
        form = self.columns.form
        if form.truth == "conversation":
            return [_example(item, item.turns, self.task or _task(item.turns)) for item in items]
        names, options = {}, ()
        if form.truth in ("label", "kind"):
            plain = (item for item in items if not (item.options or item.task))
            names = _label_names({item.truths[0] for item in plain}, asked=form.asks)
            options = tuple(sorted(set(names.values())))
        if form.asks and len(options) > MAX_OPTIONS:
            options = ()
        task = self.task or form.task
        asked = CLASS_QUESTION if form.task == "classify" else ""
        return [
            _example(
                item, _turns(item.question, truth, pictures=len(item.images)), item.task
            )
            if item.task
            else _example(
                item,
                _turns(
                    item.question or asked,
                    names.get(truth, truth),
                    item.reasoning,
                    pictures=len(item.images),
                ),
                task,
                options,
            )
            for item in items
            for truth in item.truths
        ]


def _example(item: _Item, turns: tuple[Turn, ...], task: str,
             options: tuple[str, ...] = ()) -> Example:  # fmt: skip
    images, turns = video.laid(item.images, turns)
    return Example(
        images,
        turns,
        item.origin,
        task=task,
        group=item.group,
        options=item.options or options,
        labels=item.labels,
    )


@lru_cache(maxsize=100_000)
def _turns(
    question: str, truth: str, reasoning: str = "", *, pictures: int = 1
) -> tuple[Turn, ...]:
    question, truth = question.replace(VIDEO, MARK), truth.replace(VIDEO, MARK)
    marks = question.count(MARK) + truth.count(MARK)
    make = shown if marks == pictures and among((question, truth)) else Turn
    asked = (make("user", question),) if question else ()
    return (*asked, make("assistant", truth, reasoning))


def _task(turns: Sequence[Turn]) -> str:
    asked = sum(turn.role == "user" for turn in turns)
    return ("caption", "vqa", "dialogue")[min(asked, 2)]


def _texts(cell: Any) -> tuple[str, ...]:
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
        return _texts(next((cell[key] for key in ("answer", "text", "raw") if key in cell), None))
    if isinstance(cell, (list, tuple)):
        return tuple(text for each in cell for text in _texts(each))
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


def _single(cell: Any, role: str) -> str:
    texts = _texts(cell)
    if len(texts) == 1:
        return texts[0]
    raise Refused(f"no {role}: it is empty" if not texts else f"{len(texts)} {role}s; expected 1")


def _options(cell: Any) -> tuple[str, ...]:
    return _texts(cell.split("|")) if isinstance(cell, str) else _texts(cell)


def _chosen(answer: str, options: Sequence[str]) -> str:
    """The option that the answer is, by its text, its letter or its number from 0."""
    if answer in options:
        return answer
    place = "ABCDEFGHIJ".find(answer.upper()) if len(answer) == 1 else -1
    if answer.isdecimal():
        place = int(answer)
    if 0 <= place < len(options):
        return options[place]
    raise Refused(f"the answer '{answer}' is none of the options {', '.join(options)}")


def _label_names(labels: set[str], *, asked: str) -> dict[str, str]:
    """Each label as text: truth values in one spelling, 0 and 1 under a statement as such."""
    if labels and {label.lower() for label in labels} <= {"true", "false"}:
        return {label: label.lower() for label in labels}
    if asked == "sentence" and labels and labels <= {"0", "1"}:
        return {label: ("false", "true")[int(label)] for label in labels}
    return {label: label for label in labels}
