"""Bootstrap: what the filter trusts is kept, of what was given and of what was said."""

import json
import runpy
import sys

import numpy as np
import pytest
import tiny
from PIL import Image

from seesay import bootstrap, cli, config, predict
from seesay.data import sources
from seesay.errors import CapabilityError, DataError, LengthError
from seesay.predict import Answer, Prompt
from seesay.records import Example, Origin, Turn

# Tiny models.
pytestmark = pytest.mark.usefixtures("one_thread")

BLIP = {"family": "fusion", "fusion": "shared", "space": 16}


def example(picture, caption: str, row: int = 0) -> Example:
    turns = (Turn("user", ""), Turn("assistant", caption))
    return Example((picture,), turns, Origin("noisy.csv", row), task="caption")


class Seen:
    """Judges and says by the picture's own colour."""

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    def match(self, images, texts):
        right = [text == self.of(image) for image, text in zip(images, texts, strict=True)]
        return np.where(right, 0.9, 0.2)

    def answer(self, prompts):
        self.asked += prompts
        said = [self.of(prompt.images[0]) for prompt in prompts]
        return [Answer(text if n % 2 == 0 else "grey") for n, text in enumerate(said)]

    @staticmethod
    def of(picture) -> str:
        red, green, _ = np.asarray(Image.open(picture)).mean(axis=(0, 1))
        return "red" if red > green else "green"


@pytest.fixture
def noisy(tmp_path) -> list[Example]:
    """A red picture with a true and a false caption, and a green one with a false one."""
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 255, 0))):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
    rows = [("a", "red"), ("b", "red"), ("a", "a dog")]
    return [example(tmp_path / f"{n}.png", text, i) for i, (n, text) in enumerate(rows)]


def test_what_is_trusted_is_kept_and_can_be_trained_on(noisy, tmp_path):
    seen = Seen()
    pairs = list(bootstrap.bootstrap(noisy, filter=seen, captioner=seen, samples=2, batch=1))
    assert [(p.caption, p.made, p.match) for p in pairs] == [
        ("red", False, 0.9), ("a dog", False, 0.2), ("red", True, 0.9), ("grey", True, 0.2),
        ("red", False, 0.2), ("green", True, 0.9), ("grey", True, 0.2),
    ]  # fmt: skip
    assert len(seen.asked) == 4 and all(prompt.turns == () for prompt in seen.asked)
    counts = bootstrap.write(iter(pairs), tmp_path / "out")
    assert counts == bootstrap.Counts(2, 2, given=3, given_kept=1, made=4, made_kept=2)
    read = sources.read(tmp_path / "out" / bootstrap.TABLE)
    found = [(Seen.of(e.images[0]), e.answer) for e in read.examples]
    assert not read.broken and sorted(found) == [("green", "green"), ("red", "red"), ("red", "red")]


def test_pictures_are_copied_whatever_they_are(noisy, tmp_path):
    data = noisy[0].images[0].read_bytes()
    array = np.asarray(Image.open(noisy[1].images[0]))

    class Sure(Seen):
        def match(self, images, texts):
            return np.ones(len(texts))

    given = [example(data, "bytes"), example(array, "array"), noisy[2]]
    pairs = bootstrap.bootstrap(given, filter=Sure())
    counts = bootstrap.write(pairs, tmp_path / "out")
    assert counts.pictures == counts.pictures_left == counts.given_kept == 3 and counts.made == 0
    read = sources.read(tmp_path / "out" / bootstrap.TABLE).examples
    assert [Seen.of(e.images[0]) for e in read] == ["red", "green", "red"]
    assert read[0].images[0].read_bytes() == data


def test_nothing_is_left_behind_where_nothing_is_trusted(noisy, tmp_path):
    pairs = bootstrap.bootstrap(noisy, filter=Seen())
    with pytest.raises(DataError, match="0 of 3 captions are held to be true with 0.95 or more"):
        bootstrap.write(pairs, tmp_path / "out", threshold=0.95)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    with pytest.raises(DataError, match="exists and is not an empty folder"):
        bootstrap.write(bootstrap.bootstrap(noisy, filter=Seen()), tmp_path)
    with pytest.raises(DataError, match="none of 0 examples is a caption"):
        next(bootstrap.bootstrap([], filter=Seen()))


# A model of its own.


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    table = config.as_table(tiny.recipe())
    settings = config.recipe(table | {"model": table["model"] | BLIP})
    words = tiny.text()
    made = tiny.model(settings, words)
    return tiny.save(tmp_path_factory.mktemp("blip") / "00000001", settings, words, made)


def test_match_is_the_models_own_probability(blip):
    """As `choose` weighs two texts; alone or beside others."""
    predictor = predict.load(blip, device="cpu")
    pictures = [np.full((16, 16, 3), shade, np.uint8) for shade in (20, 200)]
    texts = ["red", "a small ring"]
    both = predictor.match([pictures[0]] * 2, texts)
    assert both.shape == (2,) and ((0 < both) & (both < 1)).all()
    (chosen,) = predictor.choose([Prompt((pictures[0],), ())], [texts])
    odds = both / (1 - both)
    np.testing.assert_allclose(chosen, odds / odds.sum(), rtol=1e-5)
    mixed = predictor.match(pictures, texts)
    np.testing.assert_allclose(mixed[0], both[0], rtol=1e-5)
    assert predictor.match([], []).shape == (0,)
    with pytest.raises(LengthError, match="2 pictures and 1 texts"):
        predictor.match(pictures, ["red"])


def test_what_cannot_judge_says_so(tmp_path):
    settings, words = tiny.recipe(), tiny.text()
    folder = tiny.save(tmp_path / "00000001", settings, words, tiny.model(settings, words))
    with pytest.raises(CapabilityError, match="does not judge"):
        predict.load(folder, device="cpu").match([np.zeros((4, 4, 3), np.uint8)], ["red"])


def test_the_command(blip, tmp_path, capsys):
    for name in "ab":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    data = tmp_path / "data.csv"
    data.write_text("image,caption\na.png,red\nb.png,green\n")
    asked = ["bootstrap", str(blip), "--data", str(data), "--out", str(tmp_path / "out")]
    assert cli.main([*asked, "--threshold", "0", "--json", "--quiet"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["given_kept"] == made["given"] == 2 and made["made_kept"] == made["made"] <= 2
    table = (tmp_path / "out" / "captions.jsonl").read_text()
    rows = [json.loads(line) for line in table.splitlines()]
    assert len(rows) == 2 + made["made"] and rows[0].keys() >= {"image", "caption", "match"}
    # Not over what is there; and said before a model is opened.
    assert cli.main(asked) == 2 and "not an empty folder" in capsys.readouterr().err
    given = [*asked[:-1], str(tmp_path / "given"), "--given-only", "--threshold", "0"]
    assert cli.main(given) == 0 and "captions made:  0 of 0 kept" in capsys.readouterr().out


def test_the_bench_runs_as_it_is(blip, root, capsys, monkeypatch):
    script = root / "bench" / "bootstrap.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(blip), "--pictures", "4"])
    # The fixture's model knows too little to keep anything: what it would write is another matter.
    monkeypatch.setattr(bootstrap, "write", lambda pairs, folder: list(pairs))
    runpy.run_path(str(script), run_name="__main__")
    made = json.loads(capsys.readouterr().out)
    assert made["given"]["captions"] == 4 and 0 <= made["given"]["right"] <= 1
    assert made.keys() == {"given", "made"} and made["made"]["captions"] <= 4
