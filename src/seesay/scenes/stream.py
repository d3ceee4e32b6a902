"""Stream: examples drawn from a world: captions, questions and caption pairs, one picture each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

from seesay.coordinates import box_text
from seesay.errors import SeesayError, nearest
from seesay.records import Box, Example, Origin, Turn
from seesay.scenes import watching
from seesay.scenes.asking import Asker, Question
from seesay.scenes.language import STYLES, caption, tongue
from seesay.scenes.language import is_right as language_is_right
from seesay.scenes.motion import Film
from seesay.scenes.questions import ask_many, chosen
from seesay.scenes.render import bounds, boxes, draw
from seesay.scenes.tongue import Tongue
from seesay.scenes.view import ATTRIBUTES, View, look_of
from seesay.scenes.world import Scene, World
from seesay.scenes.wrong import falsified

# Thousandths of the picture that the sides of boxes are rounded to: so few different numbers that
# each is a word of its own, which still say any drawn box to an IoU of 0.8 or more.
BOX_STEP = 20


def examples(
    world: World,
    index: int,
    *,
    questions: int = 6,
    captions: int = 1,
    kinds: Mapping[str, float] | None = None,
    caption_styles: Sequence[str] | None = None,
    statements: int = 0,
    resolution: int = 64,
) -> list[Example]:
    """One picture with its captions and questions; every example holds the same array of pixels.

    `kinds` weighs the kinds of questions (None: all alike but `ground`; the split `questions` asks
    only chained ones). `caption_styles` are drawn from in turn at random; None: the first caption
    lists the objects, others are in any other style. `statements` adds so many to be judged true or
    false.
    A scene that no wanted kind can ask gives fewer questions, perhaps none; the split `questions`
    gives as many different ones as the scene has.
    """
    scene = world.scene(index)
    view, words = View(scene), tongue(world.language)
    rng = world.rng(index, "text")
    image = (draw(scene, resolution),)
    maker = _Maker(scene, image, _origin(world, index), resolution)
    made = [
        maker.caption(view, _style(k, caption_styles, rng), rng, words) for k in range(captions)
    ]
    held_out_forms = world.split == "questions"
    ask = Asker(
        view,
        rng,
        tongue=words,
        held_out_pairs=world.split == "combinations",
        held_out_forms=held_out_forms,
    )
    names, sums = (("chained",), (1.0,)) if held_out_forms else _chosen(kinds)
    asked = ask_many(ask, questions, names=names, sums=sums) if questions else []
    if statements:
        asked += ask_many(ask, statements, names=("statement",), sums=(1.0,))
    made += [maker.question(question) for question in asked]
    return made


def picture(world: World, index: int, *, resolution: int = 64) -> Example:
    """The picture at an index alone, without a word."""
    scene, origin = world.scene(index), _origin(world, index)
    return Example((draw(scene, resolution),), (), origin, group=str(origin), scene=scene)


def classes(
    world: World,
    index: int,
    *,
    attributes: Sequence[str] = ("shape", "colour"),
    resolution: int = 64,
) -> list[Example]:
    """What the one thing of a picture is, by each of the attributes: a class of its values."""
    alone = replace(world, objects=(1, 1))
    scene, words = alone.scene(index), tongue(world.language)
    image = (draw(scene, resolution),)
    maker = _Maker(scene, image, _origin(world, index), resolution)
    look = View(scene).codes[0]
    made = []
    for name in attributes:
        a = ATTRIBUTES.index(name)
        question = words.templates["query"][0](words.the[0][look], words.attributes[a])
        answer = words.values[a][look_of(look)[a]]
        made.append(maker.example(question, answer, "classify", {"kind": name}, words.values[a]))
    return made


def told(example: Example, *, language: str = "en") -> Example:
    """The same without the picture: its conversation begins with every object's look and place.

    So do those of its shots.
    """
    assert isinstance(example.scene, Scene)
    words = caption(View(example.scene), "detail", Random(0), words=tongue(language))
    first, *others = example.turns
    begun = replace(first, text=f"{words}\n{first.text}".strip())
    shots = tuple(told(shot, language=language) for shot in example.shots)
    return replace(example, images=(), turns=(begun, *others), shots=shots)


def regions(example: Example) -> tuple[Box, ...]:
    """A box around every object of a drawn picture, whatever is asked of it; else none."""
    if not isinstance(example.scene, Scene):
        return ()
    return boxes(example.scene, len(example.images[0]))  # type: ignore[arg-type]


def is_right(text: str, scene: Scene | Film, language: str = "en") -> bool:
    """Whether a caption of a picture, or of a film, is grammatical, wholly true and complete."""
    if isinstance(scene, Film):
        return watching.is_right(text, scene, tongue(language))
    return language_is_right(text, scene, language)


def _origin(world: World, index: int) -> Origin:
    return Origin(f"scenes:{world.split}:{world.seed}", index)


def matches(
    world: World,
    index: int,
    n: int = 1,
    resolution: int = 64,
    *,
    caption_styles: Sequence[str] = ("list",),
) -> list[Example]:
    """Pairs of a true caption and the same with one word changed, which makes it false."""
    scene = world.scene(index)
    view, words = View(scene), tongue(world.language)
    rng = world.rng(index, "match")
    image = (draw(scene, resolution),)
    maker = _Maker(scene, image, _origin(world, index), resolution)
    made = []
    for _ in range(n):
        style = _style(0, caption_styles, rng)
        right = caption(view, style, rng, words=words)
        kind, wrong = falsified(
            right, scene, rng, language=world.language, all_pairs=world.split == "combinations"
        )
        prompt = _prompt(style, rng, words)
        made.append(maker.example(prompt, right, "match", {"kind": kind}, (right, wrong)))
    return made


def claims(
    world: World,
    index: int,
    n: int = 1,
    *,
    wrong: int = 0,
    caption_styles: Sequence[str] | None = None,
) -> list[tuple[str, bool]]:
    """`n` captions, which are true, and for each `wrong` with one word changed, which are not."""
    scene = world.scene(index)
    view, words, rng = View(scene), tongue(world.language), world.rng(index, "claim")
    all_pairs = world.split == "combinations"
    made: dict[str, bool] = {}
    for k in range(n):
        right = caption(view, _style(k, caption_styles, rng), rng, words=words)
        made[right] = True
        for _ in range(wrong):
            changed = falsified(right, scene, rng, language=world.language, all_pairs=all_pairs)
            made.setdefault(changed[1], False)
    return list(made.items())


@lru_cache(maxsize=64)
def _chosen_items(items: tuple[tuple[str, float], ...] | None):
    return chosen(None if items is None else dict(items))


def _chosen(kinds: Mapping[str, float] | None):
    return _chosen_items(None if kinds is None else tuple(kinds.items()))


def _style(k: int, styles: Sequence[str] | None, rng: Random) -> str:
    if styles is None:
        return STYLES[1 + int(rng.random() * (len(STYLES) - 1))] if k else STYLES[0]
    style = styles[int(rng.random() * len(styles))]
    if style not in STYLES:
        raise SeesayError(
            f"no caption style {style!r}", where="caption_styles", fix=nearest(style, STYLES)
        )
    return style


def _prompt(style: str, rng: Random, words: Tongue) -> str:
    prompts = words.prompts[style]
    return prompts[int(rng.random() * len(prompts))]


class _Maker:
    """What the examples of one picture share."""

    __slots__ = ("scene", "image", "origin", "group", "resolution", "num")

    def __init__(self, scene: Scene, image: tuple, origin: Origin, resolution: int):
        self.scene, self.image, self.origin, self.group = scene, image, origin, str(origin)
        self.resolution = resolution
        self.num = str(len(scene.objects))

    def example(
        self,
        prompt: str,
        answer: str,
        task: str,
        labels: dict[str, str],
        options: tuple[str, ...] = (),
        boxes: tuple[Box, ...] = (),
        objects: tuple[int, ...] = (),
        reasoning: str = "",
    ) -> Example:
        turns = (Turn("user", prompt), Turn("assistant", answer, reasoning))
        labels["objects"] = self.num
        return Example(
            self.image,
            turns,
            self.origin,
            task,
            self.group,
            options,
            boxes,
            labels,
            self.scene,
            objects,
        )

    def caption(self, view: View, style: str, rng: Random, words: Tongue) -> Example:
        prompt = _prompt(style, rng, words)
        text = caption(view, style, rng, words=words)
        return self.example(prompt, text, "caption", {"kind": style})

    def question(self, question: Question) -> Example:
        boxes, task = (), "vqa"
        text, answer, options = question.text, question.answer, question.options
        if question.kind in ("refer", "ground"):
            thing, side = self.scene.objects[question.objects[0]], self.resolution
            box = Box(*bounds(thing, side), label=f"{thing.colour} {thing.shape}")
            boxes = (box,)
            if question.kind == "ground":
                task, answer = "ground", box_text(box, width=side, height=side, step=BOX_STEP)
        labels = {"kind": question.kind}
        return self.example(
            text, answer, task, labels, options, boxes, question.objects, question.reasoning
        )
