"""Check: decode every picture and count everything in a data set before training on it."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from seesay.data.decode import Facts, encoded, inspect
from seesay.data.examples import Broken
from seesay.data.images import examine, load
from seesay.data.remote import Say
from seesay.data.report import Answers, Lengths, Report, Spread
from seesay.data.sheet import sheet as draw_sheet
from seesay.data.sources import Source, read
from seesay.errors import PictureError
from seesay.records import Clip, Example, Frame, Origin, Picture, identity

TOP = 10  # answers that are listed


@dataclass(frozen=True, slots=True)
class _Seen:
    """One picture: where it is first used, its names, and what decoding it gave."""

    use: "_Use"
    digest: str
    facts: Facts | None
    why: str


@dataclass(slots=True)
class _Use:
    """Where a picture is used: first, how often, and under which names."""

    picture: Picture
    origin: Origin
    times: int
    names: set[str]


def check(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    root: str | Path | None = None,
    sheet: str | Path | None = None,
    num_threads: int | None = None,
    say: Say = lambda text: None,
    seen: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Read a source as `read` does, however much of it is broken, and report on all of it.

    Args:
        source, columns, task, root: as for `read`.
        sheet: where to write a contact sheet (PNG), if anywhere.
        num_threads: pictures that are decoded side by side; as many as processors if not given.
        say: as for `read`.
        seen: called with pictures decoded and pictures in all.

    Raises:
        DataError: nothing there, or not to be understood.
    """
    found = read(source, columns=columns, task=task, root=root, limit_broken=1.0, say=say)
    pictures = _decoded(found.examples, num_threads or os.cpu_count() or 1, seen)
    sheets = ""
    if sheet is not None and found.examples:
        draw_sheet(found.examples, Path(sheet))
        sheets = str(sheet)
    return _report(found, pictures, sheets)


def _report(found: Source, pictures: Mapping[Hashable, _Seen], sheet: str) -> Report:
    facts = [picture.facts for picture in pictures.values() if picture.facts]
    turns = [pair for example in found.examples for pair in pairs(example)]
    # Captions are no answers to guess, where there are questions too.
    asked = [example for example in found.examples if example.task != "caption"]
    return Report(
        path=found.path,
        format=found.format,
        columns=dict(found.columns),
        rows=found.rows,
        examples=len(found.examples),
        pictures=len(pictures),
        tasks=_counted(example.task for example in found.examples),
        formats=_counted(each.format for each in facts),
        kinds=_counted(each.kind for each in facts),
        width=spread([each.width for each in facts]),
        height=spread([each.height for each in facts]),
        questions=_lengths([question for question, _ in turns if question]),
        texts=_lengths([answer for _, answer in turns]),
        answers=answers([pair for e in asked or found.examples for pair in pairs(e)]),
        slices=_slices(found.examples),
        duplicates=_duplicates(pictures.values()),
        contradictions=_contradictions(found.examples, pictures),
        broken=found.broken + _broken(pictures.values()),
        sheet=sheet,
    )


def pairs(example: Example) -> list[tuple[str, str]]:
    """Each of the assistant's turns with the user's before it (empty for a bare caption)."""
    found, question = [], ""
    for turn in example.turns:
        if turn.role == "assistant":
            found.append((question, turn.text))
        question = turn.text if turn.role == "user" else ""
    return found


def spread(values: Sequence[int]) -> Spread:
    """The least, the middle and the most of some counts."""
    return Spread(min(values), median(values), max(values)) if values else Spread(0, 0, 0)


def answers(turns: Sequence[tuple[str, str]]) -> Answers:
    """How the answers are spread, and what is right by guessing without a look at the pictures.

    `majority` always says the most frequent answer. `blind` says the most frequent answer to the
    same question among the other examples (so a question asked once teaches nothing), or
    `majority` if that is more often right.
    """
    counts = Counter(answer for _, answer in turns)
    total = max(1, len(turns))
    top = [(text, count, count / total) for text, count in counts.most_common(TOP)]
    majority = top[0][2] if top else 0.0
    blind = max(majority, _blind(turns) / total)
    return Answers(len(turns), len(counts), majority, blind, top)


def _blind(turns: Sequence[tuple[str, str]]) -> float:
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for question, answer in turns:
        by_question[question][answer] += 1
    everywhere = _left_out(Counter(answer for _, answer in turns))
    right = 0.0
    for counts in by_question.values():
        hits = _left_out(counts) if counts.total() > 1 else everywhere
        right += sum(count * hits(answer) for answer, count in counts.items())
    return right


def _left_out(counts: Counter[str]) -> Callable[[str], float]:
    """For an answer: how likely the most frequent of the others is it, with ties drawn by lot."""
    sizes = Counter(counts.values())
    largest = sorted(counts.values(), reverse=True)[:2]

    def hit(answer: str) -> float:
        own = counts[answer]
        rest = largest[-1] if own == largest[0] and sizes[own] == 1 else largest[0]
        others = sizes[rest] - (own == rest)
        if len(counts) == 1 or own - 1 > rest:
            return float(own > 1)
        return 1 / (1 + others) if own - 1 == rest and own > 1 else 0.0

    return hit


def _decoded(examples: Sequence[Example], num_threads: int,
             seen: Callable[[int, int], None]) -> dict[Hashable, _Seen]:  # fmt: skip
    """Every different picture once, decoded; by the identity that `_identity` gives."""
    uses: dict[Hashable, _Use] = {}
    for example in examples:
        for picture in example.images:
            key, name = identity(picture), _name(picture, example.origin)
            use = uses.setdefault(key, _Use(picture, example.origin, 0, set()))
            use.times += 1
            use.names.add(name)
    found = {}
    with ThreadPoolExecutor(num_threads) as pool:
        for key, picture in zip(uses, pool.map(_look, uses.values()), strict=True):
            found[key] = picture
            seen(len(found), len(uses))
    return found


def _name(picture: Picture, origin: Origin) -> str:
    if isinstance(picture, Frame):
        return picture.video  # frames that are alike are no copies of each other
    return str(picture) if isinstance(picture, Path) else origin.file


def _look(use: _Use) -> _Seen:
    try:
        picture = use.picture
        if isinstance(picture, Frame | Clip):
            pixels = np.asarray(load(picture, where=str(use.origin)))
            facts = replace(examine(pixels), format="video")
            return _Seen(use, _digest(pixels.tobytes()), facts, "")
        if isinstance(picture, np.ndarray):
            return _Seen(use, _digest(picture.tobytes()), examine(picture), "")
        data = encoded(picture, str(use.origin))
        return _Seen(use, _digest(data), inspect(data, where=str(use.origin)), "")
    except PictureError as error:
        return _Seen(use, "", None, error.what)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _lengths(texts: Sequence[str]) -> Lengths:
    words = [len(text.split()) for text in texts]
    return Lengths(len(texts), spread([len(text) for text in texts]), spread(words))


def _slices(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    names = sorted({name for example in examples for name in example.labels})
    return {name: _counted(e.labels[name] for e in examples if name in e.labels) for name in names}


def _duplicates(pictures: Iterable[_Seen]) -> list[list[str]]:
    """Names of pictures whose bytes are the same."""
    names: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        if picture.digest:
            names[picture.digest] |= picture.use.names
    return [sorted(several) for several in names.values() if len(several) > 1]


def _contradictions(examples: Sequence[Example], pictures: Mapping[Hashable, _Seen]) -> list[str]:
    """The same question on the same picture with different answers."""
    said: dict[tuple[str, ...], dict[str, Origin]] = defaultdict(dict)
    for example in examples:
        digests = [pictures[identity(picture)].digest for picture in example.images]
        for question, answer in pairs(example):
            if question and all(digests):
                said[(question, *digests)].setdefault(answer, example.origin)
    return [
        f"'{question}': " + ", ".join(f"'{answer}' ({where})" for answer, where in answers.items())
        for (question, *_), answers in said.items()
        if len(answers) > 1
    ]


def _broken(pictures: Iterable[_Seen]) -> list[Broken]:
    return [
        Broken(seen.use.origin, f"{seen.why} ({min(seen.use.names)}; {seen.use.times} examples)")
        for seen in pictures
        if seen.why
    ]
