"""Statements: sentences that are true or false of all boxes of a picture (NLVR, Suhr et al., 2017).

Each is true of one of two pictures and false of the other, as NLVR's were gathered: which of them
it is asked of is a coin, so that nothing can be told from the sentence alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from seesay.records import Example, Origin, Turn
from seesay.scenes.forms import FORMS, OF_THINGS, OF_TOWERS, USUAL
from seesay.scenes.panels import Panels, drawn_by, panels, picture
from seesay.scenes.questions import chosen
from seesay.scenes.speaker import Speaker
from seesay.scenes.world import World

_TRIES = 40
TRUTH, WHAT = ("false", "true"), "what is in the boxes?"


def judged(
    world: World,
    index: int,
    *,
    boxes: int = 3,
    statements: int = 4,
    captions: int = 0,
    kinds: Mapping[str, float] | None = None,
    height: int = 64,
) -> list[Example]:
    """One picture of boxes, as high as that in pixels: what is in it, and statements that are true
    or false.

    All examples hold the same picture; asked for nothing, one holds it alone. `kinds` weighs what
    is stated; a picture of which it cannot be has fewer statements, perhaps none.
    """
    made, rng = panels(world, index, boxes=boxes), world.rng(index, "statements")
    image = (picture(made, height),)
    origin = Origin(f"scenes:panels:{world.split}:{world.seed}", index)
    whole = Example(image, (), origin, "caption", group=str(origin), scene=made)
    if not statements and not captions:
        return [whole]
    tried = (statement(made, rng, kinds=kinds) for _ in range(statements))
    return [
        *(replace(whole, turns=turns(WHAT, listed(made))) for _ in range(captions)),
        *(
            replace(whole, task="vqa", turns=turns(text, str(truth).lower()), options=TRUTH,
                    labels={"kind": kind, "boxes": "towers" if made.towers else "strewn"},
                    objects=about)
            for kind, text, truth, about in filter(None, tried)
        ),
    ]  # fmt: skip


def turns(asked: str, answer: str) -> tuple[Turn, Turn]:
    """A question and its answer."""
    return Turn("user", asked), Turn("assistant", answer)


def listed(panels: Panels) -> str:
    """All there is, box by box: a tower from its base, other things from the top and the left."""
    if panels.towers:
        boxes = ([item.colour for item in box] for box in panels.boxes)
        return "; ".join("tower of " + ", ".join(colours) for colours in boxes)
    ordered = (sorted(box, key=lambda item: (item.y, item.x)) for box in panels.boxes)
    return "; ".join(
        ", ".join(f"{item.size} {item.colour} {item.shape}" for item in box) for box in ordered
    )


def statement(
    panels: Panels, rng: Random, *, kinds: Mapping[str, float] | None = None
) -> tuple[str, str, bool, tuple[int, ...]] | None:
    """The kind of a sentence about a picture, itself, its truth, and which things of the picture it
    is about; None where none was found.

    It is true of the picture and false of another like it, or the other way. `kinds` weighs the
    forms of it; None: as people have said.
    """
    names, sums = chosen(USUAL if kinds is None else kinds, FORMS)
    forms = OF_TOWERS if panels.towers else OF_THINGS
    weights = [b - a if name in forms else 0.0
               for name, a, b in zip(names, (0.0, *sums), sums, strict=False)]  # fmt: skip
    if not any(weights):
        return None
    # One other picture only: of those that differ from it, a picture has too many.
    other = drawn_by(rng, boxes=len(panels.boxes), towers=panels.towers)
    truth, speaker = rng.random() < 0.5, Speaker(rng)
    for name in rng.choices(names, weights, k=_TRIES):
        said = forms[name](speaker)
        if said.test(panels) is truth and said.test(other) is not truth:
            holds, items = said.about, panels.items
            about = tuple(i for i, item in enumerate(items) if holds and holds(item))
            return name, speaker.written(said.text), truth, about
    return None
