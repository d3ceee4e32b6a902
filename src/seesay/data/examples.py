"""Examples: the rows of a table whose columns are known -> examples, or why a row is broken."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from seesay.data import objects, video
from seesay.data.cells import chosen, options_in, text_in, texts_in
from seesay.data.columns import PLACES, Columns
from seesay.data.dialogue import MARK, VIDEO, among, shown, turns_of
from seesay.data.finder import MAX_NAMES, Finder, Refused, Shown
from seesay.data.images import size as size_of
from seesay.data.objects import Asked, Things
from seesay.data.store import Kept
from seesay.data.tables import Row
from seesay.errors import DataError, PictureError
from seesay.records import Example, Origin, Picture, Turn

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
class Item:
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
    things: Things = Things((), (0, 0))
    asked: tuple[Asked, ...] = ()  # what boxes answer, where they are the truth
    votes: tuple[str, ...] = ()

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """What it shows, for whom videos are nothing.

        Raises:
            DataError: it shows one.
        """
        found = [picture for picture in self.images if not isinstance(picture, tuple)]
        if len(found) < len(self.images):
            raise DataError(
                "a video: pictures alone are parted and written",
                where=str(self.origin),
                fix="part the table's rows by hand: videos are told apart by their names",
            )
        return tuple(found)


@dataclass(slots=True)
class Reader:
    """Turns rows into examples by what `columns` says they mean."""

    columns: Columns
    finder: Finder
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    task: str | None = None
    _sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def read(self, rows: Iterable[Row]) -> tuple[Sequence[Example], list[Broken], int]:
        """The examples, the broken rows, and how many rows there were."""
        kept, broken, number = Kept(), [], 0
        labels: set[str] = set()
        for origin, row in rows:
            number += 1
            try:
                item = self.item(origin, row)
            except Refused as why:
                broken.append(Broken(origin, str(why)))
                continue
            if self.labelled(item):
                labels.add(item.truths[0])
            for example in self.examples(item):
                kept.add(example)
        return kept.done(self.closed(labels).named if labels else None), broken, number

    def item(self, origin: Origin, row: Mapping[str, Any] | str) -> Item:
        """What a row says.

        Raises:
            Refused: why it is broken.
        """
        if isinstance(row, str):
            raise Refused(row)
        found, form = self.columns.found, self.columns.form
        images, group = self.finder.find(row.get(found["image"]))
        item = Item(images, group, origin, "", ("",), (), self._labels(row))
        item.things = self._things(row, item)
        if form.truth in PLACES:
            item.asked = self._asked(row, item.things)
            return item
        if form.truth == "conversation":
            item.turns = turns_of(row.get(found["conversation"]), num_pictures=len(images))
            return item
        if form.asks and (captions := self._captions(row)):
            item.question = "".join(texts_in(row.get(found[form.asks])))
            item.truths, item.task = captions, "caption"
            return item
        return self._answered(row, item)

    def _answered(self, row: Mapping[str, Any], item: Item) -> Item:
        found, form = self.columns.found, self.columns.form
        item.question = text_in(row.get(found[form.asks]), form.asks) if form.asks else ""
        item.truths, item.votes = self._truths(row.get(found[form.truth]))
        item.options = options_in(row.get(found["options"])) if "options" in found else ()
        if item.options:
            item.truths = (chosen(item.truths[0], item.options),)
        reasoning = texts_in(row.get(found["reasoning"])) if "reasoning" in found else ()
        item.reasoning = reasoning[0] if reasoning else ""  # of several people's, one
        return item

    def _things(self, row: Mapping[str, Any], item: Item) -> Things:
        """The boxes of a row, where its columns have any."""
        role = next((role for role in PLACES if role in self.columns.found), None)
        if role is None:
            return Things((), (0, 0))
        found, alone = self.columns.found, self.columns.form.truth == role
        name, labels = found[role], found.get("label", "") if alone else ""
        cell, label = row.get(name), self._named(labels, row.get(labels))
        if cell is None and not alone:
            return Things((), (0, 0))
        if len(item.images) != 1:
            raise Refused(f"boxes in {len(item.images)} pictures; expected 1")
        if isinstance(label, list):  # a column of boxes, and one of their labels
            cell, label = {"bbox": cell, "labels": label}, ""
        below = f"{name}."
        names = {k.removeprefix(below): v for k, v in self.classes.items() if k.startswith(below)}
        corners, texts = role == "corners", texts_in(label)
        size = self._size(item.images[0], item)
        own = texts[0] if texts else ""
        return objects.things(cell, size=size, corners=corners, label=own, names=names)

    def _size(self, picture: Shown, item: Item) -> tuple[int, int]:
        if isinstance(picture, tuple):
            raise Refused("boxes in a video, of no one frame; --map boxes= leaves them out")
        if item.group not in self._sizes:
            try:
                height, width = size_of(picture, where=str(item.origin))
                if len(self._sizes) >= MAX_NAMES:
                    self._sizes.clear()
                self._sizes[item.group] = width, height
            except PictureError as error:
                raise Refused(error.what) from None
        return self._sizes[item.group]

    def _asked(self, row: Mapping[str, Any], things: Things) -> tuple[Asked, ...]:
        """What is asked of boxes: where one is that a question names, or where and how many."""
        form = self.columns.form
        if not form.asks:
            asked = objects.asked(things)
            return tuple(each for each in asked if self.task in (None, each.task))
        if len(things.boxes) != 1:
            raise Refused(f"{len(things.boxes)} boxes; a question of where something is has 1")
        question = text_in(row.get(self.columns.found[form.asks]), form.asks)
        answer = objects.said(things.boxes[0], things.size)
        return (Asked("ground", question, answer, things.boxes),)

    def _captions(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The captions of a row that answers no question; one with a question lacks the answer."""
        found, form = self.columns.found, self.columns.form
        if "caption" not in found or texts_in(row.get(found[form.truth])):
            return ()
        if found[form.truth] in row and texts_in(row.get(found[form.asks])):
            return ()
        return texts_in(row.get(found["caption"]))

    def _labels(self, row: Mapping[str, Any]) -> Mapping[str, str]:
        if not self.columns.kinds:
            return _NO_LABELS
        texts = ((name, texts_in(row.get(name))) for name in self.columns.kinds)
        return {name: several[0] for name, several in texts if several}

    def _named(self, column: str, cell: Any) -> Any:
        """A class number, or a list of them, as names."""
        names = self.classes.get(column, ())
        if isinstance(cell, list):
            return [self._named(column, each) for each in cell]
        return names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else cell

    def _truths(self, cell: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is true, and what people voted for where several were asked."""
        form = self.columns.form
        texts = texts_in(self._named(self.columns.found[form.truth], cell))
        if not texts:
            raise Refused(f"no {form.truth}: it is empty")
        if len(texts) == 1 or form.truth == "caption":
            return texts, ()  # several captions are as many truths
        return (Counter(texts).most_common(1)[0][0],), texts if form.truth == "answer" else ()

    def labelled(self, item: Item) -> bool:
        """Whether its truth is a label of the closed set that all rows make."""
        return self.columns.form.truth in ("label", "kind") and not (item.options or item.task)

    def labels(self, rows: Iterable[Row]) -> set[str]:
        """The truths of rows that say nothing of what there is to choose among."""
        found, form, several = self.columns.found, self.columns.form, set()
        if form.truth not in ("label", "kind"):
            return several
        for _, row in rows:
            if isinstance(row, str):
                continue
            with suppress(Refused):
                if "options" not in found or not options_in(row.get(found["options"])):
                    several.add(self._truths(row.get(found[form.truth]))[0][0])
        return several

    def examples(self, item: Item) -> list[Example]:
        """An item's examples, one for each of its truths, before labels are named."""
        form, pictures = self.columns.form, len(item.images)
        if form.truth == "conversation":
            return [_example(item, item.turns, self.task or _task(item.turns))]
        if form.truth in PLACES:
            return [_of_boxes(item, each) for each in item.asked]
        if item.task:
            turns = [_turns(item.question, truth, pictures=pictures) for truth in item.truths]
            return [_example(item, each, item.task) for each in turns]
        asked = item.question or (CLASS_QUESTION if form.task == "classify" else "")
        turns = [_turns(asked, truth, item.reasoning, pictures=pictures) for truth in item.truths]
        return [_example(item, each, self.task or form.task) for each in turns]

    def closed(self, labels: set[str]) -> "Closed":
        """What labels are called, and the closed set that they make."""
        form = self.columns.form
        names = _label_names(labels, asked=form.asks)
        options = tuple(sorted(set(names.values())))
        if form.asks and len(options) > MAX_OPTIONS:
            options = ()
        return Closed(names, options, self.task or form.task)


@dataclass(frozen=True, slots=True)
class Closed:
    """The names of labels, and all of them to choose among, where they make a closed set."""

    names: Mapping[str, str]
    options: tuple[str, ...]
    task: str

    def named(self, example: Example) -> Example:
        """An example with its label's name, and all there is to choose among."""
        if example.task != self.task or example.options or not self.names:
            return example
        last = example.turns[-1]
        named = replace(last, text=self.names.get(last.text, last.text))
        return replace(example, turns=(*example.turns[:-1], named), options=self.options)


def _of_boxes(item: Item, asked: Asked) -> Example:
    turns = _turns(asked.question, asked.answer, pictures=len(item.images))
    return replace(_example(item, turns, asked.task), boxes=asked.boxes)


def _example(item: Item, turns: tuple[Turn, ...], task: str) -> Example:
    images, turns = video.laid(item.images, turns)
    return Example(
        images,
        turns,
        item.origin,
        task=task,
        group=item.group,
        options=item.options,
        labels=item.labels,
        boxes=item.things.boxes,
        votes=item.votes,
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


def _label_names(labels: set[str], *, asked: str) -> dict[str, str]:
    """Each label as text: truth values in one spelling, 0 and 1 under a statement as such."""
    if labels and {label.lower() for label in labels} <= {"true", "false"}:
        return {label: label.lower() for label in labels}
    if asked == "sentence" and labels and labels <= {"0", "1"}:
        return {label: ("false", "true")[int(label)] for label in labels}
    return {label: label for label in labels}
