"""Motion: scenes that move, frame by frame: what things do, how it is sampled, what is surely so.

A film played backwards is as likely as played forwards, and things that stand still stand where
moving ones may be: so one frame, drawn by lot, does not tell which way anything moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from seesay.errors import SeesayError
from seesay.footage import LEAST_FRAMES
from seesay.scenes.render import overlap
from seesay.scenes.view import CLEAR, COVERS
from seesay.scenes.world import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT,
    SHAPES,
    SIZES,
    SPAN,
    TEXTURES,
    Object,
    Scene,
    World,
    draw_looks,
)

NUM_FRAMES = 8
RATE = 4.0  # frames a second
MOST_MOVING = 4
# What a thing does. Of a pair, the first nears the second and goes back, having hit it or not.
STAYS, MOVES, APPEARS, LEAVES, CHANGES, NEARS, HITS = range(7)
TIMED = (APPEARS, LEAVES, CHANGES)
# Right and down, of each heading.
STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1))
GAP = 2  # least frames between two things' doing the same, where it is asked which is first

_EDGE = 14
_LENGTHS = (240, 340)  # of a way, in 1/1024 of the picture
_APART = 116  # least distance of two centres, in % of the sum of their radii
_TOUCHING = 62  # the same where they touch
_TRIES, _TURNS = 16, 3  # places of a thing, and all of them anew, before other things are drawn


Place = tuple[int, int] | None


class Way(NamedTuple):
    """Where a thing is in each frame, None for nowhere; see `Mover`."""

    places: list[Place]
    heading: int = -1
    at: int = 0


class Plan(NamedTuple):
    """What each thing does, and when, and which other it does so to."""

    events: list[int]
    times: list[int]
    other: dict[int, int]


@dataclass(frozen=True, slots=True)
class Mover:
    """One thing over time: how it looks and where it is in each frame; None where it is not there.

    heading: of what moves, the place in `STEPS`. at: the first frame after what it does, where that
    takes no time. other: of what nears or hits, the thing it does so to.
    """

    event: int
    track: tuple[Object | None, ...]
    heading: int = -1
    at: int = 0
    other: int = -1

    @property
    def first(self) -> Object:
        """How it is first seen."""
        return next(thing for thing in self.track if thing is not None)

    @property
    def last(self) -> Object:
        """How it is last seen."""
        return next(thing for thing in reversed(self.track) if thing is not None)


@dataclass(frozen=True, slots=True)
class Film:
    """A scene that moves, as a graph: later things are in front of earlier ones."""

    movers: tuple[Mover, ...]
    background: str

    @property
    def objects(self) -> tuple[Object, ...]:
        """The things as they are first seen."""
        return tuple(mover.first for mover in self.movers)

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """What each frame shows."""
        return tuple(
            Scene(tuple(thing for thing in frame if thing is not None), self.background)
            for frame in zip(*(mover.track for mover in self.movers), strict=True)
        )


def film(world: World, index: int, *, frames: int = NUM_FRAMES) -> Film:
    """The film at `index`: at most `MOST_MOVING` things, `LEAST_FRAMES` frames or more."""
    rng = world.rng(index, "film")
    low, high = (min(count, MOST_MOVING) for count in world.objects)
    if frames < LEAST_FRAMES:
        raise SeesayError(
            f"a film of {frames} frames cannot be drawn: {LEAST_FRAMES} is the least",
            where="scenes.film",
            fix=f"give {LEAST_FRAMES} or more",
        )
    num = low + _below(rng, high - low + 1)
    plan = _plan(rng, num, frames)
    while True:
        held_out = _below(rng, num) if world.split == "combinations" else None
        looks = draw_looks(rng, num, held_out=held_out, all_pairs=held_out is not None)
        things = [
            Object(SHAPES[s], COLOURS[c], SIZES[z], TEXTURES[t], 0, 0) for s, c, z, t in looks
        ]
        for _ in range(_TURNS):
            movers = _movers(rng, things, plan, frames)
            if movers is not None:
                return Film(movers, BACKGROUNDS[_below(rng, len(BACKGROUNDS))])


def _plan(rng: Random, num: int, frames: int) -> Plan:
    """How many move is drawn first: each number is as likely. Of two or more things, in a quarter
    of the films one nears another, and in a quarter two do the same, one after the other.
    """
    moving = _below(rng, num + 1)
    events = [MOVES] * moving + [(STAYS, *TIMED)[_below(rng, 4)] for _ in range(num - moving)]
    events = [events.pop(_below(rng, len(events))) for _ in range(num)]
    times = [GAP + _below(rng, frames - 2 * GAP + 1) for _ in range(num)]
    other, theme = {}, _below(rng, 4)
    if num > 1 and theme < 2:
        first = _below(rng, num)
        second = (first + 1 + _below(rng, num - 1)) % num
        if theme == 0:
            events[first], events[second] = (NEARS, HITS)[_below(rng, 2)], STAYS
            other[first] = second
        else:
            events[first] = events[second] = TIMED[_below(rng, 3)]
            early = GAP + _below(rng, frames - 3 * GAP + 1)
            times[first] = early
            times[second] = early + GAP + _below(rng, frames - 2 * GAP + 1 - early)
    return Plan(events, times, other)


def _below(rng: Random, number: int) -> int:
    return int(rng.random() * number)


def _movers(
    rng: Random, things: Sequence[Object], plan: Plan, frames: int
) -> tuple[Mover, ...] | None:
    """Where everything is in each frame, by lot; None where something found no room."""
    ways: dict[int, Way] = {}
    for i, j in plan.other.items():
        pair = _pair(rng, things[i], things[j], plan.events[i], frames)
        if pair is None:
            return None
        ways[i], ways[j] = pair
    for i, thing in enumerate(things):
        for _ in range(_TRIES if i not in ways else 0):
            way = _way(rng, thing, plan.events[i], frames, at=plan.times[i])
            if all(_apart(way, thing, other, things[k]) for k, other in ways.items()):
                ways[i] = way
                break
        if i not in ways:
            return None
    made = [
        _mover(rng, thing, plan.events[i], ways[i], other=plan.other.get(i, -1))
        for i, thing in enumerate(things)
    ]
    return tuple(made) if _names_differ(made) else None


def _mover(rng: Random, thing: Object, event: int, way: Way, *, other: int) -> Mover:
    """A thing on its way: colours changed, and gone where it is not there."""
    then = thing
    if event == CHANGES:
        colours = [c for c in COLOURS if c != thing.colour and (c, thing.shape) not in HELD_OUT]
        then = replace(thing, colour=colours[_below(rng, len(colours))])
    frames = [
        None if place is None else replace(thing if k < way.at else then, x=place[0], y=place[1])
        for k, place in enumerate(way.places)
    ]
    return Mover(event, tuple(frames), way.heading, way.at, other)


def _room(thing: Object) -> int:
    """How far from the edges a centre stays."""
    return thing.radius * 9 // 8 + _EDGE


def _way(rng: Random, thing: Object, event: int, frames: int, *, at: int) -> Way:
    """A straight way whose middle may lie where any heading's may, or a place on such a way."""
    heading, length = _below(rng, len(STEPS)), _LENGTHS[0] + _below(rng, _LENGTHS[1] - _LENGTHS[0])
    inner, last = _room(thing) + length // 2 + 1, frames - 1
    x, y = (inner + _below(rng, SPAN - 2 * inner) for _ in range(2))
    across, down = STEPS[heading]
    if across and down:
        length = length * 5 // 7  # as long aslant
    shares = [length * (2 * k - last) // (2 * last) for k in range(frames)]
    places: list[Place] = [(x + across * share, y + down * share) for share in shares]
    if event == MOVES:
        return Way(places, heading)
    places = [places[_below(rng, frames)]] * frames
    if event == APPEARS:
        places[:at] = [None] * at
    elif event == LEAVES:
        places[at:] = [None] * (frames - at)
    return Way(places, at=0 if event == STAYS else at)


def _pair(
    rng: Random, one: Object, other: Object, event: int, frames: int
) -> tuple[Way, Way] | None:
    """One thing goes to another and back: until they touch, or until there is a clear gap."""
    if one.colour == other.colour:
        return None  # nobody could see where one ends
    reach = one.radius + other.radius
    near = reach * _TOUCHING // 100 if event == HITS else reach * _APART // 100 + CLEAR
    far = near + 180 + _below(rng, 200)
    across, down = STEPS[_below(rng, 4)]
    inner, outer = _room(other), _room(one)
    x, y = (inner + _below(rng, SPAN - 2 * inner) for _ in range(2))
    if not all(outer <= at < SPAN - outer for at in (x - across * far, y - down * far)):
        return None
    # From 0, in the one or two frames in the middle, to the same at both ends.
    steps = [abs(2 * k - frames + 1) // 2 for k in range(frames)]
    gaps = [near + (far - near) * step // steps[0] for step in steps]
    places: list[Place] = [(x - across * gap, y - down * gap) for gap in gaps]
    met = replace(one, x=x - across * near, y=y - down * near)
    if event == HITS and overlap(replace(other, x=x, y=y), met) < COVERS:
        return None
    return Way(places), Way([(x, y)] * frames)


def _names_differ(movers: Sequence[Mover]) -> bool:
    """Whether no two things are ever of one colour and shape."""
    names = [{(t.colour, t.shape) for t in mover.track if t is not None} for mover in movers]
    return sum(map(len, names)) == len(set().union(*names))


def _apart(one: Way, thing: Object, other: Way, second: Object) -> bool:
    """Whether two things never come in each other's way."""
    least = ((thing.radius + second.radius) * _APART // 100) ** 2
    return all(
        a is None or b is None or (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 >= least
        for a, b in zip(one.places, other.places, strict=True)
    )
