"""Film oracle: answers English questions on films by reading them, from what frames show alone.

It shares no code with the generator, and does not look at what it says a thing does: that is
found anew from where each thing is, and how it looks, in each frame.
"""

import re

from seesay.scenes import Film, Scene, render

SHAPES = "circle square triangle diamond star cross heart ring".split()
COLOURS = "red green blue yellow purple orange pink cyan".split()
NUMBERS = ["zero", "one", "two", "three", "four"]


class FilmOracle:
    """One film to be asked."""

    def __init__(self, film: Film) -> None:
        self.tracks = [mover.track for mover in film.movers]
        self.background = film.background
        self.all = range(len(self.tracks))

    def there(self, i: int) -> list[int]:
        """The frames that a thing is in."""
        return [k for k, thing in enumerate(self.tracks[i]) if thing is not None]

    def looks(self, i: int) -> list[tuple[str, str, str, str]]:
        """All that a thing ever looks like, in order."""
        seen = [self.tracks[i][k] for k in self.there(i)]
        return list(dict.fromkeys((t.shape, t.colour, t.size, t.texture) for t in seen))

    def way(self, i: int) -> tuple[int, int]:
        """How far right and down a thing is at the end of where it began."""
        first, last = (self.tracks[i][self.there(i)[k]] for k in (0, -1))
        return last.x - first.x, last.y - first.y

    def stirs(self, i: int) -> bool:
        """Whether a thing is ever elsewhere than before."""
        return len({(t.x, t.y) for t in self.tracks[i] if t is not None}) > 1

    def heading(self, i: int) -> str:
        across, down = self.way(i)
        assert abs(across) > 150 or abs(down) > 150, "nobody could say which way"
        assert not across or not down or abs(abs(across) - abs(down)) <= 2
        words = [("up", "", "down")[(down > 0) - (down < 0) + 1],
                 ("left", "", "right")[(across > 0) - (across < 0) + 1]]  # fmt: skip
        return " ".join(word for word in words if word)

    def event(self, i: int) -> str:
        there, frames = self.there(i), len(self.tracks[i])
        if self.stirs(i):
            return "moves"
        if len(there) < frames:
            assert there == list(range(there[0], there[0] + len(there)))
            return "appears" if there[-1] == frames - 1 else "disappears"
        return "changes colour" if len(self.looks(i)) > 1 else "stays"

    def at(self, i: int) -> int:
        """The first frame after a thing appeared, disappeared or changed."""
        track = self.tracks[i]
        changes = [k for k in range(1, len(track)) if track[k] != track[k - 1]]
        assert len(changes) == 1
        return changes[0]

    def place(self, i: int, *, late: bool) -> str:
        thing = self.tracks[i][self.there(i)[-1 if late else 0]]
        column, row = (int(p * 3 / 1024) for p in (thing.x, thing.y))
        assert min(abs(p - 1024 * k / 3) for p in (thing.x, thing.y) for k in (1, 2)) > 30
        name = f"{('top', '', 'bottom')[row]} {('left', '', 'right')[column]}".strip()
        return name or "centre"

    def touch(self, i: int, j: int) -> bool:
        """Whether their pixels ever meet; where not, there is a clear gap."""
        shared, gaps = 0, []
        for a, b in zip(self.tracks[i], self.tracks[j], strict=True):
            if a is not None and b is not None:
                one, other = render.full_masks(Scene((a, b), self.background), 64)
                shared = max(shared, int((one & other).sum()))
                gaps.append(((a.x - b.x) ** 2 + (a.y - b.y) ** 2) ** 0.5 - a.radius - b.radius)
        assert shared > 4 or (shared == 0 and min(gaps) > 100)
        return shared > 0

    def the(self, words: str) -> int:
        """The one thing that ever looks as a description says."""
        assert words.startswith("the ")
        wanted = [word for word in words[4:].split() if word != "thing"]
        found = [i for i in self.all if any(set(wanted) <= set(look) for look in self.looks(i))]
        assert len(found) == 1, f"{words!r} means {len(found)} things"
        return found[0]

    def first(self, event: str, one: str, other: str) -> str:
        i, j = self.the(one), self.the(other)
        assert self.event(i) == self.event(j) == event and abs(self.at(i) - self.at(j)) >= 2
        return (one if self.at(i) < self.at(j) else other).removeprefix("the ")

    def answer(self, question: str) -> str:
        """The answer to an English question."""
        for pattern, rule in RULES:
            if found := re.fullmatch(pattern, question):
                answer = rule(self, *found.groups())
                return ("no", "yes")[answer] if isinstance(answer, bool) else answer
        raise AssertionError(f"cannot read: {question!r}")

    def told(self, caption: str) -> bool:
        """Whether a caption says of each thing what it does."""
        clauses = re.split(r", | and (?=the )", caption)
        return len(clauses) == len(self.tracks) and all(map(self.holds, clauses)) and len(
            {re.match(r"the \w+ \w+", clause)[0] for clause in clauses}  # type: ignore[index]
        ) == len(clauses)

    def holds(self, clause: str) -> bool:
        subject, said = re.fullmatch(r"(the \w+ \w+) (.+)", clause).groups()  # type: ignore[union-attr]
        i = self.the(subject)
        assert self.looks(i)[0][:2] == tuple(subject.split()[:0:-1])
        if found := re.fullmatch(r"moves from (?:the )?(.+) to (?:the )?(.+)", said):
            ends = {"left": "left", "right": "right", "top": "up", "bottom": "down"}
            begin, end = ([ends[word] for word in part.split()] for part in found.groups())
            back = {"left": "right", "right": "left", "up": "down", "down": "up"}
            return self.heading(i) == " ".join(end) == " ".join(back[word] for word in begin)
        if found := re.fullmatch(r"turns (\w+)", said):
            return self.event(i) == "changes colour" and self.looks(i)[1][1] == found[1]
        if found := re.fullmatch(r"(hits|comes near) (the .+)", said):
            nears = self.stirs(i) and self.way(i) == (0, 0)
            return nears and self.touch(i, self.the(found[2])) == (found[1] == "hits")
        return self.event(i) == said


RULES = [
    (r"(?:which way|in which direction) does (the .+) move", lambda o, a: o.heading(o.the(a))),
    (r"does (the .+) move ((?:up|down|left|right).*)", lambda o, a, b: o.heading(o.the(a)) == b),
    (r"(?:does (the .+) move|is (the .+) moving)", lambda o, a, b: o.stirs(o.the(a or b))),
    (r"how many things move|count the things that move",
     lambda o: NUMBERS[sum(map(o.stirs, o.all))]),
    (r"(?:what colour does (the .+) become|which colour does (the .+) turn)",
     lambda o, a, b: o.looks(o.the(a or b))[1][1]),
    (r"(?:what colour is (the .+) at first|which colour does (the .+) have at first)",
     lambda o, a, b: o.looks(o.the(a or b))[0][1]),
    (r"(?:what does (the .+) do|what happens to (the .+))",
     lambda o, a, b: o.event(o.the(a or b))),
    (r"(?:which|what) (appears|disappears|changes) first, (the .+) or (the .+)",
     lambda o, e, a, b: o.first("changes colour" if e == "changes" else e, a, b)),
    (r"(?:do (the .+) and (the .+) touch|does (the .+) hit (the .+))",
     lambda o, a, b, c, d: o.touch(o.the(a or c), o.the(b or d))),
    (r"(?:where is (the .+) at first|where does (the .+) begin)",
     lambda o, a, b: o.place(o.the(a or b), late=False)),
    (r"(?:where is (the .+) at the end|where does (the .+) end)",
     lambda o, a, b: o.place(o.the(a or b), late=True)),
]  # fmt: skip
