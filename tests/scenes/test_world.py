"""World: seeded for ever, split without overlap, and drawn so that nothing is in doubt."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.errors import SeesayError
from seesay.scenes import SPLITS, World
from seesay.scenes.world import PLACES, SPAN

counts = st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda pair: tuple(sorted(pair)))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    index=st.integers(0, 2**40),
    split=st.sampled_from(SPLITS),
    objects=counts,
)
def test_a_scene_keeps_its_promises(seed, index, split, objects):
    world = World(seed, split, objects)
    scene = world.scene(index)
    assert scene == World(seed, split, objects).scene(index)
    assert objects[0] <= len(scene.objects) <= objects[1]
    for thing in scene.objects:
        for part in (thing.x, thing.y):
            assert thing.radius <= part <= SPAN - thing.radius
            assert min(abs(part - SPAN * k / 3) for k in (1, 2)) >= 0.025 * SPAN
    for a, b in combinations(scene.objects, 2):
        assert (a.x - b.x) ** 2 + (a.y - b.y) ** 2 >= (0.77 * (a.radius + b.radius)) ** 2
        if PLACES.index(a.place) // 3 == PLACES.index(b.place) // 3:
            assert abs(a.x - b.x) >= 72


def test_reading_order():
    scene = World(seed=3, objects=(6, 6)).scene(5)
    read = [scene.objects[i] for i in scene.reading_order()]
    rows = [PLACES.index(thing.place) // 3 for thing in read]
    assert rows == sorted(rows)
    for a, b in zip(read, read[1:], strict=False):
        assert a.y * 3 // SPAN != b.y * 3 // SPAN or a.x < b.x


def test_splits_and_seeds_are_streams_of_their_own():
    scenes = {
        (seed, split): [World(seed, split, (3, 6)).scene(i) for i in range(200)]
        for seed in (0, 1)
        for split in SPLITS
    }
    everything = [scene for group in scenes.values() for scene in group]
    assert len(set(everything)) == len(everything)


def test_language_changes_no_picture():
    assert World(language="zh").scene(4) == World(language="en").scene(4)


def test_values_are_even():
    things = [thing for i in range(4000) for thing in World(seed=5).scene(i).objects]
    for name, least in (("shape", 8), ("colour", 8), ("size", 2), ("texture", 3), ("place", 9)):
        counts = Counter(getattr(thing, name) for thing in things)
        assert len(counts) == least
        for count in counts.values():
            assert count == pytest.approx(len(things) / least, rel=0.12)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"split": "tset"}, "test"),
        ({"language": "de"}, "did you mean 'en'"),
        ({"objects": (0, 3)}, "1 to 6"),
        ({"objects": (4, 3)}, "4 to 3"),
        ({"objects": (1, 7)}, "1 to 7"),
    ],
)
def test_a_wrong_world_is_refused(wrong, said):
    with pytest.raises(SeesayError, match=said):
        World(**wrong)
