"""Language: captions of every style are read back as true, and one wrong word makes them false."""

import hashlib
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes.oracle import Oracle

from seesay.errors import SeesayError
from seesay.scenes import SPLITS, World, examples, matches
from seesay.scenes.language import STYLES, is_right, parse, refer, tongue
from seesay.scenes.tongue import Tongue
from seesay.scenes.world import HELD_OUT, LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("style", STYLES)
def test_captions_are_right(style, language):
    for split in SPLITS:
        world = World(seed=31, split=split, language=language)
        for index in range(40):
            (example,) = examples(world, index, questions=0, caption_styles=(style,), resolution=16)
            assert example.task == "caption" and example.labels["kind"] == style
            assert is_right(example.answer, example.scene, language), example.answer
            assert (example.question == "") == (style == "list")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("style", STYLES)
def test_one_wrong_word_is_found(style, language):
    kinds = set()
    for split in ("train", "combinations"):
        world = World(seed=32, split=split, language=language)
        for index in range(40):
            for example in matches(world, index, 2, 16, caption_styles=(style,)):
                right, wrong = example.options
                assert example.answer == right and example.task == "match"
                assert is_right(right, example.scene, language)
                assert parse(wrong, language) is not None
                assert not is_right(wrong, example.scene, language)
                if language == "en":
                    assert changed_words(right, wrong) == 1
                if split == "train":
                    mentions = parse(wrong, language).mentions
                    assert not {(m.colour, m.shape) for m in mentions} & HELD_OUT
                kinds.add(example.labels["kind"])
    assert {"colour", "shape"} <= kinds


def changed_words(right, wrong):
    """How many content words differ; a place or a relation is one word."""
    texts = []
    for text in (right, wrong):
        for phrase in sorted((*tongue("en").at, *tongue("en").relations), key=len, reverse=True):
            text = re.sub(rf"\b{phrase}\b", phrase.replace(" ", "_"), text)
        texts.append([word for word in text.split() if word not in ("a", "an")])
    return sum(a != b for a, b in zip(*texts, strict=True))


def test_the_default_match_has_the_default_prompt():
    (example,) = matches(World(), 0)
    assert example.question == "" and example.labels["kind"] in ("colour", "shape")


def test_a_match_cannot_be_told_by_its_words():
    """The caption that repeats itself more is not much more often the right one."""
    wins = []
    for index in range(600):
        (example,) = matches(World(seed=33, objects=(2, 6)), index, resolution=16)
        right, wrong = (len(set(re.findall(r"\w+", option))) for option in example.options)
        wins.append(0.5 if right == wrong else float(right < wrong))
    assert 0.4 < sum(wins) / len(wins) < 0.6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "red circle",
        "a red circle and",
        "a red circle, a blue star",
        "a red circle and a blue star and a green ring",
        "an red circle",
        "a orange circle",
        "a red circle on a red background",
        "one objects: a red circle",
        "three objects: ",
        "a red circle left of",
        "a red circle at the star",
    ],
)
def test_what_is_no_caption(text):
    assert parse(text) is None
    assert not is_right(text, World().scene(0))


@settings(max_examples=200, deadline=None)
@given(text=st.lists(st.sampled_from("a an red circle star , and left of on the".split())))
def test_reading_never_fails(text):
    parse(" ".join(text))
    parse("".join(text), "zh")


def test_spaces_do_not_matter():
    scene = World(objects=(3, 3)).scene(0)
    for language in LANGUAGES:
        for example in examples(World(objects=(3, 3), language=language), 0, captions=6):
            if example.task == "caption":
                spaced = re.sub("([,:：，、])", r" \1 ", example.answer)
                assert is_right(f" {spaced}  ", scene, language), spaced


def test_lists_must_be_complete():
    scene = World(seed=1, objects=(3, 3)).scene(0)
    (example,) = examples(World(seed=1, objects=(3, 3)), 0, questions=0)
    head, tail = example.answer.split(" and ")
    first, second = head.split(", ")
    assert is_right(f"{second}, {tail} and {first}", scene)  # the order is not a fact
    assert not is_right(f"{first} and {tail}", scene)
    assert not is_right(f"{head}, {first} and {tail}", scene)


@settings(max_examples=100, deadline=None)
@given(index=st.integers(0, 10**6))
def test_referring_means_one_object(index):
    scene = World(seed=34).scene(index)
    for i in range(len(scene.objects)):
        words = refer(scene, i, Random(index))
        assert not words or Oracle(scene).the(words) == i


def test_chinese_asks_the_same():
    """Both languages draw the same questions: the answers are each other's translation."""
    english, chinese = tongue("en"), tongue("zh")
    tables = [*zip(english.values, chinese.values, strict=True)]
    names = ("places", "numbers", "yes_no", "true_false", "more_fewer_same")
    tables += [(getattr(english, name), getattr(chinese, name)) for name in names]
    translated = {a: b for en, zh in tables for a, b in zip(en, zh, strict=True)}
    for index in range(300):
        pairs = zip(
            examples(World(seed=35), index, captions=0, resolution=16),
            examples(World(seed=35, language="zh"), index, captions=0, resolution=16),
            strict=True,
        )
        for en, zh in pairs:
            assert en.labels == zh.labels
            assert translated[en.answer] == zh.answer
            assert tuple(translated[option] for option in en.options) == zh.options
            assert not re.search("[a-z{}]|的的", zh.question), zh.question


def test_languages_have_the_same_phrasings():
    english, chinese = tongue("en"), tongue("zh")
    for table in ("templates", "prompts"):
        en, zh = getattr(english, table), getattr(chinese, table)
        assert {key: len(texts) for key, texts in en.items()} == {
            key: len(texts) for key, texts in zh.items()
        }
    assert isinstance(chinese, Tongue)


def test_unknown_languages_and_styles_are_refused():
    with pytest.raises(SeesayError, match="en, zh"):
        tongue("tlh")
    with pytest.raises(SeesayError, match="detail"):
        examples(World(), 0, caption_styles=("details",))


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "d2cfb1b5bcee85abdd9f93b58fbd2bd61b60b3107343c9505b86fb21c29118b3"),
        ("zh", "51888a3fcf2c2fc8a7ce0a27ac918e4129250dc868e362065a1a82bedab35cfc"),
    ],
)
def test_texts_never_change(language, expected):
    digest = hashlib.sha256()
    for split in SPLITS:
        world = World(seed=36, split=split, language=language)
        for index in range(30):
            for example in examples(world, index, captions=2, resolution=16):
                digest.update(f"{example.question}|{example.answer}\n".encode())
            for example in matches(world, index, resolution=16):
                digest.update(f"{example.options}\n".encode())
    assert digest.hexdigest() == expected
