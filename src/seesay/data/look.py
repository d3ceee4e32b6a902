"""Look: the pictures of an example as one visit shows them, and what is then said of them.

Shapes: N tiles, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seesay.data.augment import Change
from seesay.data.fit import Fit
from seesay.data.plan import Plan
from seesay.data.seen import Sight, View, retold
from seesay.records import Example


@dataclass(frozen=True, slots=True)
class Look:
    """How the pictures of some examples are shown: a plan for each, and one change of all."""

    fit: Fit
    plans: tuple[Plan, ...]
    change: Change = Change()

    def fitting(self, examples: Sequence[Example]) -> "Look":
        """With as much of the change as leaves true what the examples say."""
        return replace(self, change=self.change.fitting(examples, self.plans))

    @property
    def views(self) -> tuple[View, ...]:
        """How each picture is seen."""
        return self.change.views(self.plans, box_text=self.fit.box_text)

    @property
    def tokens(self) -> list[int]:
        """Of each picture."""
        return [plan.tokens for plan in self.plans]

    def told(self, example: Example) -> Example:
        """An example with what is true of its pictures as they are shown.

        Raises:
            DataError: as `seen.retold`.
        """
        turns, where = self.change.turns(example.turns), str(example.origin)
        turns = retold(turns, self.views, bare=example.task == "ground", where=where)
        return replace(example, turns=turns)

    @property
    def shown(self) -> tuple[Plan, ...]:
        """What becomes of each picture before it is cut: of a part of it, where a part is shown."""
        return tuple(self.change.plan(plan) for plan in self.plans)

    def sights(self, *examples: Example) -> tuple[Sight, ...]:
        """The same of each picture of these examples, for people to look at."""
        pairs = zip(self.shown, self.views, strict=True)
        return tuple(Sight(examples, i, plan, view) for i, (plan, view) in enumerate(pairs))

    def tiles(self, pixels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The tiles of each picture (N, H, W, 3), of its pixels, or of its frames'."""
        return [self.fit.cut(self.change.picture(each)) for each in pixels]
