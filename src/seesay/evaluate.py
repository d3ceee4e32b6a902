"""Evaluate: a predictor x examples -> scores with 95 % intervals, slices and blind controls."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from seesay.data import images
from seesay.errors import CapabilityError, DataError, SeesayError, nearest
from seesay.metrics import controls as blind
from seesay.metrics.evaluation import Evaluation, Record, Scores, merge
from seesay.metrics.intervals import Measure, Score, mean, score
from seesay.predict import Predictor, Prompt
from seesay.records import Example, Picture
from seesay.tasks import TASKS, Task

__all__ = ["CONTROLS", "Evaluation", "Progress", "Record", "Score", "evaluate", "merge"]

CONTROLS = ("blank", "shuffled", "question")
Progress = Callable[[int, int], None]

# A label with more values than this (a file's name, a measurement) is not a way to slice.
MAX_SLICES = 40

_Anything = TypeVar("_Anything")


def evaluate(
    predictor: Predictor,
    examples: Sequence[Example],
    *,
    controls: Sequence[str] = CONTROLS,
    batch: int = 64,
    seed: int = 0,
    suffix: str = "",
    keep: int = 24,
    command: str = "",
    progress: Progress | None = None,
) -> Evaluation:
    """Ask every example, score the answers, and do the same without looking.

    Examples of one picture are asked together, so that it can be encoded once. Controls: `blank`,
    every picture replaced by a mid-grey one of its size; `shuffled`, every group given another
    group's pictures; `question`, the majority answer to the question's exact text among the other
    pictures (`metrics.controls.question_alone`: nothing is learned); and, wherever all of a task's
    examples have options, `chance`. Options to choose among are shuffled, by `seed`.

    Args:
        controls: those to run besides `chance`; `blank` and `shuffled` each ask everything again.
        batch: how many examples are asked at once; a picture with more of them is split.
        suffix: `held_out` makes `answers` into `answers_held_out`, to be merged with others.
        keep: how many right and how many wrong examples of each score to keep in `records`.
        command: the command that makes these scores, for the report.
        progress: called after each batch with how many are asked and how many there are to ask.

    Raises:
        DataError: no examples, an unknown task, or options missing where they are needed.
        CapabilityError: the model can do none of the tasks. One of several is noted in `skipped`.
        SeesayError: a predictor that answers too few, too many, or with NaN.
    """
    if unknown := [name for name in controls if name not in CONTROLS]:
        raise SeesayError(f"unknown control '{unknown[0]}'", fix=nearest(unknown[0], CONTROLS))
    tests = [_Test(TASKS[name], part, seed=seed) for name, part in _by_task(examples).items()]
    rounds = 1 + len(set(controls) - {"question"})
    meter = _Meter(rounds * sum(len(test.examples) for test in tests), progress)
    parts, refused = [], {}
    for test in tests:
        asker = _Asker(predictor, test, batch=batch, meter=meter)
        try:
            parts.append(_run(test, asker, controls, suffix=suffix, keep=keep))
        except CapabilityError as error:
            refused[test.examples[0].task] = error
    if not parts:
        raise next(iter(refused.values()))
    meter.end()
    skipped = {name: str(error) for name, error in refused.items()}
    return replace(merge(parts), skipped=skipped, command=command)


def _by_task(examples: Sequence[Example]) -> dict[str, list[Example]]:
    if not len(examples):
        raise DataError("0 examples to evaluate on", fix="give a data set with at least one row")
    parts: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.task not in TASKS:
            fix = nearest(example.task, list(TASKS))
            raise DataError(f"unknown task '{example.task}'", where=str(example.origin), fix=fix)
        parts[example.task].append(example)
    return parts


class _Test:
    """One task's examples: those to ask, which pictures they are on, and what is true of them."""

    def __init__(self, task: Task, examples: Sequence[Example], *, seed: int):
        groups = [_group(example, i) for i, example in enumerate(examples)]
        truths: dict[tuple[str, str], list[str]] = defaultdict(list)
        for example, group in zip(examples, groups, strict=True):
            truths[group, example.question].append(example.answer)
        asked = task.once(examples, groups)
        self.task, self.seed = task, seed
        self.examples = [examples[i] for i in asked]
        self.groups: list[str] = [groups[i] for i in asked]
        self.references = [truths[groups[i], examples[i].question] for i in asked]
        self.index = list(range(len(asked)))
        self.closed = all(len(example.options) > 1 for example in self.examples)

    def measures(self, texts: Sequence[str], index: Sequence[int]) -> dict[str, Measure]:
        """The task's scores of `texts`, said of the examples `index`."""
        examples = [self.examples[i] for i in index]
        references = [self.references[i] for i in index]
        return self.task.score(texts, examples, references=references)

    def scores(
        self, measures: Mapping[str, Measure], index: Sequence[int], *, suffix: str
    ) -> tuple[Scores, dict[str, Scores]]:
        """Measures with a row for each example of `index`, as scores of all and of each slice."""
        groups = [self.groups[i] for i in index]
        slices = _slices([self.examples[i].labels for i in index])
        whole, parts = {}, {}
        for plain, measure in measures.items():
            name = f"{plain}_{suffix}" if suffix else plain
            whole[name] = score(measure, groups, seed=self.seed, name=name)
            for label, rows in slices.items():
                some = [groups[i] for i in rows]
                part = score(measure.take(rows), some, seed=self.seed, name=f"{name}, {label}")
                parts.setdefault(label, {})[name] = part
        return whole, parts


def _group(example: Example, number: int) -> str:
    """Which picture an example is on: its group, else the pictures themselves."""
    if example.group or not example.images:
        return example.group or f"#{number}"
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


def _run(
    test: _Test, asker: "_Asker", controls: Sequence[str], *, suffix: str, keep: int
) -> Evaluation:
    replies = asker.begin()
    measures = test.measures([reply.text for reply in replies], test.index)
    scores, slices = test.scores(measures, test.index, suffix=suffix)
    result = Evaluation(scores=scores, slices=slices)
    for control, blind_measures, index in _controls(test, asker, controls):
        ending = f"{suffix}_{control}" if suffix else control
        whole, parts = test.scores(blind_measures, index, suffix=ending)
        result.controls.update(whole)
        for label, part in parts.items():
            result.slice_controls.setdefault(label, {}).update(part)
    right = measures[test.task.SCORE].rows[:, 0] > 0
    name = f"{test.task.SCORE}_{suffix}" if suffix else test.task.SCORE
    chosen = _sample(right, test.groups, keep=keep, seed=test.seed)
    records = (_record(test, i, replies[i], name=name, right=bool(right[i])) for i in chosen)
    return replace(result, records=tuple(records))


def _controls(
    test: _Test, asker: "_Asker", controls: Sequence[str]
) -> Iterator[tuple[str, dict[str, Measure], Sequence[int]]]:
    """Each control's name, measures, and the examples it covers."""
    for control in controls:
        if control == "question":
            if test.task is not TASKS["match"]:  # There the question is the same for every picture.
                yield control, test.measures(_guesses(test), test.index), test.index
            continue
        pictures = _blanked(test) if control == "blank" else _shuffled(test)
        if index := [i for i in test.index if test.groups[i] in pictures]:
            texts = [reply.text for reply in asker.ask(index, instead=pictures)]
            yield control, test.measures(texts, index), index
    if test.closed:
        chances = [1 / len(example.options) for example in test.examples]
        yield "chance", {test.task.SCORE: mean(chances)}, test.index


def _guesses(test: _Test) -> list[str]:
    questions = [example.question for example in test.examples]
    answers = [example.answer for example in test.examples]
    options = [example.options for example in test.examples]
    return blind.question_alone(questions, answers, test.groups, options=options)


def _blanked(test: _Test) -> dict[str, tuple[Picture, ...]]:
    greys: dict[tuple[int, int], np.ndarray] = {}

    def grey(picture: Picture, where: str) -> np.ndarray:
        width, height = images.load(picture, where=where).size
        return greys.setdefault((height, width), blind.blank(height, width))

    pictures = zip(test.groups, test.examples, strict=True)
    return {
        group: tuple(grey(picture, str(example.origin)) for picture in example.images)
        for group, example in dict(pictures).items()
    }


def _shuffled(test: _Test) -> dict[str, tuple[Picture, ...]]:
    pictures = {g: e.images for g, e in zip(test.groups, test.examples, strict=True)}
    counts = {group: len(several) for group, several in pictures.items()}
    instead = blind.shuffled(counts, seed=test.seed)
    return {group: pictures[other] for group, other in instead.items()}


@dataclass(frozen=True, slots=True)
class _Reply:
    """What was said, as the task reads it, the natural log of its probability, its reasoning."""

    text: str
    log_probability: float | None = None
    reasoning: str = ""


@dataclass(slots=True)
class _Meter:
    total: int
    progress: Progress | None
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        if self.progress:
            self.progress(min(self.done, self.total), self.total)

    def end(self) -> None:
        """Tasks skipped and pictures without another to swap with were never asked."""
        self.add(max(0, self.total - self.done))


class _Asker:
    """Asks a test's examples of a predictor, in batches of whole pictures."""

    def __init__(self, predictor: Predictor, test: _Test, *, batch: int, meter: _Meter):
        self.predictor, self.test, self.batch, self.meter = predictor, test, batch, meter
        self.way = ""

    def begin(self) -> list[_Reply]:
        """Replies to every example, by the task's best way that model and examples allow."""
        refused: SeesayError = _no_options(self.test)
        for way in self.test.task.ASK:
            if way == "choose" and not self.test.closed:
                continue
            self.way = way
            try:
                return self.ask(self.test.index)
            except CapabilityError as error:
                refused = refused if isinstance(refused, CapabilityError) else error
        raise refused

    def ask(
        self, index: Sequence[int], *, instead: Mapping[str, tuple[Picture, ...]] | None = None
    ) -> list[_Reply]:
        """Replies to the examples `index`, with the pictures `instead` has for their groups."""
        replies: dict[int, _Reply] = {}
        for some in _batches(index, self.test.groups, size=self.batch):
            prompts = [self._prompt(i, instead or {}) for i in some]
            said = self._write(prompts) if self.way == "answer" else self._choose(prompts, some)
            replies |= zip(some, said, strict=True)
            self.meter.add(len(some))
        return [replies[i] for i in index]

    def _prompt(self, i: int, instead: Mapping[str, tuple[Picture, ...]]) -> Prompt:
        example = self.test.examples[i]
        pictures = instead.get(self.test.groups[i], example.images)
        return Prompt(pictures, self.test.task.prompt(example))

    def _write(self, prompts: Sequence[Prompt]) -> list[_Reply]:
        answers = _all(self.predictor.answer(prompts), prompts)
        parse = self.test.task.parse
        return [_Reply(parse(a.text), _total(a.log_probabilities), a.reasoning) for a in answers]

    def _choose(self, prompts: Sequence[Prompt], index: Sequence[int]) -> list[_Reply]:
        options = [_options(self.test.examples[i], seed=(self.test.seed, i)) for i in index]
        chances = _all(self.predictor.choose(prompts, options), prompts)
        return [_likeliest(*pair) for pair in zip(options, chances, strict=True)]


def _no_options(test: _Test) -> DataError:
    bare = next((e for e in test.examples if len(e.options) < 2), test.examples[0])
    what = f"{len(bare.options)} options to choose among; the task {bare.task} needs 2 or more"
    return DataError(what, where=str(bare.origin))


def _batches(index: Iterable[int], groups: Sequence[str], *, size: int) -> Iterator[list[int]]:
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


def _all(replies: Sequence[_Anything], prompts: Sequence[Prompt]) -> Sequence[_Anything]:
    if len(replies) != len(prompts):
        raise SeesayError(f"the predictor gave {len(replies)} replies to {len(prompts)} prompts")
    return replies


def _total(log_probabilities: Sequence[float]) -> float | None:
    if not log_probabilities:
        return None
    total = float(sum(log_probabilities))
    if math.isnan(total):
        raise SeesayError("the predictor gave NaN as an answer's log-probability")
    return total


def _options(example: Example, *, seed: tuple[int, int]) -> list[str]:
    options = example.options
    if len(set(options)) < len(options):
        what = f"{len(options)} options, of which only {len(set(options))} differ"
        raise DataError(what, where=str(example.origin))
    # In the order of the file the right one may always come first: no eyes would be needed.
    return [options[j] for j in np.random.default_rng(seed).permutation(len(options))]


def _likeliest(options: Sequence[str], chances: np.ndarray) -> _Reply:
    chances = np.asarray(chances, dtype=float)
    if chances.shape != (len(options),):
        what = f"probabilities of shape {chances.shape} for {len(options)} options"
        raise SeesayError(f"the predictor gave {what}")
    if not (np.isfinite(chances).all() and abs(chances.sum() - 1) < 1e-3):
        raise SeesayError(f"the predictor's probabilities sum to {chances.sum()}, not 1")
    best = int(chances.argmax())
    return _Reply(options[best], float(np.log(chances[best])))


def _sample(right: np.ndarray, groups: Sequence[str], *, keep: int, seed: int) -> list[int]:
    """At most `keep` right and `keep` wrong examples, by lot, of as many pictures as there are."""
    order = np.random.default_rng(seed).permutation(len(right))
    turn: dict[tuple[bool, str], int] = defaultdict(int)
    ranked: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for place, i in enumerate(map(int, order)):
        key = bool(right[i]), groups[i]
        ranked[key[0]].append((turn[key], place))
        turn[key] += 1
    places = sorted(ranked[True])[:keep] + sorted(ranked[False])[:keep]
    return [int(order[place]) for _, place in places]


def _record(test: _Test, i: int, reply: _Reply, *, name: str, right: bool) -> Record:
    example = test.examples[i]
    first_is_true = test.task is TASKS["match"]
    return Record(
        score=name,
        images=example.images,
        question=example.question,
        answer=reply.text,
        truth=example.options[0] if first_is_true else example.answer,
        right=right,
        origin=str(example.origin),
        log_probability=reply.log_probability,
        labels=dict(example.labels),
        reasoning=reply.reasoning,
    )
