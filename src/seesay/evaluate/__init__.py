"""Evaluate: a predictor x examples -> scores with 95 % intervals, slices and blind controls."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from seesay.data import images
from seesay.errors import CapabilityError, DataError, SeesayError, nearest
from seesay.evaluate import frames, moderation, shots
from seesay.evaluate.asking import Asker, Instead, Meter, Progress
from seesay.evaluate.embedding import Vectors
from seesay.evaluate.retrieval import Retrieval
from seesay.evaluate.test import How, Reply, Sections, Test
from seesay.metrics import controls as blind
from seesay.metrics.evaluation import Evaluation, Record, Scores, merge
from seesay.metrics.intervals import Score
from seesay.predict import Locator, Predictor
from seesay.records import Example, Frame, Picture
from seesay.tasks import TASKS

__all__ = ["CONTROLS", "Evaluation", "How", "Progress", "Record", "Score", "evaluate", "merge"]

CONTROLS = ("blank", "shuffled", "question")
# Where the question is the same for every picture, or there is none.
WITHOUT_QUESTION = ("match", "retrieve")
# Where prompt templates say what an option is.
BY_TEMPLATE = ("classify", "moderate")


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
    how: How | None = None,
) -> Evaluation:
    """Ask every example, score the answers, and do the same without looking.

    Examples of one picture are asked together, so that it can be encoded once. Controls: `blank`,
    every picture replaced by a mid-grey one of its size; `shuffled`, every group given another
    group's pictures; `question`, the majority answer to the question's exact text among the other
    pictures (`metrics.controls.question_alone`: nothing is learned); and, wherever all of a task's
    examples have options, `chance`. Where examples are asked behind shots: `no_shots`, and
    `shuffled_shots`, whose answers have changed places. Where there are videos: `one_frame`, in
    place of all of them, and `shuffled_frames`. Options to choose among are shuffled, by
    `seed`.

    Args:
        controls: those to run besides `chance` and those of shots; `blank` and `shuffled` each ask
            everything again.
        batch: how many examples are asked at once; a picture with more of them is split.
        suffix: `held_out` makes `answers` into `answers_held_out`, to be merged with others.
        keep: how many right and how many wrong examples of each score to keep in `records`.
        command: the command that makes these scores, for the report.
        progress: called after each batch with how many are asked and how many there are to ask.
        how: prompt templates, examples to learn from, and how retrieval goes about it.

    Raises:
        DataError: no examples, an unknown task, or options missing where they are needed.
        CapabilityError: the model can do none of the tasks. One of several is noted in `skipped`.
        SeesayError: a predictor that answers too few, too many, or with NaN.
    """
    if unknown := [name for name in controls if name not in CONTROLS]:
        raise SeesayError(f"unknown control '{unknown[0]}'", fix=nearest(unknown[0], CONTROLS))
    how = how or How()
    tests = [Test(name, part, how, seed=seed) for name, part in _by_task(examples).items()]
    passes = [(test, *each) for test in tests for each in _passes(test, predictor)]
    behind = any(test.how.shots and test.dev or test.examples[0].shots for test in tests)
    rounds = 1 + len(set(controls) - {"question"}) + len(shots.CONTROLS) * behind
    meter = Meter(rounds * sum(len(test.examples) for test, *_ in passes), progress)
    vectors = {test.name: Vectors(predictor, batch=batch) for test in tests}
    parts, refused = [], {}
    for test, ending, ways in passes:
        shared = {"batch": batch, "meter": meter}
        try:
            if not ending:
                shots.give(test, predictor, batch=batch)
            if test.name == "retrieve":
                asker = Retrieval(predictor, test, vectors[test.name], **shared)
            else:
                asker = Asker(predictor, test, vectors[test.name], ways=ways, **shared)
                if test.name == "moderate":
                    moderation.set_threshold(asker)
            names = {"ending": ending, "suffix": suffix}
            parts.append(_run(test, asker, controls, **names, keep=keep))
        except CapabilityError as error:
            refused[_joined(test.name, ending)] = error
    if not parts:
        raise next(iter(refused.values()))
    meter.end()
    skipped = {name: str(error) for name, error in refused.items()}
    return replace(merge(parts), skipped=skipped, command=command)


def _joined(*names: str) -> str:
    return "_".join(filter(None, names))


def _passes(test: Test, predictor: Predictor) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What the score's name ends with, and the ways to ask for it."""
    by_text = test.how.templates and test.name in BY_TEMPLATE
    yield "", ("embed",) if by_text else test.task.ASK
    if test.name == "classify" and test.dev:
        yield "mean", ("mean",)
        yield "knn", ("knn",)
        yield "probe", ("probe",)
    if test.name == "ground" and isinstance(predictor, Locator) and "locate" in predictor.can:
        yield "regressed", ("locate",)


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


def _run(
    test: Test,
    asker: Asker | Retrieval,
    controls: Sequence[str],
    *,
    ending: str,
    suffix: str,
    keep: int,
) -> Evaluation:
    replies, sections = asker.begin()
    result = Evaluation(notes=dict(asker.notes))
    names = {"ending": ending, "suffix": suffix}
    _add(test, sections, **names, scores=result.scores, slices=result.slices)
    for control, blind_sections in _controls(test, asker, controls):
        names["suffix"], slices = _joined(suffix, control), result.slice_controls
        _add(test, blind_sections, **names, scores=result.controls, slices=slices)
    measures, index = sections[0]
    right = measures[test.task.SCORE].rows[:, 0] > 0
    name = test.named(test.task.SCORE, ending, suffix)
    chosen = _sample(right, [test.groups[i] for i in index], keep=keep, seed=test.seed)
    kept = {index[row]: bool(right[row]) for row in chosen}
    replies = {i: replies[i] for i in kept}
    if isinstance(asker, Asker) and test.name == "moderate":
        replies = moderation.with_reasons(asker, replies)
    records = (_record(test, i, replies[i], name=name, right=kept[i]) for i in kept)
    return replace(result, records=tuple(records))


def _add(
    test: Test,
    sections: Sections,
    *,
    ending: str,
    suffix: str,
    scores: Scores,
    slices: dict[str, Scores],
) -> None:
    """Score the sections, all and by slice."""
    for measures, index in sections:
        whole, parts = test.scores(measures, index, ending=ending, suffix=suffix)
        scores.update(whole)
        for label, part in parts.items():
            slices.setdefault(label, {}).update(part)


def _controls(
    test: Test, asker: Asker | Retrieval, controls: Sequence[str]
) -> Iterator[tuple[str, Sections]]:
    """Each control's name and its measures."""
    for control in controls:
        if control == "question":
            if test.name not in WITHOUT_QUESTION:
                replies = [Reply(text) for text in _guesses(test)]
                yield control, [(test.measures(replies, test.index), test.index)]
            continue
        pictures = _blanked(test) if control == "blank" else _shuffled(test)
        seeing = [i for i in test.index if test.examples[i].images]
        if index := [i for i in seeing if test.groups[i] in pictures]:
            yield control, asker.again(index, instead=pictures)
    for control, order in frames.CONTROLS.items() if isinstance(asker, Asker) else ():
        moved = _moved(test, order)
        if index := [i for i in test.index if moved.get(test.groups[i])]:
            yield control, asker.again(index, instead=moved)
    for control, change in shots.CONTROLS.items():
        if isinstance(asker, Asker) and (sections := asker.behind(change)):
            yield control, sections
    if chances := asker.chances():
        yield "chance", chances


def _guesses(test: Test) -> list[str]:
    questions = [example.question for example in test.examples]
    answers = [example.answer for example in test.examples]
    options = [example.options for example in test.examples]
    return blind.question_alone(questions, answers, test.groups, options=options)


def _moved(test: Test, order: frames.Order) -> Instead:
    """The pictures of each group, the frames of its videos in an order."""
    groups = dict(zip(test.groups, test.examples, strict=True))
    return {
        group: frames.instead(example.images, order, name=group, seed=test.seed)
        for group, example in groups.items()
    }


def _blanked(test: Test) -> Instead:
    greys: dict[tuple[int, int], np.ndarray] = {}
    films: dict[str, np.ndarray] = {}  # all frames of a video are of one size

    def grey(picture: Picture, where: str) -> Picture:
        if isinstance(picture, Frame):
            if picture.video not in films:
                films[picture.video] = plain(picture, where)
            return replace(picture, source=films[picture.video], at=None)
        return plain(picture, where)

    def plain(picture: Picture, where: str) -> np.ndarray:
        width, height = images.load(picture, where=where).size
        return greys.setdefault((height, width), blind.blank(height, width))

    pictures = zip(test.groups, test.examples, strict=True)
    return {
        group: tuple(grey(picture, str(example.origin)) for picture in example.images)
        for group, example in dict(pictures).items()
    }


def _shuffled(test: Test) -> Instead:
    pictures = {g: e.images for g, e in zip(test.groups, test.examples, strict=True)}
    counts = {group: len(several) for group, several in pictures.items()}
    instead = blind.shuffled(counts, seed=test.seed)
    return {group: pictures[other] for group, other in instead.items()}


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


def _record(test: Test, i: int, reply: Reply, *, name: str, right: bool) -> Record:
    example = test.examples[i]
    first_is_true = test.name == "match"
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
