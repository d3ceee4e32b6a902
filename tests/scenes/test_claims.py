"""Claims: true ones hold of their scene and false ones do not; the same every time."""

import pytest

from seesay import scenes
from seesay.scenes.language import parse


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("split", ["train", "dev", "combinations"])
def test_claims_say_what_they_are(language, split):
    world = scenes.World(seed=3, split=split, language=language)
    for index in range(40):
        made = scenes.claims(world, index, 2, wrong=3)
        assert made == scenes.claims(world, index, 2, wrong=3)
        texts = [text for text, _ in made]
        assert len(set(texts)) == len(texts) and sum(true for _, true in made) in (1, 2)
        for text, true in made:
            facts = parse(text, language)
            assert facts is not None and bool(facts.hold(world.scene(index))) == true


def test_claims_are_of_the_styles_asked_for():
    world = scenes.World(seed=0)
    for index in range(20):
        ((text, true),) = scenes.claims(world, index, 1, caption_styles=["count"])
        assert true and ("object" in text)
    ((text, _),) = scenes.claims(world, 5, 1)
    assert text == scenes.examples(world, 5, questions=0, captions=1)[0].answer  # a plain list
