"""Shots: made-up names for colours and shapes, whose meaning only the examples before tell.

Fast binding, as children and Frozen (arXiv:2106.13884, section 4.3) are tested on it: each time,
two names are given to two colours or two shapes anew, so nothing but the shots says which is which.
"""

from dataclasses import replace
from itertools import count
from random import Random

from seesay.records import Example, Origin, Turn
from seesay.scenes.language import tongue
from seesay.scenes.render import draw
from seesay.scenes.view import ATTRIBUTES, COLOUR, SHAPE, VALUES
from seesay.scenes.world import HELD_OUT, Scene, World

NAMES = {
    "en": ("dax", "blicket", "wug", "toma", "fep", "zib", "gazzer", "modi", "lorp", "koba"),
    "zh": ("达克", "布里", "乌格", "托玛", "费普", "齐布", "加泽", "莫迪", "洛普", "科巴"),
}
ASKED = {"en": "what is this {0} called", "zh": "这种{0}叫什么"}
# Where the scenes of one row's pictures lie in the world: apart from those of other rows.
_APART = 40


def bound(world: World, index: int, *, shots: int = 4, resolution: int = 64) -> Example:
    """What one thing's colour (or shape) is called, after so many `shots` that say it of others.

    Two values have a made-up name each; from two shots on, both are shown. All else about the
    things differs by chance. `options` are the two names.
    """
    rng = world.rng(index, "shots")
    attribute = (SHAPE, COLOUR)[_below(rng, 2)]
    values = _two(rng, len(VALUES[attribute]))
    names = tuple(NAMES[world.language][i] for i in _two(rng, len(NAMES[world.language])))
    # Coins, not halves: or else what is left over could be counted.
    which = [_below(rng, 2) for _ in range(shots)]
    if shots > 1 and len({*which}) == 1:
        which[_below(rng, shots)] ^= 1
    which.append(_below(rng, 2))
    made = [
        _called(world, index, k, attribute=attribute, value=values[side], name=names[side],
                names=names, resolution=resolution)
        for k, side in enumerate(which)
    ]  # fmt: skip
    return replace(made[-1], shots=tuple(made[:-1]))


def named(world: World, index: int, *, resolution: int = 64) -> Example:
    """What one thing's shape is called, where each shape has one made-up name in every picture.

    No shots are with it: others of these are, and those tell that show the same shape. `options`
    are the names of all shapes.
    """
    names = NAMES[world.language][: len(VALUES[SHAPE])]
    value = _below(world.rng(index, "named"), len(names))
    return _called(world, index, 0, attribute=SHAPE, value=value, name=names[value], names=names,
                   resolution=resolution)  # fmt: skip


def _called(
    world: World,
    index: int,
    picture: int,
    *,
    attribute: int,
    value: int,
    name: str,
    names: tuple[str, ...],
    resolution: int,
) -> Example:
    """What one thing that has a value of an attribute is called."""
    scene = _lone(world, index, picture, value, ATTRIBUTES[attribute])
    asked = ASKED[world.language].format(tongue(world.language).attributes[attribute])
    origin = Origin(f"scenes:{world.split}:{world.seed}", index)
    return Example(
        (draw(scene, resolution),),
        (Turn("user", asked), Turn("assistant", name)),
        origin,
        group=f"{origin}#{picture}",
        options=names,
        labels={"kind": "bind", "bound": ATTRIBUTES[attribute]},
        scene=scene,
        objects=(0,),
    )


def _lone(world: World, index: int, picture: int, value: int, attribute: str) -> Scene:
    """A scene of one thing that has a value of an attribute, and no held-out pair."""
    lone = replace(world, objects=(1, 1))
    wanted = {attribute: VALUES[ATTRIBUTES.index(attribute)][value]}
    for attempt in count(1):
        scene = lone.scene(index + ((picture + (attempt << 10)) << _APART))
        thing = replace(scene.objects[0], **wanted)
        if (thing.colour, thing.shape) not in HELD_OUT:
            return Scene((thing,), scene.background)
    raise AssertionError("unreachable")


def _below(rng: Random, number: int) -> int:
    return int(rng.random() * number)


def _two(rng: Random, number: int) -> tuple[int, int]:
    """Two different numbers below `number`."""
    first = _below(rng, number)
    return first, (first + 1 + _below(rng, number - 1)) % number
