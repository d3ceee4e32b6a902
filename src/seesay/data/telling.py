"""Telling: what a row says -> a row that every layout can hold, and that is read the same again."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from seesay.data import columns as roles
from seesay.data import objects
from seesay.data.dialogue import messages
from seesay.data.examples import Closed, Item, Reader

# Role -> the column it is written in, where that is not its own name. Boxes of either kind are
# told alike, with their labels.
WRITTEN = {"conversation": "conversations", "boxes": "objects", "corners": "objects"}


class Telling:
    """Rows as they are written: by their roles' names, and with what columns nobody reads say.

    A column that would be taken for something else among those names is left out: `lost` are such.
    `names` are those of a row, `wanted` what is to be read for it.

    talk: as conversations, whatever they are; `closed` is then what labels are called.
    """

    def __init__(self, reader: Reader, every: Sequence[str], *, talk: Closed | None = None) -> None:
        self.reader, self.columns, self.talk = reader, reader.columns, talk
        found = self.columns.found
        # What boxes alone are asked for, their labels say.
        self.placed = self.columns.form.truth in roles.PLACES
        self.kinds = {name: _kind(name) for name in self.columns.kinds}
        own = [WRITTEN.get(role, role) for role in found if not (self.placed and role == "label")]
        # A column of labels that is there keeps slices from being taken for one.
        self.label = _label(found.get("label", "")) if self.placed and self.kinds else ""
        if talk is not None:
            own = ["image", "conversations", *(["objects"] if "objects" in own else [])]
        elif self.label:
            own.append(self.label)
        names = (*own, *self.kinds.values())
        self.more, self.lost = self._more(names, every)
        self.names = tuple(dict.fromkeys((*names, *self.more)))[1:]  # all but the picture's
        self.wanted = (*self.columns.wanted, *self.more)

    def _more(self, own: Sequence[str], every: Sequence[str]) -> tuple[list[str], list[str]]:
        """The columns that nobody reads, nor would among these names; and the others."""
        plain, more, lost = roles.find(own), [], []
        for name in every:
            if name in self.columns.wanted:
                continue
            kept = name not in own and roles.find((*own, *more, name)) == plain
            (more if kept else lost).append(name)
        return more, lost

    def rows(self, item: Item, raw: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A row without its pictures; as conversations, one for each of its captions."""
        also = {self.kinds[name]: text for name, text in item.labels.items()}
        also |= {name: _plain(raw.get(name)) for name in self.more}
        also = {name: value for name, value in also.items() if value is not None}
        return [said | also for said in self._said(item)]

    def _said(self, item: Item) -> list[dict[str, Any]]:
        if self.talk is None:
            return [self._as_read(item) | self._objects(item.things)]
        made = []
        for example in map(self.talk.named, self.reader.examples(item)):
            talk = messages(example.turns, num_pictures=len(item.images))
            own = objects.Things(example.boxes, item.things.size)
            made.append({"conversations": talk} | self._objects(own))
        return made

    def _objects(self, things: objects.Things) -> dict[str, Any]:
        """The column of boxes, where there are any."""
        return {WRITTEN["boxes"]: objects.cell(things)} if things.boxes or self.placed else {}

    def _as_read(self, item: Item) -> dict[str, Any]:
        form = self.columns.form
        if self.placed:
            asked = {form.asks: item.asked[0].question} if form.asks else {}
            return asked | ({self.label: ""} if self.label else {})
        if form.truth == "conversation":
            return {"conversations": messages(item.turns, num_pictures=len(item.images))}
        said: dict[str, Any] = {form.asks: item.question} if form.asks and item.question else {}
        # What several people answered tells what most of them did.
        truths = item.votes or item.truths
        said["caption" if item.task else form.truth] = truths[0] if len(truths) == 1 else [*truths]
        if item.options:
            said["options"] = list(item.options)
        if item.reasoning:
            said["reasoning"] = item.reasoning
        return said


def _label(name: str) -> str:
    """The column of labels, by a name that is taken for one beside boxes."""
    return name if roles.plain(name) in roles.ROLES["kind"] else "label"


def _kind(name: str) -> str:
    """A slice's column, by a name that says so."""
    return name if roles.plain(name) in roles.ROLES["kind"] else "kind"


def _plain(value: Any) -> Any:
    """A value as JSON has it; None for bytes and what is no number."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return None if isinstance(value, (bytes, bytearray)) else str(value)
