"""Controls of videos: one frame in place of all, and frames in another order."""

import numpy as np
import pytest

from seesay import scenes
from seesay.data import images
from seesay.evaluate import evaluate, frames
from seesay.predict import Answer
from seesay.records import Example, Frame, Origin, Turn


def video(*shades: int, name: str = "film") -> tuple[Frame, ...]:
    return tuple(
        Frame(np.full((4, 6, 3), shade, np.uint8), k / 4, name) for k, shade in enumerate(shades)
    )


def shades(pictures) -> list[int]:
    return [int(images.pixels(picture, size=(4, 6))[0, 0, 0]) for picture in pictures]


def test_frames_keep_their_times_and_change_what_they_show():
    still = np.zeros((4, 6, 3), np.uint8)
    pictures = (*video(1, 2, 3, 4), still, *video(5, 6, name="other"), *video(7, name="short"))
    one = frames.instead(pictures, frames.one, name="a", seed=0)
    assert len(set(shades(one[:4]))) == 1 and len(set(shades(one[5:7]))) == 1
    mixed = frames.instead(pictures, frames.shuffled, name="a", seed=0)
    assert sorted(shades(mixed[:4])) == [1, 2, 3, 4] != shades(mixed[:4])
    assert shades(mixed[5:7]) == [6, 5]
    for made in (one, mixed):
        assert made[4] is still and made[7] is pictures[7]
        times = [picture.time for picture in made if isinstance(picture, Frame)]
        assert times == [0.0, 0.25, 0.5, 0.75, 0.0, 0.25, 0.0]
    assert frames.instead((still, *video(7)), frames.one, name="a", seed=0) == ()
    again = frames.instead(pictures, frames.shuffled, name="a", seed=0)
    assert shades(again) == shades(mixed)
    drawn = {
        shades(frames.instead(video(1, 2, 3), frames.one, name=str(i), seed=0))[0]
        for i in range(30)
    }
    assert drawn == {1, 2, 3}


class Watcher:
    """Says whether it gets lighter, from the first frame and the last."""

    def answer(self, prompts):
        seen = [shades(prompt.images) for prompt in prompts]
        return [Answer("lighter" if own[-1] > own[0] else "darker") for own in seen]

    def choose(self, prompts, options):
        raise NotImplementedError

    def embed(self, images=(), *, texts=()):
        raise NotImplementedError


def example(number: int) -> Example:
    pixels = [20 * number % 100 + 10 * k for k in range(5)]
    order = pixels if number % 2 else pixels[::-1]
    turns = (Turn("user", "which way"), Turn("assistant", "lighter" if number % 2 else "darker"))
    return Example(video(*order, name=str(number)), turns, Origin("x", number), group=str(number))


def test_a_score_of_motion_falls_without_it():
    made = evaluate(Watcher(), [example(number) for number in range(60)])
    assert made.scores["answers"].value == 1.0
    assert made.controls["answers_one_frame"].value == 0.5
    assert 0.2 < made.controls["answers_shuffled_frames"].value < 0.8
    assert made.controls["answers_blank"].value == 0.5
    kinds = ["blank", "shuffled", "question", "one_frame", "shuffled_frames"]
    assert list(made.controls_of("answers")) == kinds


def test_pictures_have_no_such_controls():
    plain = [e for i in range(3) for e in scenes.examples(scenes.World(), i, captions=0)]
    made = evaluate(Watcher(), plain, controls=())
    assert list(made.controls_of("answers")) == ["chance"]


@pytest.mark.parametrize("order", frames.CONTROLS.values())
def test_films_are_changed_so(order):
    one, *_ = scenes.moving(scenes.World(seed=1), 4, resolution=32)
    made = frames.instead(one.images, order, name=one.group, seed=0)
    known = [picture.source.tobytes() for picture in one.images]
    assert all(picture.source.tobytes() in known for picture in made)
    assert [p.time for p in made] == [p.time for p in one.images]
