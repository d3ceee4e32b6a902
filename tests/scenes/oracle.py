"""Oracle: answers English questions by reading them, on the scene alone.

It shares no code with the generator: words are parsed by rules of their own, and geometry is
computed from the objects. A question it cannot read is an error.
"""

import re
from functools import lru_cache

import numpy as np

from seesay.scenes import Scene, render

SHAPES = "circle square triangle diamond star cross heart ring".split()
PLURALS = dict(zip([*(f"{s}s" for s in SHAPES if s != "cross"), "crosses"],
                   [*(s for s in SHAPES if s != "cross"), "cross"], strict=True))  # fmt: skip
COLOURS = "red green blue yellow purple orange pink cyan".split()
ATTRIBUTES = {
    **dict.fromkeys(SHAPES, "shape"),
    **dict.fromkeys(COLOURS, "colour"),
    **dict.fromkeys(["small", "large"], "size"),
    **dict.fromkeys(["solid", "striped", "dotted"], "texture"),
}
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six"]
RELATIONS = ["left of", "right of", "above", "below", "in front of", "behind"]
RELATION = "(?:" + "|".join(RELATIONS) + ")"
CLEAR = 0.12 * 1024
AT = re.compile(r"(?:at|in|on) the ((?:top|bottom)(?: left| right)?|left|right|centre)$")


class Oracle:
    """One scene to be asked."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.all = list(range(len(scene.objects)))
        full = render.full_masks(scene, 64)
        self.overlap = np.einsum("ihw,jhw->ij", full.astype(int), full.astype(int))

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, scene: Scene) -> "Oracle":
        """The oracle of a scene, made once for all of its questions."""
        return cls(scene)

    def value(self, i: int, attribute: str) -> str:
        return getattr(self.scene.objects[i], attribute)

    def place(self, i: int) -> str:
        thing = self.scene.objects[i]
        column, row = (int(p * 3 / 1024) for p in (thing.x, thing.y))
        assert min(abs(p * 3 / 1024 - k) for p in (thing.x, thing.y) for k in (1, 2)) > 0.075
        name = f"{('top', '', 'bottom')[row]} {('left', '', 'right')[column]}".strip()
        return name or "centre"

    def holds(self, i: int, relation: str, j: int) -> bool | None:
        """Whether i lies so to j; None where a person might doubt it."""
        a, b = self.scene.objects[i], self.scene.objects[j]
        if relation in ("in front of", "behind"):
            shared = self.overlap[i, j]
            assert shared == 0 or shared >= 1
            return None if shared < 8 else (i > j) == (relation == "in front of")
        gap = {"left of": b.x - a.x, "right of": a.x - b.x, "above": b.y - a.y,
               "below": a.y - b.y}[relation]  # fmt: skip
        return None if abs(gap) < CLEAR else gap > 0

    def things(self, words: str) -> list[int]:
        """Objects that fit "small red circle", "things", "striped": attributes only."""
        found = self.all
        for word in words.split():
            word = PLURALS.get(word, word)
            if word in ("thing", "things", "a", "an"):
                continue
            found = [i for i in found if self.value(i, ATTRIBUTES[word]) == word]
        return found

    def related(self, words: str, relation: str, anchor: int) -> list[int]:
        """Objects of a description on one side of an anchor; every one of them beyond doubt."""
        sure = {i: self.holds(i, relation, anchor) for i in self.things(words) if i != anchor}
        assert None not in sure.values(), f"doubtful: {words} {relation} {anchor}"
        return [i for i, truth in sure.items() if truth]

    def any_related(self, words: str, relation: str, anchor: int) -> bool:
        """Whether one surely is there; if not, none may be in doubt."""
        sure = [self.holds(i, relation, anchor) for i in self.things(words) if i != anchor]
        assert True in sure or None not in sure, f"doubtful: {words} {relation} {anchor}"
        return True in sure

    def the(self, words: str) -> int:
        """The one object a definite description means, with relations from the right."""
        assert words.startswith("the "), words
        words = words[4:]
        at = AT.search(words)
        if at:
            found = [i for i in self.things(words[: at.start()]) if self.place(i) == at[1]]
        elif relation := re.search(f" ({RELATION}) (?=the )", words):
            anchor = self.the(words[relation.end() :])
            found = self.related(words[: relation.start()], relation[1], anchor)
        else:
            found = self.things(words)
        assert len(found) == 1, f"{words!r} means {len(found)} things"
        return found[0]

    def answer(self, question: str) -> str:
        """The answer to an English question."""
        for pattern, rule in RULES:
            found = re.fullmatch(pattern, question)
            if found:
                answer = rule(self, *found.groups())
                if isinstance(answer, bool):
                    return "yes" if answer else "no"
                return NUMBERS[answer] if isinstance(answer, int) else answer
        raise AssertionError(f"cannot read: {question!r}")

    def statement(self, words: str) -> str:
        return "true" if self.true(words) else "false"

    def true(self, words: str) -> bool:
        if found := re.fullmatch(r"there (?:is|are) (one|two|three|four|five|six) (.+)", words):
            return len(self.things(found[2])) == NUMBERS.index(found[1])
        if found := re.fullmatch(r"there is an? (.+)", words):
            return bool(self.things(found[1]))
        subject, predicate = words.split(" is ")
        i = self.the(subject)
        if at := AT.fullmatch(predicate):
            return self.place(i) == at[1]
        if relation := re.fullmatch(f"({RELATION}) (the .+)", predicate):
            return self.pair(subject, relation[1], relation[2])
        return i in self.things(predicate)

    def pair(self, first: str, relation: str, second: str) -> bool:
        truth = self.holds(self.the(first), relation, self.the(second))
        assert truth is not None, f"doubtful: {first} {relation} {second}"
        return truth

    def others_like(self, attribute: str, words: str) -> list[int]:
        i = self.the(words)
        same = self.value(i, attribute)
        return [j for j in self.all if j != i and self.value(j, attribute) == same]

    def other_like(self, asked: str, attribute: str, words: str) -> str:
        (other,) = self.others_like(attribute, words)
        return self.value(other, asked)

    def compared(self, first: str, second: str) -> str:
        a, b = len(self.things(first)), len(self.things(second))
        return "more" if a > b else "fewer" if a < b else "same"

    def bigger(self, first: str, second: str) -> bool:
        return (
            self.scene.objects[self.the(first)].radius > self.scene.objects[self.the(second)].radius
        )

    def box(self, i: int) -> str:
        """The extent of its mask, drawn at 32 pixels as the tests do, in fiftieths."""
        rows, columns = np.nonzero(render.full_masks(self.scene, 32)[i])
        ends = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        a, b, c, d = (20 * int(end * 50 / 32 + 0.5) for end in ends)
        return f"({a},{b}),({c},{d})"

    def same(self, first: str, second: str, attribute: str) -> bool:
        return self.value(self.the(first), attribute) == self.value(self.the(second), attribute)


KIND = "(shape|colour|size|texture)"
RULES = [
    (r"(?:true or false: |is it true that )(.+)", Oracle.statement),
    (f"(?:what|which) {KIND} is the other thing of the same {KIND} as (.+)", Oracle.other_like),
    (f"what {KIND} is the other thing with the {KIND} of (.+)", Oracle.other_like),
    (f"how many other things (?:are the same|have the) {KIND} (?:as|of) (.+)",
     lambda o, a, w: len(o.others_like(a, w))),
    (f"what {KIND} is (the .+)", lambda o, a, w: o.value(o.the(w), a)),
    (f"which {KIND} does (the .+) have", lambda o, a, w: o.value(o.the(w), a)),
    (f"name the {KIND} of (the .+)", lambda o, a, w: o.value(o.the(w), a)),
    (r"(?:where is|in which part of the picture is|find|point to|locate) (the .+)",
     lambda o, w: o.place(o.the(w))),
    (r"(?:box|draw a box around|give the box of) (the .+)", lambda o, w: o.box(o.the(w))),
    (r"is there a thing that is (.+) but not (.+)",
     lambda o, a, b: bool(set(o.things(a)) - set(o.things(b)))),
    (r"(?:is there|can you see) both an? (.+) and an? (.+)",
     lambda o, a, b: bool(o.things(a)) and bool(o.things(b))),
    (r"(?:is there|can you see) an? (.+) or an? (.+)",
     lambda o, a, b: bool(o.things(a) + o.things(b))),
    (f"(?:is there|can you see) an? (.+?) ({RELATION}) (the .+)",
     lambda o, a, r, w: o.any_related(a, r, o.the(w))),
    (r"(?:is there|can you see|does the picture show) an? ([a-z ]+)",
     lambda o, a: bool(o.things(a))),
    (r"is every (.+) (an? \w+|\w+)", lambda o, a, b: set(o.things(a)) <= set(o.things(b))),
    (r"(?:how many things are|count the things that are) (\w+) or (\w+)",
     lambda o, a, b: len(set(o.things(a)) | set(o.things(b)))),
    (f"(?:how many|count the) (.+?) (?:are )?({RELATION}) (the .+)",
     lambda o, a, r, w: len(o.related(a, r, o.the(w)))),
    (r"how many (.+) (?:are there|can you see)", lambda o, a: len(o.things(a))),
    (r"count the (.+)", lambda o, a: len(o.things(a))),
    (r"are there more or fewer (.+) than (.+)", Oracle.compared),
    (r"more or fewer (.+) than (.+)", Oracle.compared),
    (r"are there (more|fewer) (.+) than (.+)", lambda o, r, a, b: o.compared(a, b) == r),
    (r"are there as many (.+) as (.+)", lambda o, a, b: o.compared(a, b) == "same"),
    (r"is (the .+) bigger than (the .+)", Oracle.bigger),
    (r"is (the .+) smaller than (the .+)", lambda o, a, b: o.bigger(b, a)),
    (f"is (the .+) the same {KIND} as (the .+)", lambda o, a, k, b: o.same(a, b, k)),
    (f"do (the .+) and (the .+) have the same {KIND}", Oracle.same),
    (f"(?:is|does) (the .+?) (?:lie )?({RELATION}) (the .+)", Oracle.pair),
]  # fmt: skip

OPPOSITE = {a: b for a, b in zip(RELATIONS, [RELATIONS[i ^ 1] for i in range(6)], strict=True)}


def thought(oracle: Oracle, question: str) -> str:
    """What there is to know before the answer, read off the question by rules of its own."""
    question = re.sub(r"^(?:true or false: |is it true that )", "", question)
    for pattern, rule in THOUGHTS:
        if found := re.fullmatch(pattern, question):
            return rule(oracle, *found.groups())
    return ""


def _listed(oracle: Oracle, wanted: str, *asked: str) -> str:
    found = [i for i in oracle.scene.reading_order() if i in oracle.things(wanted)]
    return " ".join(oracle.value(i, a) for i in found for a in asked) or "zero"


def _sorted_out(oracle: Oracle, words: str) -> str:
    """Of "small red circles": the sizes and colours of all circles."""
    kinds = {
        ATTRIBUTES[word]: word
        for word in (PLURALS.get(w, w) for w in words.split())
        if word in ATTRIBUTES
    }
    first = "shape" if "shape" in kinds else "colour"
    rest = [kind for kind in ("size", "texture", "colour") if kind in kinds and kind != first]
    return _listed(oracle, kinds[first], *rest) if rest and first in kinds else ""


def _sides(oracle: Oracle, first: str, said: str, second: str) -> str:
    return said if oracle.pair(first, said, second) else OPPOSITE[said]


def _numbers(oracle: Oracle, *things: str) -> str:
    return " ".join(NUMBERS[len(oracle.things(words))] for words in things)


def _either(oracle: Oracle, first: str, second: str) -> str:
    a, b = set(oracle.things(first)), set(oracle.things(second))
    return f"{NUMBERS[len(a)]} {NUMBERS[len(b - a)]}"


def _there(oracle: Oracle, *things: str) -> str:
    return " ".join("yes" if oracle.things(words) else "no" for words in things)


def _values(oracle: Oracle, kind: str, *things: str) -> str:
    return " ".join(oracle.value(oracle.the(words), kind) for words in things)


def _many(kind: str, value: str) -> str:
    plurals = {one: many for many, one in PLURALS.items()}
    return plurals[value] if kind == "shape" else f"{value} things"


def _kind(words: str) -> str:
    return next(ATTRIBUTES[word] for word in words.split() if word in ATTRIBUTES)


THING = "(an? (?:(?! and | or | not ).)+)"
THOUGHTS = [
    (f".* the other thing (?:of the same|with the) {KIND} (?:as|of) (.+)",
     lambda o, k, w: _values(o, k, w)),
    (f"how many other things (?:are the same|have the) {KIND} (?:as|of) (.+)",
     lambda o, k, w: f"{_many(k, _values(o, k, w))} {NUMBERS[len(o.others_like(k, w)) + 1]}"),
    (f"is (the .+) the same {KIND} as (the .+)", lambda o, a, k, b: _values(o, k, a, b)),
    (f"do (the .+) and (the .+) have the same {KIND}", lambda o, a, b, k: _values(o, k, a, b)),
    (r"is (the .+) (?:bigger|smaller) than (the .+)", lambda o, a, b: _values(o, "size", a, b)),
    (r"(?:are there )?(?:more or fewer|more|fewer) (.+) than (.+)", _numbers),
    (r"are there as many (.+) as (.+)", _numbers),
    (r"is there a thing that is (.+) but not (.+)", lambda o, a, b: _listed(o, a, _kind(b))),
    (r"is every (.+?) (an? \w+|\w+)", lambda o, a, b: _listed(o, a, _kind(b))),
    (f"(?:is there|can you see) (?:both )?{THING} (?:and|or) {THING}", _there),
    (r"(?:how many things are|count the things that are) (\w+) or (\w+)", _either),
    (f"(?:is there|can you see|how many|count the) .+? (?:are )?{RELATION} (the .+)",
     lambda o, w: o.place(o.the(w))),
    (f"(?:what|which|name) .*?the (?:(?!the ).)+ {RELATION} (the .+?)(?: have)?",
     lambda o, w: o.place(o.the(w))),
    (f"(?:is |does )?(the .+?) (?:is |lie )?({RELATION}) (the .+)", _sides),
    (r"(?:is there|can you see|does the picture show|there is) (an? [a-z ]+)", _sorted_out),
    (r"(?:how many|count the) (.+?)(?: are there| can you see)?", _sorted_out),
    (r"there (?:is|are) (?:one|two|three|four|five|six) (.+)", _numbers),
    (r"(the .+) is (?:at|in|on) the .+", lambda o, w: o.place(o.the(w))),
    (r"(the .+) is (an? \w+|\w+)", lambda o, w, p: _values(o, _kind(p), w)),
]  # fmt: skip
