"""Scenes: a world of pictures drawn from scene graphs, so that every answer is known exactly.

`examples(World(seed=0), index)` is one picture with its captions and questions; `matches` pairs a
caption with a wrong one, `claims` are captions true and false; `picture` is the picture alone,
`classes` say what the one thing in a picture is, `things` what every one is, `patches` what is in
each cell of a grid over it, `about` what the objects are that a question is about; `bound` asks for
a made-up name, which the examples before it tell, `named` for one that others like it tell;
`judged` says what is true or false of boxes side by side, `asked` what is where in a grid;
`moving` is one film, scenes that move, with its captions and questions;
`regions` are boxes around all there is, and `told` has all there is in words instead of the
picture; `export` writes folders; `render.masks` and `render.boxes` show where.
"""

from seesay.scenes.films import moving
from seesay.scenes.grid import asked
from seesay.scenes.labels import (
    MOST_ABOUT,
    OBJECT_CLASSES,
    PANEL_CLASSES,
    PANEL_OBJECTS,
    PATCH_CLASSES,
    about,
    patches,
    things,
)
from seesay.scenes.motion import MOST_MOVING, NUM_FRAMES, Film, film
from seesay.scenes.shots import bound, named
from seesay.scenes.statements import judged
from seesay.scenes.stream import claims, classes, examples, matches, picture, regions, told
from seesay.scenes.world import SPLITS, Object, Scene, World

__all__ = [
    "MOST_ABOUT",
    "MOST_MOVING",
    "NUM_FRAMES",
    "OBJECT_CLASSES",
    "PANEL_CLASSES",
    "PANEL_OBJECTS",
    "PATCH_CLASSES",
    "SPLITS",
    "Film",
    "Object",
    "Scene",
    "World",
    "about",
    "asked",
    "bound",
    "claims",
    "classes",
    "examples",
    "film",
    "judged",
    "matches",
    "moving",
    "named",
    "patches",
    "picture",
    "regions",
    "things",
    "told",
]
