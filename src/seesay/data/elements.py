"""Elements: the values in a JSON file, one at a time, however large the file is."""

import json
import re
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any

from seesay.errors import DataError

CHUNK = 1 << 20  # characters that are read at a time
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
# A number, a name or an escape that is cut ends within so many characters.
_TAIL = 16


class Elements:
    """Reads a file of JSON from its beginning; of its text, as much is held as one value takes."""

    def __init__(self, file: TextIOWrapper, path: str) -> None:
        self.file, self.path = file, path
        self.number = 0  # of the element of a list that is read, from 1
        self._text, self._at = "", 0
        # Lines before the text that is held, and characters: of the last of them, and of all.
        self._lines, self._column, self._before = 0, 0, 0

    def next(self) -> str:
        """The first character of what comes next, which is not taken; nothing at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The next value.

        Raises:
            DataError: it is not JSON; with the element, the line and the column.
        """
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not (self._is_cut(error) and self._more()):
                    raise self._wrong(error.msg, error.pos) from None
                continue
            except RecursionError as error:
                raise self._wrong(str(error), self._at) from None
            # A number may go on behind what is held.
            if end + _TAIL <= len(self._text) or not self._more():
                self._at = end
                return value

    def list(self) -> Iterator[Any]:
        """The values of the list that comes next and is all there is.

        Raises:
            DataError: as `value`.
        """
        self.next()
        self._at += 1
        more = self.next() != "]"
        while more:
            self.number += 1
            yield self.value()
            mark = self.next()
            if mark not in ("]", ","):
                raise self._wrong("Expecting ',' delimiter", self._at)
            more = mark == ","
            self._at += more
        self._at += 1
        if self.next():
            raise self._wrong("Extra data", self._at)

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether it may be all right with what comes next."""
        at_end = error.pos + _TAIL > len(self._text)
        return at_end or error.msg.startswith("Unterminated string")

    def _more(self) -> bool:
        """Read on, and let go of what has been read; False at the end of the file."""
        gone, rest = self._text[: self._at], self._text[self._at :]
        # Twice as much each time: a value that takes many readings is begun anew as few times.
        new = self.file.read(max(CHUNK, len(rest)))
        if not new:
            return False
        self._column = _column(gone, self._column)
        self._lines, self._before = self._lines + gone.count("\n"), self._before + len(gone)
        self._text, self._at = rest + new, 0
        return True

    def _wrong(self, why: str, at: int) -> DataError:
        before = self._text[:at]
        column, line = _column(before, self._column), self._lines + before.count("\n") + 1
        return DataError(
            f"not JSON: {why}: line {line} column {column + 1} (char {self._before + at})",
            where=f"{self.path}:{self.number}" if self.number else self.path,
            fix="write it again",
        )


def _column(text: str, before: int) -> int:
    """Characters of the last line, where so many of it came before this text."""
    return len(text) - text.rfind("\n") - 1 if "\n" in text else before + len(text)
