"""Language: captions in every style, referring expressions, and captions read back into facts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from seesay.errors import SeesayError, nearest
from seesay.scenes import chinese, english
from seesay.scenes.tongue import Tongue
from seesay.scenes.view import (
    ATTRIBUTES,
    BEHIND,
    CLEAR,
    FRONT,
    VALUES,
    View,
    covers,
)
from seesay.scenes.world import BACKGROUNDS, LANGUAGES, PLACES, Object, Scene

STYLES = ("list", "place", "size", "texture", "detail", "count", "relation")
_STYLE_SETS = {"list": 3, "place": 3, "size": 7, "texture": 11, "detail": 15, "count": 3}
_TONGUES = {"en": english.TONGUE, "zh": chinese.TONGUE}


def tongue(language: str) -> Tongue:
    """The words of a language."""
    if language not in _TONGUES:
        raise SeesayError(
            f"scenes do not speak {language!r}", where="language", fix=nearest(language, LANGUAGES)
        )
    return _TONGUES[language]


# --- saying ---------------------------------------------------------------------------------------


def caption(view: View, style: str, rng: Random, *, words: Tongue) -> str:
    """The scene in words. Every style but `relation` names every object, in reading order.

    Where no two objects lie clearly left of, above or behind one another, `relation` lists them.
    """
    if style == "relation":
        related = _relation_caption(view, rng, words)
        if related:
            return related
        style = "list"
    order = view.scene.reading_order()
    phrases = words.a[_STYLE_SETS[style]]
    codes, places, templates = view.codes, view.places, words.templates
    if style in ("place", "detail"):
        put = templates["caption_place" if style == "place" else "caption_at"][0]
        parts = [put(phrases[codes[i]], words.at[places[i]]) for i in order]
    else:
        parts = [phrases[codes[i]] for i in order]
    text = words.listed(parts, clauses=style == "place")
    if style == "detail":
        background = words.backgrounds[BACKGROUNDS.index(view.scene.background)]
        return templates["caption_detail"][0](text, background)
    if style == "count":
        if view.num == 1:
            return templates["caption_one"][0](text)
        return templates["caption_count"][0](text, words.counted[view.num])
    return text


def _relation_caption(view: View, rng: Random, words: Tongue) -> str:
    """How two of the objects lie; a lone object is said to be alone."""
    a = words.a[3]
    pairs = [
        (i, j, side)
        for j, row in enumerate(view.sides())
        for i, axes in enumerate(row)
        for side in axes
        if side >= 0
    ]
    for front, back in view.fronts():
        pairs += [(front, back, FRONT), (back, front, BEHIND)]
    if not pairs:
        return words.templates["caption_alone"][0](a[view.codes[0]]) if view.num == 1 else ""
    i, j, side = pairs[int(rng.random() * len(pairs))]
    return words.templates["caption_relation"][0](
        a[view.codes[i]], words.relations[side], a[view.codes[j]]
    )


def refer(scene: Scene, i: int, rng: Random, *, language: str = "en") -> str:
    """Words that pick out object i and no other, or "" where attributes alone cannot."""
    view, words = View(scene), tongue(language)
    attributes = view.describe(i, rng)
    return words.the[attributes][view.codes[i]] if attributes >= 0 else ""


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mention:
    """What a caption says of one object; None where it says nothing."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    texture: str | None = None
    place: str | None = None

    def fits(self, thing: Object) -> bool:
        """Whether all that is said is true of this object."""
        return (
            self.shape in (None, thing.shape)
            and self.colour in (None, thing.colour)
            and self.size in (None, thing.size)
            and self.texture in (None, thing.texture)
            and self.place in (None, thing.place)
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What a caption says: things, perhaps their number, the background, how two of them lie.

    `complete`: the caption claims to name every object.
    """

    mentions: tuple[Mention, ...]
    complete: bool = True
    number: int | None = None
    background: str | None = None
    relation: int | None = None  # of the first mention to the second

    def hold(self, scene: Scene) -> bool:
        """Whether every fact is true of the scene, each mention being another object."""
        if self.number not in (None, len(scene.objects)):
            return False
        if self.background not in (None, scene.background):
            return False
        if self.complete and len(self.mentions) != len(scene.objects):
            return False
        if self.relation is not None:
            first, second = self.mentions
            things = list(enumerate(scene.objects))
            return any(
                i != j and first.fits(a) and second.fits(b) and lies(i, j, self.relation, scene)
                for i, a in things
                for j, b in things
            )
        return _assignable(self.mentions, list(scene.objects))


def lies(i: int, j: int, relation: int, scene: Scene) -> bool:
    """Whether object i lies so to object j, beyond doubt."""
    a, b = scene.objects[i], scene.objects[j]
    if relation == FRONT:
        return i > j and covers(b, a)
    if relation == BEHIND:
        return j > i and covers(a, b)
    gap = (b.x - a.x, a.x - b.x, b.y - a.y, a.y - b.y)[relation]
    return gap >= CLEAR


def _assignable(mentions: tuple[Mention, ...], things: list[Object]) -> bool:
    """Whether each mention can have an object of its own."""
    if not mentions:
        return True
    for i, thing in enumerate(things):
        if mentions[0].fits(thing) and _assignable(mentions[1:], things[:i] + things[i + 1 :]):
            return True
    return False


def parse(text: str, language: str = "en") -> Facts | None:
    """The facts of a caption of any style, or None where it is no caption of this grammar.

    Spaces do not matter beyond parting words: a tokenizer may set commas and colons apart.
    """
    gap = " " if language == "en" else ""
    text = gap.join(text.split())
    return _grammar(language)(text.replace(" ,", ",").replace(" :", ":"))


def is_right(text: str, scene: Scene, language: str = "en") -> bool:
    """Whether a caption is grammatical, wholly true and, unless it relates two things, complete."""
    facts = parse(text, language)
    return facts is not None and facts.hold(scene)


@lru_cache(maxsize=4)
def _grammar(language: str) -> Callable[[str], Facts | None]:
    words = tongue(language)
    return _english_grammar(words) if language == "en" else _chinese_grammar(words)


def _any(words: tuple[str, ...], name: str) -> str:
    longest = sorted(words, key=len, reverse=True)
    return f"(?P<{name}>{'|'.join(map(re.escape, longest))})"


def _english_grammar(words: Tongue) -> Callable[[str], Facts | None]:
    shapes, colours, sizes, textures = words.values
    thing = re.compile(
        f"(?P<article>an?) (?:{_any(sizes, 'size')} )?(?:{_any(textures, 'texture')} )?"
        f"{_any(colours, 'colour')} {_any(shapes, 'shape')}(?: {_any(words.at, 'place')})?"
    )
    number = re.compile(f"{_any(words.numbers, 'number')} objects?: ")
    ground = re.compile(f" on a {_any(words.backgrounds, 'background')} background$")
    relation = re.compile(f" {_any(words.relations, 'relation')} ")

    def mention(text: str) -> Mention | None:
        found = thing.fullmatch(text)
        if found is None or (found["article"] == "an") != (text.split(" ")[1][0] in "aeiou"):
            return None
        return _mention(found, words)

    return _reader(words, mention, number=number, ground=ground, relation=relation)


def _chinese_grammar(words: Tongue) -> Callable[[str], Facts | None]:
    shapes, colours, sizes, textures = words.values
    thing = re.compile(
        f"(?:{_any(words.places, 'place')}[有的])?(?:{_any(sizes, 'size')}的)?"
        f"(?:{_any(textures, 'texture')})?{_any(colours, 'colour')}{_any(shapes, 'shape')}"
    )

    def mention(text: str) -> Mention | None:
        found = thing.fullmatch(text)
        return None if found is None else _mention(found, words)

    number = re.compile(f"{_any(words.counted, 'number')}东西：")
    ground = re.compile(f"^{_any(words.backgrounds, 'background')}背景上有")
    relation = re.compile(f"^(?P<first>.+)在(?P<second>.+)的{_any(words.relations, 'relation')}$")
    return _reader(words, mention, number=number, ground=ground, relation=relation)


def _mention(found: re.Match[str], words: Tongue) -> Mention:
    values = {}
    for name, own, known in zip(ATTRIBUTES, words.values, VALUES, strict=True):
        values[name] = known[own.index(found[name])] if found[name] else None
    places = words.at if found["place"] in words.at else words.places
    place = PLACES[places.index(found["place"])] if found["place"] else None
    return Mention(**values, place=place)


def _reader(
    words: Tongue,
    mention: Callable[[str], Mention | None],
    *,
    number: re.Pattern[str],
    ground: re.Pattern[str],
    relation: re.Pattern[str],
) -> Callable[[str], Facts | None]:
    """A reader of whole captions from one of single things."""
    alone = words.templates["caption_alone"][0]("\0").split("\0")

    def read(text: str) -> Facts | None:
        if text.startswith(alone[0]) and text.endswith(alone[1]) and "".join(alone) != "":
            only = mention(text[len(alone[0]) : len(text) - len(alone[1])])
            if only is not None:
                return Facts((only,), number=1)
        related = _related(text, words, mention, relation)
        if related is not None:
            return related
        return _listed(text, words, mention, number=number, ground=ground)

    return read


def _related(
    text: str,
    words: Tongue,
    mention: Callable[[str], Mention | None],
    relation: re.Pattern[str],
) -> Facts | None:
    found = relation.search(text)
    if found is None:
        return None
    if "first" in relation.groupindex:
        parts = found["first"], found["second"]
    else:
        parts = text[: found.start()], text[found.end() :]
    first, second = mention(parts[0]), mention(parts[1])
    if first is None or second is None:
        return None
    return Facts((first, second), complete=False, relation=words.relations.index(found["relation"]))


def _listed(
    text: str,
    words: Tongue,
    mention: Callable[[str], Mention | None],
    *,
    number: re.Pattern[str],
    ground: re.Pattern[str],
) -> Facts | None:
    """ "three objects: a, b and c", "a, b and c on a white background"."""
    background = count = None
    found = ground.search(text)
    if found:
        background = BACKGROUNDS[words.backgrounds.index(found["background"])]
        text = text[: found.start()] + text[found.end() :]
    found = number.match(text)
    if found:
        own = words.numbers if found["number"] in words.numbers else words.counted
        count = own.index(found["number"])
        if ("objects" in found[0]) != (count > 1) and words.name == "en":
            return None
        text = text[found.end() :]
    mentions = [mention(part) for part in _parts(text, words)]
    if not mentions or None in mentions:
        return None
    return Facts(tuple(m for m in mentions if m), number=count, background=background)


def _parts(text: str, words: Tongue) -> list[str]:
    """The items of a list, or [] where commas and "and" are not where they belong."""
    if words.clause and (words.clause in text or words.exists in text):
        return [part if words.exists in part else "" for part in text.split(words.clause)]
    *head, tail = text.split(words.comma)
    last = tail.split(words.last)
    if len(last) > 2 or (head and len(last) != 2) or any(words.last in part for part in head):
        return []
    return head + last
