"""Asking: one task's examples, put to a predictor in batches of whole pictures."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from seesay.errors import CapabilityError, DataError, SeesayError
from seesay.evaluate.embedding import Vectors
from seesay.metrics.evaluation import Scores
from seesay.metrics.intervals import Measures, mean, score
from seesay.predict import Predictor, Prompt
from seesay.records import Example, Picture
from seesay.tasks import TASKS, moderate, prototypes

Progress = Callable[[int, int], None]
Instead = Mapping[str, tuple[Picture, ...]]  # group -> pictures to show in place of its own
# Measures with a row for each of some examples, and which those are; the headline score's first.
Sections = Sequence[tuple[Measures, Sequence[int]]]

# A label with more values than this (a file's name, a measurement) is not a way to slice.
MAX_SLICES = 40

_Anything = TypeVar("_Anything")


@dataclass(frozen=True, slots=True)
class How:
    """What a user may choose of how examples are asked.

    Args:
        templates: sentences with a `{}` for the class; classes are then told by embedding.
        dev: examples that may be learned from: the threshold of `moderate`, the classes' vectors.
        shots: how many examples of each class are taken from `dev`, by `seed`; 0: all of them.
        rerank: retrieval of a model that embeds: so many of the nearest are ranked anew by
            `choose`.
        pool: retrieval of a model that can only choose: among so many pictures at most, since
            it takes the square of that many.
    """

    templates: tuple[str, ...] = ()
    dev: Sequence[Example] = ()
    shots: int = 0
    rerank: int = 0
    pool: int = 100


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

    def measures(self, replies: Sequence["Reply"], index: Sequence[int]) -> Measures:
        """The task's scores of what was replied, of the examples `index`."""
        examples = [self.examples[i] for i in index]
        references = [self.references[i] for i in index]
        texts = [reply.text for reply in replies]
        found = self.task.score(texts, examples, references=references)
        chances = [reply.chances for reply in replies]
        if self.name == "moderate" and all(chances):
            found = {**found, **moderate.ranked(chances, examples)}
        return found

    def scores(
        self, measures: Measures, index: Sequence[int], *, suffix: str
    ) -> tuple[Scores, dict[str, Scores]]:
        """Measures with a row for each example of `index`, as scores of all and of each slice.

        A slice is without the scores that are not defined there: a recall where nothing is to find.
        """
        groups = [self.groups[i] for i in index]
        slices = _slices([self.examples[i].labels for i in index])
        whole, parts = {}, {}
        for plain, measure in measures.items():
            name = f"{plain}_{suffix}" if suffix else plain
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
    if isinstance(picture, np.ndarray):
        return repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()
    return picture if isinstance(picture, bytes) else str(picture).encode()


def _slices(labels: Sequence[Mapping[str, str]]) -> dict[str, list[int]]:
    """`kind=count` -> the rows with that label, for labels of few values."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, own in enumerate(labels):
        for label, value in own.items():
            found[label][value].append(row)
    few = {label: rows for label, rows in found.items() if len(rows) <= MAX_SLICES}
    return {f"{label}={value}": few[label][value] for label in few for value in sorted(few[label])}


@dataclass(frozen=True, slots=True)
class Reply:
    """What was said, as the task reads it, the natural log of its probability, its reasoning.

    `chances`: each option's probability, where one was chosen.
    """

    text: str
    log_probability: float | None = None
    reasoning: str = ""
    chances: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Meter:
    """How many examples are asked, of how many."""

    total: int
    progress: Progress | None
    done: int = 0

    def add(self, count: int) -> None:
        """So many more are asked."""
        self.done += count
        if self.progress:
            self.progress(min(self.done, self.total), self.total)

    def end(self) -> None:
        """Tasks skipped and pictures without another to swap with were never asked."""
        self.add(max(0, self.total - self.done))


class Asker:
    """Asks a test's examples of a predictor, in batches of whole pictures.

    Args:
        ways: how, the best first. `answer`, `choose`, `embed` (the class whose text is nearest),
            or, with labelled examples in `how.dev`, `mean` (the nearest mean of a class) and
            `probe` (a linear probe).
    """

    def __init__(
        self,
        predictor: Predictor,
        test: Test,
        vectors: Vectors,
        *,
        batch: int,
        meter: Meter,
        ways: Sequence[str],
    ):
        self.predictor, self.test, self.vectors = predictor, test, vectors
        self.batch, self.meter, self.ways = batch, meter, ways
        self.way, self.threshold = "", 0.5
        self.notes: dict[str, str] = {}
        self._heads: dict[tuple[str, ...], prototypes.Head] = {}

    def begin(self) -> tuple[list[Reply], Sections]:
        """Replies to every example, by the best way that model and examples allow."""
        replies = self.first()
        return replies, [(self.test.measures(replies, self.test.index), self.test.index)]

    def again(self, index: Sequence[int], *, instead: Instead) -> Sections:
        """The same of the examples `index`, with the pictures `instead` has for their groups."""
        return [(self.test.measures(self.ask(index, instead=instead), index), index)]

    def chances(self) -> Sections:
        """What drawing one of the options by lot would give, where all have options."""
        if not self.test.closed:
            return []
        chances = [1 / len(example.options) for example in self.test.examples]
        return [({self.test.task.SCORE: mean(chances)}, self.test.index)]

    def first(self) -> list[Reply]:
        """Replies to every example; the way that is found stays."""
        refused: SeesayError = _no_options(self.test)
        for way in self.ways:
            if way != "answer" and not self.test.closed:
                continue
            self.way = way
            try:
                return self.ask(self.test.index)
            except CapabilityError as error:
                refused = refused if isinstance(refused, CapabilityError) else error
        raise refused

    def ask(self, index: Sequence[int], *, instead: Instead | None = None) -> list[Reply]:
        """Replies to the examples `index`, with the pictures `instead` has for their groups."""
        replies: dict[int, Reply] = {}
        for some in batches(index, self.test.groups, size=self.batch):
            prompts = [self.prompt(i, instead) for i in some]
            replies |= zip(some, self._said(prompts, some), strict=True)
            self.meter.add(len(some))
        return [replies[i] for i in index]

    def prompt(self, i: int, instead: Instead | None = None) -> Prompt:
        """What is asked of one example."""
        example = self.test.examples[i]
        pictures = (instead or {}).get(self.test.groups[i], example.images)
        return Prompt(pictures, self.test.task.prompt(example))

    def _said(self, prompts: Sequence[Prompt], index: Sequence[int]) -> list[Reply]:
        if self.way == "answer":
            return self._write(prompts)
        options = [shuffled(self.test.examples[i], seed=(self.test.seed, i)) for i in index]
        chances = (
            replies_to(prompts, self.predictor.choose(prompts, options))
            if self.way == "choose"
            else self._embed(prompts, options)
        )
        return [self._likeliest(*pair) for pair in zip(options, chances, strict=True)]

    def _write(self, prompts: Sequence[Prompt]) -> list[Reply]:
        answers = replies_to(prompts, self.predictor.answer(prompts))
        parse = self.test.task.parse
        return [Reply(parse(a.text), _total(a.log_probabilities), a.reasoning) for a in answers]

    def _embed(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        """Probabilities of classes, by where the picture lies among their vectors."""
        where = str(self.test.examples[0].origin)
        found = self.vectors.of([prototypes.single(p.images, where=where) for p in prompts])
        return [
            self._head(tuple(sorted(own))).chances(vector, order=own)
            for own, vector in zip(options, found, strict=True)
        ]

    def _head(self, classes: tuple[str, ...]) -> prototypes.Head:
        """What tells these classes by a picture's vector; found once."""
        if classes not in self._heads:
            self._heads[classes] = self._made(classes)
        return self._heads[classes]

    def _made(self, classes: tuple[str, ...]) -> prototypes.Head:
        how, test = self.test.how, self.test
        if self.way == "embed":
            texts = prototypes.sentences(classes, how.templates)
            return prototypes.zero_shot(classes, [self.vectors.texts(several) for several in texts])
        shots = prototypes.shots(test.dev, classes, count=how.shots, seed=test.seed)
        pictures = [prototypes.single(e.images, where=str(e.origin)) for e in shots]
        make = prototypes.means if self.way == "mean" else prototypes.probe
        return make(classes, self.vectors.of(pictures), [example.answer for example in shots])

    def _likeliest(self, options: Sequence[str], chances: np.ndarray) -> Reply:
        chances = checked(chances, options)
        found = dict(zip(options, chances.tolist(), strict=True))
        text = options[int(chances.argmax())]
        if self.test.name == "moderate":
            text = moderate.decide(found, self.threshold)
        with np.errstate(divide="ignore"):
            return Reply(text, float(np.log(found[text])), chances=found)


def checked(chances: np.ndarray, options: Sequence[str]) -> np.ndarray:
    """Probabilities of options, once they are what they should be."""
    chances = np.asarray(chances, dtype=float)
    if chances.shape != (len(options),):
        what = f"probabilities of shape {chances.shape} for {len(options)} options"
        raise SeesayError(f"the predictor gave {what}")
    if not (np.isfinite(chances).all() and abs(chances.sum() - 1) < 1e-3):
        raise SeesayError(f"the predictor's probabilities sum to {chances.sum()}, not 1")
    return chances


def replies_to(prompts: Sequence[Prompt], replies: Sequence[_Anything]) -> Sequence[_Anything]:
    """The replies, once there is one for each prompt."""
    if len(replies) != len(prompts):
        raise SeesayError(f"the predictor gave {len(replies)} replies to {len(prompts)} prompts")
    return replies


def shuffled(example: Example, *, seed: tuple[int, int]) -> list[str]:
    """An example's options, in an order that tells nothing."""
    options = example.options
    if len(set(options)) < len(options):
        what = f"{len(options)} options, of which only {len(set(options))} differ"
        raise DataError(what, where=str(example.origin))
    # In the order of the file the right one may always come first: no eyes would be needed.
    return [options[j] for j in np.random.default_rng(seed).permutation(len(options))]


def batches(index: Iterable[int], groups: Sequence[str], *, size: int) -> Iterator[list[int]]:
    """Examples in batches of at most `size`, those of one group together wherever they fit."""
    together: dict[str, list[int]] = defaultdict(list)
    for i in index:
        together[groups[i]].append(i)
    batch: list[int] = []
    for group in together.values():
        if batch and len(batch) + len(group) > size:
            yield batch
            batch = []
        batch = batch + group
        while len(batch) > size:
            yield batch[:size]
            batch = batch[size:]
    if batch:
        yield batch


def _no_options(test: Test) -> DataError:
    bare = next((e for e in test.examples if len(e.options) < 2), test.examples[0])
    what = f"{len(bare.options)} options to choose among; the task {bare.task} needs 2 or more"
    return DataError(what, where=str(bare.origin))


def _total(log_probabilities: Sequence[float]) -> float | None:
    if not log_probabilities:
        return None
    total = float(sum(log_probabilities))
    if math.isnan(total):
        raise SeesayError("the predictor gave NaN as an answer's log-probability")
    return total
