"""Check: decode every picture and count everything in a data set before training on it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from seesay.data import lengths, noise
from seesay.data.counts import answers, asked, counted, pairs, slices, spread
from seesay.data.counts import lengths as measured
from seesay.data.examples import Broken
from seesay.data.fit import Fit
from seesay.data.looked import Looked, Pictures, alike, look
from seesay.data.noise import Asked, Doubt, Judged
from seesay.data.overlap import Overlap, overlap
from seesay.data.remote import Say
from seesay.data.report import Report
from seesay.data.sheet import sheet as draw_sheet
from seesay.data.sources import Source, read
from seesay.data.text import Text
from seesay.records import Example, Origin, identity

Seen = Callable[[int, int], None]


def check(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    root: str | Path | None = None,
    sheet: str | Path | None = None,
    against: str | Path | None = None,
    text: Text | None = None,
    fit: Fit | None = None,
    num_threads: int | None = None,
    say: Say = lambda text: None,
    seen: Seen = lambda done, total: None,
) -> Report:
    """Read a source as `read` does, however much of it is broken, and report on all of it.

    Args:
        source, columns, task, root: as for `read`.
        sheet: where to write a contact sheet (PNG), if anywhere.
        against: data that must have nothing in common with it, such as those to measure on.
        text, fit: how a recipe reads it; what does not fit is then named.
        num_threads: pictures that are decoded side by side; as many as processors if not given.
        say: as for `read`.
        seen: called with pictures decoded and pictures in all; anew for `against`.

    Raises:
        DataError: nothing there, or not to be understood.
    """
    how = {"columns": columns, "task": task, "limit_broken": 1.0, "say": say}
    found = read(source, root=root, **how)
    pictures = look(found.examples, threads=num_threads, seen=seen)
    shared = None
    if against is not None:
        other = read(against, **how)
        theirs = look(other.examples, threads=num_threads, seen=seen)
        shared = overlap((found.examples, pictures), (other.examples, theirs), path=other.path)
    sheets = ""
    if sheet is not None and found.examples:
        draw_sheet(found.examples, Path(sheet))
        sheets = str(sheet)
    long = [] if text is None or fit is None else lengths.too_long(
        found.examples, text=text, fit=fit
    )  # fmt: skip
    return _report(found, pictures, sheets, shared, [str(each) for each in long])


def _report(found: Source, pictures: Pictures, sheet: str, shared: Overlap | None,
            long: list[str]) -> Report:  # fmt: skip
    facts = [picture.facts for picture in pictures.values() if picture.facts]
    said = [(example.task, *pair) for example in found.examples for pair in pairs(example)]
    near = alike(list(pictures.values()))
    doubts, judged = _doubts(found.examples, pictures)
    return Report(
        path=found.path,
        format=found.format,
        columns=dict(found.columns),
        rows=found.rows,
        examples=len(found.examples),
        pictures=len(pictures),
        tasks=counted(example.task for example in found.examples),
        formats=counted(each.format for each in facts),
        kinds=counted(each.kind for each in facts),
        width=spread([each.width for each in facts]),
        height=spread([each.height for each in facts]),
        questions=measured([question for _, question, _ in said if question]),
        texts=measured([answer for _, _, answer in said]),
        answers=answers(asked(said)),
        slices=slices(found.examples),
        duplicates=_duplicates(pictures.values()),
        near=[sorted(one.name for one in group) for group in near],
        contradictions=_contradictions(found.examples, pictures),
        near_contradictions=_near_contradictions(found.examples, pictures, near),
        empty=lengths.empty(found.examples),
        long=long,
        odd=[str(each) for each in lengths.odd(found.examples)],
        doubts=doubts,
        judged=judged,
        against=shared,
        broken=found.broken + _broken(pictures.values()),
        sheet=sheet,
    )


def _duplicates(pictures: Iterable[Looked]) -> list[list[str]]:
    """Names of pictures whose bytes are the same."""
    names: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        if picture.digest:
            names[picture.digest] |= picture.use.names
    return [sorted(several) for several in names.values() if len(several) > 1]


Said = dict[tuple[str, ...], dict[str, Origin]]


def _said(examples: Sequence[Example], told: Callable[[Looked], str], pictures: Pictures) -> Said:
    """(question, pictures) -> each answer given, and where first; pictures as `told` names them."""
    said: Said = defaultdict(dict)
    for example in examples:
        names = [told(pictures[identity(picture)]) for picture in example.images]
        for question, answer in pairs(example):
            if question and all(names):
                said[(question, *names)].setdefault(answer, example.origin)
    return said


def _contradictions(examples: Sequence[Example], pictures: Pictures) -> list[str]:
    """The same question on the same picture with different answers."""
    return _several(_said(examples, lambda picture: picture.digest, pictures))


def _near_contradictions(examples: Sequence[Example], pictures: Pictures,
                         near: Sequence[Sequence[Looked]]) -> list[str]:  # fmt: skip
    """The same question on pictures that look nearly the same, with different answers."""
    group = {one.digest: f"group {i}" for i, several in enumerate(near) for one in several}
    found = _several(_said(examples, lambda p: group.get(p.digest, p.digest), pictures))
    known = set(_contradictions(examples, pictures))
    return [each for each in found if each not in known]


def _several(said: Said) -> list[str]:
    return [
        f"'{question}': " + ", ".join(f"'{answer}' ({where})" for answer, where in answers.items())
        for (question, *_), answers in said.items()
        if len(answers) > 1
    ]


def _doubts(examples: Sequence[Example], pictures: Pictures) -> tuple[list[Doubt], list[Judged]]:
    """Answers that may be wrong, of questions on one picture that decodes."""
    keys = [key for key, one in pictures.items() if one.small is not None]
    places = {key: place for place, key in enumerate(keys)}
    asked = [
        Asked(places[identity(example.images[0])], question, answer, example.origin)
        for example in examples
        if len(example.images) == 1 and identity(example.images[0]) in places
        for question, answer in pairs(example)
        if question
    ]
    if not asked:
        return [], []
    small = np.stack([one.small for one in pictures.values() if one.small is not None])
    return noise.doubts(asked, small)


def _broken(pictures: Iterable[Looked]) -> list[Broken]:
    return [
        Broken(seen.use.origin, f"{seen.why} ({min(seen.use.names)}; {seen.use.times} examples)")
        for seen in pictures
        if seen.why
    ]
