"""Asking: a test's examples, put to a predictor in batches of whole pictures."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from seesay.coordinates import SCALE, box_text
from seesay.data.shots import conversation
from seesay.errors import CapabilityError, DataError, SeesayError
from seesay.evaluate.embedding import Vectors
from seesay.evaluate.test import Reply, Sections, Test
from seesay.metrics.intervals import mean
from seesay.predict import Locator, Predictor, Prompt
from seesay.records import Box, Example, Picture
from seesay.tasks import moderate, prototypes

Progress = Callable[[int, int], None]
Instead = Mapping[str, tuple[Picture, ...]]  # group -> pictures to show in place of its own


@runtime_checkable
class Change(Protocol):
    """What a control makes of an example; its number and a seed say how the dice fall."""

    def __call__(self, example: Example, number: int, *, seed: int) -> Example: ...


_Anything = TypeVar("_Anything")

# What tells classes once it has seen some of each.
_LEARNED = {
    "mean": prototypes.means,
    "knn": prototypes.neighbours,
    "probe": prototypes.probe,
}


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
            or, with labelled examples in `how.dev`, `mean` (the nearest mean of a class), `knn`
            (the nearest pictures' votes) and `probe` (a linear probe). `locate`: by a box.
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
        self._begun: list[Reply] = []
        self._heads: dict[tuple[str, ...], prototypes.Head | prototypes.Neighbours] = {}

    def begin(self) -> tuple[list[Reply], Sections]:
        """Replies to every example, by the best way that model and examples allow."""
        replies = self._begun = self.first()
        return replies, [(self.test.measures(replies, self.test.index), self.test.index)]

    def again(self, index: Sequence[int], *, instead: Instead) -> Sections:
        """The same of the examples `index`, with the pictures `instead` has for their groups."""
        return [(self.test.measures(self.ask(index, instead=instead), index), index)]

    def behind(self, change: Change) -> Sections:
        """The same with the examples behind shots changed; nothing where there are none."""
        index = [i for i in self.test.index if self.test.examples[i].shots]
        if not index or self.way not in ("answer", "choose"):
            return []
        replies = list(self._begun)
        for i, reply in zip(index, self.ask(index, change=change), strict=True):
            replies[i] = reply
        return [(self.test.measures(replies, self.test.index), self.test.index)]

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
            if way not in ("answer", "locate") and not self.test.closed:
                continue
            self.way = way
            try:
                return self.ask(self.test.index)
            except CapabilityError as error:
                refused = refused if isinstance(refused, CapabilityError) else error
        raise refused

    def ask(
        self,
        index: Sequence[int],
        *,
        instead: Instead | None = None,
        change: Change | None = None,
    ) -> list[Reply]:
        """Replies to the examples `index`, with the pictures `instead` has for their groups."""
        replies: dict[int, Reply] = {}
        for some in batches(index, self.test.groups, size=self.batch):
            prompts = [self.prompt(i, instead, change=change) for i in some]
            replies |= zip(some, self._said(prompts, some), strict=True)
            self.meter.add(len(some))
        return [replies[i] for i in index]

    def prompt(
        self, i: int, instead: Instead | None = None, *, change: Change | None = None
    ) -> Prompt:
        """What is asked of one example, behind its shots where the model reads such."""
        example = self.test.examples[i]
        own = example.images
        example = replace(example, images=(instead or {}).get(self.test.groups[i], own))
        if change is not None:
            example = change(example, i, seed=self.test.seed)
        if self.way in ("answer", "choose"):
            example = conversation(example)
        # Other pictures' things are not where these are: those of a control, or of shots.
        boxes = regions(example) if example.images is own else ()
        return Prompt(example.images, self.test.task.prompt(example), boxes)

    def _said(self, prompts: Sequence[Prompt], index: Sequence[int]) -> list[Reply]:
        if self.way == "answer":
            return self._write(prompts)
        if self.way == "locate":
            return self._locate(prompts)
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

    def _locate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        assert isinstance(self.predictor, Locator)
        boxes = replies_to(prompts, self.predictor.locate(prompts))
        size = {"width": SCALE, "height": SCALE}
        return [Reply(box_text(box, **size) if box else "", box=box) for box in boxes]

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

    def _head(self, classes: tuple[str, ...]) -> prototypes.Head | prototypes.Neighbours:
        """What tells these classes by a picture's vector; found once."""
        if classes not in self._heads:
            self._heads[classes] = self._made(classes)
        return self._heads[classes]

    def _made(self, classes: tuple[str, ...]) -> prototypes.Head | prototypes.Neighbours:
        how, test = self.test.how, self.test
        if self.way == "embed":
            texts = prototypes.sentences(classes, how.templates)
            return prototypes.zero_shot(classes, [self.vectors.texts(several) for several in texts])
        shots = prototypes.shots(test.dev, classes, count=how.shots, seed=test.seed)
        pictures = [prototypes.single(e.images, where=str(e.origin)) for e in shots]
        labels = [example.answer for example in shots]
        return _LEARNED[self.way](classes, self.vectors.of(pictures), labels)

    def _likeliest(self, options: Sequence[str], chances: np.ndarray) -> Reply:
        chances = checked(chances, options)
        found = dict(zip(options, chances.tolist(), strict=True))
        text = options[int(chances.argmax())]
        if self.test.name == "moderate":
            text = moderate.decide(found, self.threshold)
        with np.errstate(divide="ignore"):
            return Reply(text, float(np.log(found[text])), chances=found)


def regions(example: Example) -> tuple[tuple[Box, ...], ...]:
    """Boxes around all there is in a drawn picture; of others nobody knows them."""
    if example.scene is None or not example.images:
        return ()
    from seesay import scenes

    found = scenes.regions(example)
    return (found,) if found else ()


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
