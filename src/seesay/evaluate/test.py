"""Test: one task's examples, what is true of them, and the scores of what was said."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seesay.errors import DataError
from seesay.metrics.evaluation import Scores
from seesay.metrics.intervals import Measures, score
from seesay.predict import Predictor
from seesay.records import Box, Clip, Example, Frame, Picture, identity
from seesay.tasks import TASKS, ground, moderate

# Measures with a row for each of some examples, and which those are; the headline score's first.
Sections = Sequence[tuple[Measures, Sequence[int]]]

# A label with more values than this (a file's name, a measurement) is not a way to slice.
MAX_SLICES = 40


@dataclass(frozen=True, slots=True)
class How:
    """What a user may choose of how examples are asked.

    Args:
        templates: sentences with a `{}` for the class; classes are then told by embedding.
        dev: examples that may be learned from: the threshold of `moderate`, the classes' vectors.
        shots: how many examples of each class are taken from `dev`, by `seed`; 0: all of them. And
            how many are shown before one that is asked (`evaluate/shots.py`); 0: none.
        rerank: retrieval of a model that embeds: so many of the nearest are ranked anew by
            `choose`.
        nearest: a model whose vectors say which examples of `dev` are shown before one that is
            asked: those of the likest pictures; None: by lot.
        pool: retrieval of a model that can only choose: among so many pictures at most, since
            it takes the square of that many.
    """

    templates: tuple[str, ...] = ()
    dev: Sequence[Example] = ()
    shots: int = 0
    rerank: int = 0
    pool: int = 100
    nearest: Predictor | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What was said, as the task reads it, the natural log of its probability, its reasoning.

    `chances`: each option's probability, where one was chosen. `box`: where it is, in thousandths
    of the picture, where that was told.
    """

    text: str
    log_probability: float | None = None
    reasoning: str = ""
    chances: Mapping[str, float] = field(default_factory=dict)
    box: Box | None = None


class Test:
    """One task's examples: those to ask, which pictures they are on, and what is true of them."""

    def __init__(self, name: str, examples: Sequence[Example], how: How, *, seed: int):
        self.name, self.task, self.how, self.seed = name, TASKS[name], how, seed
        groups = [group_of(example, i) for i, example in enumerate(examples)]
        truths: dict[tuple[str, str], list[str]] = defaultdict(list)
        for example, group in zip(examples, groups, strict=True):
            truths[group, example.question].append(example.answer)
        asked = self.task.once(examples, groups)
        self.examples = [examples[i] for i in asked]
        self.groups: list[str] = [groups[i] for i in asked]
        self.references = [truths[groups[i], examples[i].question] for i in asked]
        self.index = list(range(len(asked)))
        self.closed = all(len(example.options) > 1 for example in self.examples)
        self.dev = [example for example in how.dev if example.task == name]
        _apart(self.examples, self.dev)

    def named(self, measure: str, ending: str, suffix: str) -> str:
        """A measure's name in full: `boxes_iou`, regressed, held out, is
        `boxes_regressed_iou_held_out`."""
        score = self.task.SCORE
        head = score if f"{measure}_".startswith(f"{score}_") else measure
        rest = measure.removeprefix(head).removeprefix("_")
        return "_".join(filter(None, (head, ending, rest, suffix)))

    def measures(self, replies: Sequence["Reply"], index: Sequence[int]) -> Measures:
        """The task's scores of what was replied, of the examples `index`."""
        examples = [self.examples[i] for i in index]
        references = [self.references[i] for i in index]
        texts = [reply.text for reply in replies]
        found = self.task.score(texts, examples, references=references)
        chances = [reply.chances for reply in replies]
        if self.name == "moderate" and all(chances):
            found = {**found, **moderate.ranked(chances, examples)}
        if self.name == "ground" and any(reply.box for reply in replies):
            found = ground.score_boxes([reply.box for reply in replies], examples)
        return found

    def scores(
        self, measures: Measures, index: Sequence[int], *, ending: str = "", suffix: str
    ) -> tuple[Scores, dict[str, Scores]]:
        """Measures with a row for each example of `index`, as scores of all and of each slice.

        `ending` says how it was asked and `suffix` what.
        A slice is without the scores that are not defined there: a recall where nothing is to find.
        """
        groups = [self.groups[i] for i in index]
        slices = _slices([self.examples[i].labels for i in index])
        whole, parts = {}, {}
        for plain, measure in measures.items():
            name = self.named(plain, ending, suffix)
            whole[name] = score(measure, groups, seed=self.seed, name=name)
            for label, rows in slices.items():
                some, taken = [groups[i] for i in rows], measure.take(rows)
                if not math.isnan(taken.value):
                    part = score(taken, some, seed=self.seed, name=f"{name}, {label}")
                    parts.setdefault(label, {})[name] = part
        return whole, parts


def _apart(examples: Sequence[Example], dev: Sequence[Example]) -> None:
    """What is learned from must not be measured on."""
    known = {fingerprint(example) for example in dev}
    shared = {own for example in examples if (own := fingerprint(example)) in known} if dev else ()
    if shared:
        raise DataError(
            f"{len(shared)} of the {len(known)} pictures to learn from are also measured on",
            where="dev",
            fix="leave them out of one of the two",
        )


def group_of(example: Example, number: int) -> str:
    """Which picture an example is on: its group, else the pictures themselves."""
    if example.group or not example.images:
        return example.group or f"#{number}"
    return fingerprint(example)


def fingerprint(example: Example) -> str:
    """What is equal for the same pictures, whatever their group is called."""
    digest = hashlib.sha256()
    for picture in example.images:
        digest.update(_identity(picture) + b"\0")
    return digest.hexdigest()


def _identity(picture: Picture) -> bytes:
    if isinstance(picture, Clip):
        return b"".join(map(_identity, picture.frames))
    if isinstance(picture, Frame):
        return _identity(picture.source) + f"\0{picture.at}\0{picture.time}".encode()
    if isinstance(picture, np.ndarray):
        return repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()
    return picture if isinstance(picture, bytes) else str(identity(picture)).encode()


def _slices(labels: Sequence[Mapping[str, str]]) -> dict[str, list[int]]:
    """`kind=count` -> the rows with that label, for labels of few values."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, own in enumerate(labels):
        for label, value in own.items():
            found[label][value].append(row)
    few = {label: rows for label, rows in found.items() if len(rows) <= MAX_SLICES}
    return {f"{label}={value}": few[label][value] for label in few for value in sorted(few[label])}
