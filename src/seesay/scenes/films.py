"""Films: examples drawn from scenes that move: captions and questions on the frames of one film."""

from collections.abc import Mapping

from seesay.records import Example, Frame, Origin, Turn
from seesay.scenes.language import tongue
from seesay.scenes.motion import NUM_FRAMES, RATE, Film, film
from seesay.scenes.questions import ask_many, chosen
from seesay.scenes.render import draw
from seesay.scenes.watching import FILM_KINDS, Watcher, told
from seesay.scenes.world import World


def moving(
    world: World,
    index: int,
    *,
    questions: int = 6,
    captions: int = 1,
    kinds: Mapping[str, float] | None = None,
    resolution: int = 64,
    frames: int = NUM_FRAMES,
) -> list[Example]:
    """One film with its captions and questions; every example holds the same frames.

    `kinds` weighs the kinds of questions (None: all alike). A film that no wanted kind can ask
    gives fewer questions, perhaps none.
    """
    made, words = film(world, index, frames=frames), tongue(world.language)
    origin = Origin(f"scenes:motion:{world.split}:{world.seed}", index)
    images = drawn(made, resolution=resolution, name=str(origin))
    rng = world.rng(index, "told")
    found = []
    for _ in range(captions):
        prompts = words.prompts["motion"]
        prompt = prompts[int(rng.random() * len(prompts))]
        found.append((prompt, told(made, words), "", "caption", "motion", (), ()))
    ask = Watcher(made, rng, tongue=words, focused=world.split == "combinations")
    names, sums = chosen(kinds, FILM_KINDS)
    for q in ask_many(ask, questions, names=names, sums=sums, table=FILM_KINDS):
        found.append((q.text, q.answer, q.reasoning, "vqa", q.kind, q.options, q.objects))
    return [
        Example(
            images,
            (Turn("user", asked), Turn("assistant", answer, reasoning)),
            origin,
            task,
            group=str(origin),
            options=options,
            labels={"kind": kind, "objects": str(len(made.movers))},
            scene=made,
            objects=objects,
        )
        for asked, answer, reasoning, task, kind, options, objects in found
    ]


def drawn(film: Film, *, resolution: int, name: str) -> tuple[Frame, ...]:
    """The frames of a film, each with its time."""
    return tuple(
        Frame(draw(scene, resolution), k / RATE, name) for k, scene in enumerate(film.scenes)
    )
