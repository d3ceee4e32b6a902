"""Budget: how much each run may take, in time, pictures, operations or steps."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from seesay.errors import RecipeError

Kind = Literal["time", "pictures", "flops", "steps"]

EXAMPLES = "5m, 90s, 1h; '100k pictures', 50000p; 2PFLOP, 1e15flops; '2000 steps'"

# Seconds in a unit of time, and how much a letter before a count says: the largest first.
TIMES = {"h": 3600, "m": 60, "s": 1}
SCALES = {"E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "": 1}
_LONG_TIMES = {"hour": "h", "hr": "h", "minute": "m", "min": "m", "second": "s", "sec": "s"}
_COUNTS: dict[str, Kind] = {
    "picture": "pictures",
    "sample": "pictures",
    "p": "pictures",
    "flop": "flops",
    "step": "steps",
}
_WRITTEN = re.compile(r"(\d[\d_,]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(.*)")


@dataclass(frozen=True, slots=True)
class Budget:
    """So many seconds, pictures, floating-point operations or steps."""

    kind: Kind
    amount: float

    def __str__(self) -> str:
        """As it can be read again: `5m`, `100k pictures`, `2 PFLOP`, `300 steps`."""
        if self.kind == "time":
            unit = next((unit for unit in TIMES if self.amount % TIMES[unit] == 0), "s")
            return f"{_written(self.amount / TIMES[unit])}{unit}"
        number, letter = _shortened(self.amount)
        return f"{number} {letter}FLOP" if self.kind == "flops" else f"{number}{letter} {self.kind}"

    @property
    def folder(self) -> str:
        """The name of a folder for it."""
        return str(self).replace(" ", "-")

    def share(self, part: float) -> "Budget":
        """A part of it; of pictures and steps, whole ones."""
        amount = self.amount * part
        whole = self.kind in ("pictures", "steps")
        return Budget(self.kind, float(max(1, round(amount))) if whole else amount)


def parse(text: str) -> Budget:
    """A budget as it is written: `5m`, `100k pictures`, `2PFLOP`, `2000 steps`.

    Raises:
        RecipeError: a number without a unit, an unknown unit, nothing at all or without end.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise _mend(f"'{text}' does not begin with a number")
    number = float(found[1].replace(",", "").replace("_", ""))
    kind, scale = _unit(found[2].strip(), text)
    amount = number * scale
    if not 0 < amount < math.inf:
        raise _mend(f"'{text}' is {'endless' if amount else 'nothing'}")
    if kind in ("pictures", "steps"):
        if not math.isclose(amount, round(amount), rel_tol=1e-9) or round(amount) < 1:
            raise _mend(f"'{text}' is {amount:g} {kind}, not a whole number of them")
        amount = float(round(amount))
    return Budget(kind, amount)


def parts(whole: Budget, points: int) -> list[Budget]:
    """The budgets of a curve, the smallest first: each twice the one before, the last the whole."""
    halves = [whole.share(0.5**power) for power in reversed(range(points))]
    return list(dict.fromkeys(halves))


def _unit(unit: str, text: str) -> tuple[Kind, float]:
    """What is counted, and how much of it one is."""
    if not unit:
        raise _mend(f"'{text}' has no unit")
    # A single letter means what it says in its own case: 5m is minutes, 5M might be millions.
    if unit in TIMES:
        return "time", TIMES[unit]
    word = unit.lower()
    if time := _LONG_TIMES.get(_singular(word)):
        return "time", TIMES[time]
    if kind := _COUNTS.get(_singular(word) if len(word) > 1 else unit):
        return kind, 1
    letter, rest = unit[0].replace("K", "k"), unit[1:].strip()
    kind = _COUNTS.get(_singular(rest.lower()) if len(rest) > 1 else rest)
    if letter in SCALES and kind is not None:
        return kind, SCALES[letter]
    raise _mend(f"'{text}' has an unknown unit, '{unit}'")


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 2 else word


def _shortened(amount: float) -> tuple[str, str]:
    """A count by the largest letter with which it is written exactly and shortly."""
    for letter, scale in SCALES.items():
        number = round(amount / scale, 3)
        if number >= 1 and number * scale == amount:
            return _written(number), letter
    return _written(amount), ""


def _written(number: float) -> str:
    return str(int(number)) if number == int(number) and number < 1e21 else repr(number)


def _mend(what: str) -> RecipeError:
    return RecipeError(what, where="--budget", fix=f"write one of these: {EXAMPLES}")
