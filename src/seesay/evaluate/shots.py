"""Shots: labelled examples shown before each one that is asked, by lot or by likeness.

Shapes: N examples asked, M that may be shown.
"""

from dataclasses import replace

import numpy as np

from seesay.data.shots import kind_of
from seesay.errors import CapabilityError, DataError
from seesay.evaluate.embedding import Vectors
from seesay.evaluate.test import Test, group_of
from seesay.predict import Predictor
from seesay.records import Example, Turn

# Tasks whose answer is said after shots; others learn from --dev in ways of their own.
TAKING = ("vqa", "caption", "classify", "dialogue", "ground")


def give(test: Test, predictor: Predictor, *, batch: int) -> bool:
    """Put shots before a test's examples; whether there are any.

    Some have their own, and keep them. Else, where `how.shots` asks for them, they are of `how.dev`
    and of the example's kind where there are enough: by lot, by `test.seed`, or those whose
    pictures are nearest by the vectors of `how.nearest`, the nearest last (RICES, Flamingo,
    arXiv:2204.14198, appendix A.2).

    Raises:
        CapabilityError: a model that reads no pictures among words, for a task that has no other
            way to learn from examples.
        DataError: fewer examples to show than are asked for.
    """
    own = any(example.shots for example in test.examples)
    wanted = test.how.shots and test.dev and test.name in TAKING
    if not (own or wanted):
        return False
    if not getattr(predictor, "interleaved", False):
        if test.name == "classify" and not own:
            return False  # by the vectors of the labelled examples
        raise CapabilityError(
            f"examples cannot be shown before the task '{test.name}': this model reads no pictures "
            "among words",
            fix="leave out --shots, or take a model of family prefix, cross, recurrent or queries",
        )
    if not own:
        chosen = _chosen(test, batch=batch)
        pairs = zip(test.examples, chosen, strict=True)
        test.examples = [replace(e, shots=tuple(test.dev[j] for j in own)) for e, own in pairs]
    return True


def _chosen(test: Test, *, batch: int) -> list[list[int]]:
    """For each example, which of `test.dev` are shown before it, in order."""
    groups = [group_of(example, j) for j, example in enumerate(test.dev)]
    of_kind: dict[tuple[str, str], list[int]] = {}
    for j, example in enumerate(test.dev):
        of_kind.setdefault(kind_of(example), []).append(j)
    every, count = list(range(len(test.dev))), test.how.shots
    likeness_NM = _likeness(test, batch=batch)
    chosen = []
    for i, example in enumerate(test.examples):
        alike = of_kind.get(kind_of(example), [])
        pool = alike if len({groups[j] for j in alike}) >= count else every
        if likeness_NM is None:
            places = np.random.default_rng((test.seed, i)).permutation(len(pool))
        else:
            places = np.argsort(-likeness_NM[i, pool], kind="stable")
        found: dict[str, int] = {}
        for j in (pool[place] for place in places):
            found.setdefault(groups[j], j)
            if len(found) == count:
                break
        if len(found) < count:
            raise DataError(
                f"{count} examples are to be shown but there are {len(found)} pictures to learn "
                "from",
                where="dev",
                fix=f"give more, or --shots {len(found)}",
            )
        own = list(found.values())
        chosen.append(own if likeness_NM is None else own[::-1])
    return chosen


def _likeness(test: Test, *, batch: int) -> np.ndarray | None:
    """Cosines (N, M) of the first pictures of all, where a model to tell them by is given."""
    if test.how.nearest is None:
        return None
    vectors = Vectors(test.how.nearest, batch=batch)
    asked, shown = ([_first(e) for e in several] for several in (test.examples, test.dev))
    return vectors.of(asked) @ vectors.of(shown).T


def _first(example: Example):
    if not example.images:
        raise DataError("0 pictures to find likenesses of", where=str(example.origin),
                        fix="leave out --retrieve")  # fmt: skip
    return example.images[0]


def without(example: Example, number: int, *, seed: int) -> Example:
    """An example with no shots: what is known without them."""
    del number, seed
    return replace(example, shots=())


def shuffled(example: Example, number: int, *, seed: int) -> Example:
    """An example whose shots have each other's answers, by lot (arXiv:2202.12837)."""
    order = np.random.default_rng((seed, number)).permutation(len(example.shots))
    answers = [example.shots[j].turns[-1] for j in order]
    pairs = zip(example.shots, answers, strict=True)
    return replace(example, shots=tuple(_answered(shot, answer) for shot, answer in pairs))


def _answered(example: Example, answer: Turn) -> Example:
    return replace(example, turns=(*example.turns[:-1], answer))


# Control -> what becomes of an example; its number and a seed are given.
CONTROLS = {"no_shots": without, "shuffled_shots": shuffled}
