"""Scenes that move: right by an independent reader, balanced, and not to be told from one frame."""

from collections import Counter, defaultdict
from itertools import combinations
from random import Random

import numpy as np
import pytest
from scenes.film_oracle import FilmOracle

from seesay import scenes
from seesay.errors import SeesayError
from seesay.records import Frame
from seesay.scenes import World, film, moving, render
from seesay.scenes.language import tongue
from seesay.scenes.motion import HITS, MOVES, STEPS
from seesay.scenes.stream import is_right
from seesay.scenes.watching import FILM_KINDS
from seesay.scenes.world import HELD_OUT, SPLITS


def asked(world, films, num=6, **more):
    for index in range(films):
        yield from moving(world, index, questions=num, captions=0, resolution=16, **more)


@pytest.mark.parametrize("kind", FILM_KINDS)
def test_answers_of_a_kind(kind):
    seen = 0
    for example in asked(World(seed=11), 150, 3, kinds={kind: 1.0}):
        assert example.labels["kind"] == kind and example.answer in example.options
        assert FilmOracle(example.scene).answer(example.question) == example.answer
        seen += 1
    assert seen > 25


@pytest.mark.parametrize("split", SPLITS)
def test_answers_and_captions_of_a_split(split):
    for index in range(60):
        caption, *questions = moving(World(seed=12, split=split), index, resolution=16)
        oracle = FilmOracle(caption.scene)
        assert oracle.told(caption.answer), caption.answer
        for example in questions:
            assert oracle.answer(example.question) == example.answer, example.question


def test_a_film_is_a_function_of_seed_split_and_index():
    world = World(seed=3)
    assert film(world, 7) == film(World(seed=3), 7)
    others = [film(World(seed=4), 7), film(World(seed=3, split="dev"), 7), film(world, 8)]
    assert all(other != film(world, 7) for other in others)
    one, again = (moving(world, 5, resolution=32) for _ in range(2))
    assert [e.turns for e in one] == [e.turns for e in again]
    for a, b in zip(one[0].images, again[0].images, strict=True):
        assert isinstance(a, Frame) and isinstance(b, Frame) and a.time == b.time
        assert isinstance(a.source, np.ndarray) and (a.source == b.source).all()
    assert [picture.time for picture in one[0].images] == [k / 4 for k in range(8)]
    assert all(example.images is one[0].images for example in one)


def test_more_frames_show_the_same_kind_of_film():
    for frames in (6, 11):
        for index in range(30):
            made = film(World(seed=2), index, frames=frames)
            assert len(made.scenes) == frames
            assert all(len(mover.track) == frames for mover in made.movers)
    with pytest.raises(SeesayError, match="a film of 5 frames cannot be drawn: 6 is the least"):
        film(World(), 0, frames=5)


def test_things_keep_apart_and_are_seen_whole():
    for index in range(120):
        made = film(World(seed=21), index)
        hits = {frozenset((i, m.other)) for i, m in enumerate(made.movers) if m.event == HITS}
        for frame in zip(*(mover.track for mover in made.movers), strict=True):
            for thing in frame:
                if thing is not None:
                    left, top, right, bottom = render.bounds(thing, 64)
                    assert min(left, top) >= 0 and max(right, bottom) <= 64
            for (i, a), (j, b) in combinations(enumerate(frame), 2):
                if a is not None and b is not None and frozenset((i, j)) not in hits:
                    assert render.overlap(a, b) == 0


def test_frames_show_what_the_tracks_say():
    """Drawn anew by plain scenes: nothing but what is there then."""
    made = film(World(seed=5), 3)
    (example, *_) = moving(World(seed=5), 3, resolution=48)
    for frame, scene in zip(example.images, made.scenes, strict=True):
        assert isinstance(frame, Frame)
        assert (frame.source == render.draw(scene, 48)).all()
    changing = sum(
        (a.source != b.source).any()
        for a, b in zip(example.images, example.images[1:], strict=False)
    )
    assert changing > 0


def looks(made) -> set[tuple[str, str]]:
    return {(t.colour, t.shape) for m in made.movers for t in m.track if t is not None}


def test_held_out_pairs_are_kept_to_their_split():
    for split in ("train", "dev", "test"):
        for index in range(150):
            assert not looks(film(World(seed=6, split=split), index)) & HELD_OUT
    world, about = World(seed=6, split="combinations"), []
    for index in range(80):
        made = film(world, index)
        assert looks(made) & HELD_OUT
        for example in moving(world, index, captions=0, resolution=16):
            things = [made.movers[i].first for i in example.objects]
            about.append(any((t.colour, t.shape) in HELD_OUT for t in things))
    assert sum(about) > 0.5 * len(about)


@pytest.fixture(scope="module")
def drawn():
    return list(asked(World(seed=31), 1500))


def test_every_kind_is_asked(drawn):
    counts = Counter(example.labels["kind"] for example in drawn)
    assert counts.keys() == FILM_KINDS.keys() and min(counts.values()) > 0.03 * len(drawn)


def test_nobody_can_answer_without_looking(drawn):
    """The best answer to each question, found on half of the films, scored on the others."""
    best: dict[str, Counter] = defaultdict(Counter)
    for example in drawn[::2]:
        best[example.question][example.answer] += 1
    right, chance = defaultdict(list), defaultdict(list)
    for example in drawn[1::2]:
        kind, known = example.labels["kind"], best.get(example.question)
        guess = known.most_common(1)[0][0] if known else example.options[0]
        right[kind].append(guess == example.answer)
        chance[kind].append(1 / len(example.options))
    gains = {kind: np.mean(right[kind]) - np.mean(chance[kind]) for kind in right}
    assert max(gains.values()) < 0.13, gains
    every = [np.mean(np.concatenate(list(side.values()))) for side in (right, chance)]
    assert every[0] - every[1] < 0.08


def guessed(place_of, films=4000) -> float:
    """How often the heading is told from where a thing is in one frame, by the best guess of each
    ninth, found on half of the films."""
    rng, seen = Random(0), []
    for index in range(films):
        for mover in film(World(seed=41, objects=(1, 2)), index).movers:
            if mover.event == MOVES:
                thing = mover.track[place_of(rng, len(mover.track))]
                seen.append((thing.place, mover.heading))
    best: dict[str, Counter] = defaultdict(Counter)
    for place, heading in seen[::2]:
        best[place][heading] += 1
    right = [best[place].most_common(1)[0][0] == heading for place, heading in seen[1::2]]
    assert len(right) > 900
    return sum(right) / len(right)


def test_one_frame_does_not_tell_which_way_things_move():
    chance = 1 / len(STEPS)
    assert guessed(lambda rng, frames: rng.randrange(frames)) < chance + 0.05
    assert guessed(lambda rng, frames: frames // 2) < chance + 0.05
    # The first does, a little: what moves right begins on the left.
    assert guessed(lambda rng, frames: 0) < chance + 0.3


def test_a_film_backwards_is_as_likely():
    """So frames out of order leave either of two headings."""
    back = {STEPS.index(s): STEPS.index((-s[0], -s[1])) for s in STEPS}
    counts = Counter(
        mover.heading
        for index in range(2500)
        for mover in film(World(seed=51, objects=(1, 2)), index).movers
        if mover.event == MOVES
    )
    for heading, number in counts.items():
        assert abs(number - counts[back[heading]]) < 4 * (number + counts[back[heading]]) ** 0.5


@pytest.mark.parametrize("language", ["en", "zh"])
def test_captions_are_read_back_in_any_order(language):
    world, told = World(seed=8, language=language), 0
    for index in range(60):
        example, *_ = moving(world, index, questions=0, resolution=16)
        made, said = example.scene, example.answer
        assert is_right(said, made, language) and said.isascii() == (language == "en")
        assert is_right(f"  {said.replace(',', ' ,')} ", made, language)
        other = film(world, index + 500)
        assert is_right(said, other, language) == (other == made)
        clauses = said.replace(" and ", ", ").split(", " if language == "en" else "，")
        if len(clauses) > 1:
            mixed = tongue(language).listed(clauses[::-1], clauses=True)
            assert is_right(mixed, made, language)
            assert not is_right(clauses[0], made, language)
            told += 1
        assert not is_right(said + clauses[0], made, language)
    assert told > 20


def test_both_languages_ask_the_same():
    for index in range(40):
        english, chinese = (
            moving(World(seed=9, language=language), index, resolution=16)
            for language in ("en", "zh")
        )
        assert [e.labels for e in english] == [e.labels for e in chinese]
        for one, other in zip(english, chinese, strict=True):
            assert other.question == "" or not other.question.isascii()
            assert one.objects == other.objects and one.scene == other.scene
            if one.options:
                assert one.options.index(one.answer) == other.options.index(other.answer)


def test_what_an_answer_is_about_is_labelled_at_first_and_at_the_end():
    for example in asked(World(seed=10), 40):
        made, labels = example.scene, scenes.about(example.scene, example.objects)
        assert labels.shape == (5, 2)
        if not example.objects:
            assert (labels == -1).all()
            continue
        mover = made.movers[example.objects[0]]
        second = mover.last if len(example.objects) == 1 else made.objects[example.objects[1]]
        for column, thing in enumerate((mover.first, second)):
            alone = scenes.things(scenes.Scene((thing,), made.background))[:, 0]
            assert (labels[:, column] == alone).all()


def test_kinds_are_checked():
    with pytest.raises(SeesayError, match="did you mean 'direction'"):
        moving(World(), 0, kinds={"directions": 1.0})
    few = moving(World(seed=1, objects=(1, 1)), 0, kinds={"order": 1.0}, captions=0)
    assert few == []
