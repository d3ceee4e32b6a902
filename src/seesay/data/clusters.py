"""Clusters: things that belong together, where what is joined to one of them is joined to all."""

from array import array
from collections.abc import Iterable


class Clusters:
    """Numbered things in clusters that grow together (union-find, with paths halved)."""

    def __init__(self, count: int = 0) -> None:
        # Eight bytes a thing: there may be millions.
        self._above = array("q", range(count))

    def __len__(self) -> int:
        return len(self._above)

    def add(self) -> int:
        """One more thing, in a cluster of its own; its number."""
        self._above.append(len(self._above))
        return len(self._above) - 1

    def first(self, thing: int) -> int:
        """The first thing of the cluster that this one is in: what the cluster goes by."""
        above = self._above
        while above[thing] != thing:
            above[thing] = above[above[thing]]
            thing = above[thing]
        return thing

    def join(self, things: Iterable[int]) -> int:
        """Make the clusters of these things one; what it goes by.

        Raises:
            ValueError: of no things.
        """
        tops = {self.first(thing) for thing in things}
        first = min(tops)
        for top in tops:
            self._above[top] = first
        return first

    def marks(self) -> list[int]:
        """What each thing's cluster goes by."""
        return [self.first(thing) for thing in range(len(self._above))]
