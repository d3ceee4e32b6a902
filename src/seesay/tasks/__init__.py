"""Tasks: what is asked, how an answer is read, and how it is scored. One file a task.

A task is a module of the shape of `Task`; a new one is a file beside these and a line in `TASKS`.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from seesay.metrics.intervals import Measures
from seesay.records import Example, Turn
from seesay.tasks import caption, classify, dialogue, ground, match, moderate, retrieve, vqa


@runtime_checkable
class Task(Protocol):
    """What a file in this folder holds."""

    @property
    def ASK(self) -> tuple[str, ...]:
        """The Predictor's methods to ask by, the better one first: answer, choose, embed."""
        ...

    @property
    def SCORE(self) -> str:
        """The name of its headline score."""
        ...

    def once(self, examples: Sequence[Example], groups: Sequence[str]) -> list[int]:
        """Which examples to ask, by number."""
        ...

    def prompt(self, example: Example) -> tuple[Turn, ...]:
        """The turns to ask: the example's without the final assistant's."""
        ...

    def parse(self, text: str) -> str:
        """The answer in what a predictor said."""
        ...

    def score(
        self,
        outputs: Sequence[str],
        examples: Sequence[Example],
        *,
        references: Sequence[Sequence[str]] = (),
    ) -> Measures:
        """Named scores of parsed outputs, a row an example."""
        ...


TASKS: dict[str, Task] = {
    "caption": caption,
    "vqa": vqa,
    "dialogue": dialogue,
    "match": match,
    "classify": classify,
    "retrieve": retrieve,
    "moderate": moderate,
    "ground": ground,
}
