"""Telling: what a row says -> a row that every layout can hold, and that is read the same again."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from seesay.data import columns as roles
from seesay.data.dialogue import messages
from seesay.data.examples import Closed, Item, Reader

# Role -> the column it is written in, where that is not its own name.
WRITTEN = {"conversation": "conversations"}
# Roles that are told anew; any other is passed on as it is.
TOLD = ("image", "question", "sentence", "answer", "label", "caption", "conversation", "options",
        "reasoning", "kind")  # fmt: skip


class Telling:
    """Rows as they are written: by their roles' names, and with what columns nobody reads say.

    A column that would be taken for something else among those names is left out: `lost` are such.
    `names` are those of a row, `wanted` what is to be read for it.

    talk: as conversations, whatever they are; `closed` is then what labels are called.
    """

    def __init__(self, reader: Reader, every: Sequence[str], *, talk: Closed | None = None) -> None:
        self.reader, self.columns, self.talk = reader, reader.columns, talk
        found = self.columns.found
        self.passed = {role: name for role, name in found.items() if role not in TOLD}
        self.kinds = {name: _kind(name) for name in self.columns.kinds}
        own = tuple(found) if talk is None else ("image", "conversation", *self.passed)
        names = (*(WRITTEN.get(role, role) for role in own), *self.kinds.values())
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
        also |= {role: raw.get(name) for role, name in self.passed.items()}
        also |= {name: _plain(raw.get(name)) for name in self.more}
        also = {name: value for name, value in also.items() if value is not None}
        return [said | also for said in self._said(item)]

    def _said(self, item: Item) -> list[dict[str, Any]]:
        pictures = len(item.images)
        if self.talk is not None:
            several = (e.turns for e in self.reader.examples(item, self.talk))
            return [{"conversations": messages(t, num_pictures=pictures)} for t in several]
        form = self.columns.form
        if form.truth == "conversation":
            return [{"conversations": messages(item.turns, num_pictures=pictures)}]
        said: dict[str, Any] = {form.asks: item.question} if form.asks and item.question else {}
        truths = item.truths[0] if len(item.truths) == 1 else list(item.truths)
        said["caption" if item.task else form.truth] = truths
        if item.options:
            said["options"] = list(item.options)
        if item.reasoning:
            said["reasoning"] = item.reasoning
        return [said]


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
