"""Seen: pictures as they are shown to a model, and what texts say of boxes in terms of that.

In files, in what is asked and in what is told, boxes are of the picture itself, in thousandths of
its sides. What the model reads and says is of what it sees: margins, a part cut out, a mirror.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from seesay.coordinates import THOUSANDTHS, Scale, Sides, boxes_in, rewrite
from seesay.data.geometry import WHOLE, Affine, clipped
from seesay.data.plan import Plan
from seesay.errors import DataError
from seesay.records import Turn


@dataclass(frozen=True, slots=True)
class View:
    """A picture as it is shown: where things in it then lie.

    map: from shares of the picture to shares of what is shown, of which `part` is of the picture;
    around it are margins. given, told: how far the numbers reach of boxes in texts about the
    picture, and about what is shown; `decimals` of the latter.
    """

    map: Affine = Affine()
    part: Sides = WHOLE
    given: Scale = THOUSANDTHS
    told: Scale = THOUSANDTHS
    decimals: int = 0

    @classmethod
    def of(cls, plan: Plan, *, box_text: str, change: Affine | None = None) -> "View":
        """Of a plan, and of what is done to the canvas after it, in shares of that."""
        height, width = plan.canvas
        told = (float(width), float(height)) if box_text == "pixels" else THOUSANDTHS
        left, top, right, bottom = plan.content
        part = (left / width, top / height, right / width, bottom / height)
        if change is None:
            return cls(plan.shares, part, told=told)
        part = clipped(change.sides(part)) or WHOLE
        return cls(plan.shares.then(change), part, told=told)

    @property
    def is_plain(self) -> bool:
        """Whether boxes are said in it as they are of the picture itself."""
        return self == PLAIN

    def sides(self, sides: Sides) -> Sides | None:
        """A box of the picture in what is shown; None where nothing of it is."""
        return clipped(self.map.sides(sides), within=self.part)

    def tell(self, text: str, *, bare: bool = False, where: str = "") -> str:
        """A text about the picture in terms of what is shown.

        bare: four numbers without brackets are a box too.

        Raises:
            DataError: nothing of a box is shown.
        """

        def seen(sides: Sides) -> Sides:
            found = self.sides(sides)
            if found is None:
                raise DataError(
                    f"a box of '{text}' lies outside of what is shown of the picture",
                    where=where,
                    fix="write data.fit = 'pad' or 'stretch'",
                )
            return found

        how = {"of": self.given, "to": self.told, "decimals": self.decimals, "bare": bare}
        return rewrite(text, seen, **how)

    def read(self, text: str, *, bare: bool = False) -> str:
        """A text in terms of what is shown as one about the picture: the way back.

        What of a box lies on the margins is left out; of one that lies there alone, an edge is
        left.
        """
        back = self.map.inverse()

        def there(sides: Sides) -> Sides:
            left, top, right, bottom = (min(1.0, max(0.0, side)) for side in back.sides(sides))
            return left, top, right, bottom

        return rewrite(text, there, of=self.told, to=self.given, bare=bare)


PLAIN = View()


def retold(
    turns: Sequence[Turn], views: Sequence[View], *, bare: bool = False, where: str = ""
) -> tuple[Turn, ...]:
    """Turns whose boxes are said in terms of what is shown of their pictures.

    A box is of the picture shown last before it. bare: as `View.tell`.

    Raises:
        DataError: several were, which are not seen alike; or nothing of a box is shown.
    """
    if all(view.is_plain for view in views):
        return tuple(turns)
    shown = _Shown(turns, views, bare=bare, where=where)
    return tuple(shown.turn(turn) for turn in turns)


class _Shown:
    """Which pictures were shown last, as turns go by."""

    def __init__(
        self, turns: Sequence[Turn], views: Sequence[View], *, bare: bool, where: str
    ) -> None:
        # Who shows more than there are is told so elsewhere.
        front = max(0, len(views) - sum(len(turn.pictures) for turn in turns))
        self.current, self.left = list(views[:front]), list(views[front:])
        self.bare, self.where = bare, where

    def turn(self, turn: Turn) -> Turn:
        """A turn retold."""
        cuts = (0, *turn.pictures, len(turn.text))
        pieces = [turn.text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
        said, reasoning = [], turn.reasoning
        for i, piece in enumerate(pieces):
            if i:
                # Those shown side by side are shown together.
                beside = i > 1 and not pieces[i - 1]
                self.current = [*(self.current if beside else []), *self.left[:1]]
                del self.left[:1]
            if turn.pictures.count(0) == i:  # the reasoning stands before the first words
                reasoning = self.text(turn.reasoning)
            said.append(self.text(piece))
        places = tuple(accumulate(len(piece) for piece in said[:-1]))
        return replace(turn, text="".join(said), reasoning=reasoning, pictures=places)

    def text(self, text: str) -> str:
        """A text after the pictures shown so far."""
        several = any(view != self.current[0] for view in self.current)
        if several and any(boxes_in(text, of=v.given, bare=self.bare) for v in self.current):
            raise DataError(
                f"'{text}' says a box after {len(self.current)} pictures that are each shown in a "
                "way of their own, and not of which it is",
                where=self.where,
                fix="show each picture before what is said of it, or write data.fit = 'stretch', "
                "data.tiles = 1 and data.box_text = 'thousandths'",
            )
        if not self.current or several:
            return text
        return self.current[0].tell(text, bare=self.bare, where=self.where)
