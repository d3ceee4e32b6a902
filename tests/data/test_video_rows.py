"""Rows of videos: their times and clips reach the batch, whichever way they are stored."""

import json
import operator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from seesay import config, scenes
from seesay.data import store, video
from seesay.data.augment import Augment
from seesay.data.fit import Fit
from seesay.data.rows import FileRows, SceneRows
from seesay.data.sources import read
from seesay.data.stream import Stream
from seesay.data.text import learn
from seesay.errors import DataError, LengthError, RecipeError
from seesay.footage import VideoConfig
from seesay.records import Clip, Example, Frame, Origin, Turn
from seesay.scenes.export import export

TEXT = tiny.text()
FIT = Fit(size=(16, 16), picture_tokens=4, row_tokens=96)


def film(*seeds: int, name: str = "film") -> tuple[Frame, ...]:
    return tuple(Frame(tiny.picture(seed), k / 4, name) for k, seed in enumerate(seeds))


def example(images, question="what colour is it ?", *, number=0, **turn) -> Example:
    turns = (Turn("user", question, **turn), Turn("assistant", "red"))
    return Example(images, turns, Origin("x", number), group=str(number))


def batch(examples, fit=FIT):
    rows = FileRows(examples, text=TEXT, fit=fit, seed=0)
    data = config.DataConfig(row_tokens=fit.row_tokens)
    stream = Stream([rows], config=data, text=TEXT, fit=fit, batch=len(rows.rows))
    return stream.step(0, 0.0)


def pixels(images) -> np.ndarray:
    return np.concatenate(FIT.pixels(images))


def of_origin(made, number: int) -> int:
    return made.origins.index(f"x:{number}")


def test_times_stand_beside_pictures():
    made = batch([example(film(1, 2, 3), number=0), example((tiny.picture(9),), number=1)])
    times = [[0.0, 0.25, 0.5], [0.0]]
    order = [of_origin(made, 0), of_origin(made, 1)]
    wanted = sum((times[order.index(row)] for row in range(2)), [])
    assert made.times_N is not None and made.times_N.tolist() == wanted
    assert made.clips_N is None and made.num_shown == 4
    assert batch([example((tiny.picture(9),))]).times_N is None


def test_neighbouring_frames_stand_there_as_one():
    fit = replace(FIT, pool=2)
    images = (*film(1, 2, 3), tiny.picture(9), *film(4, name="other"))
    rows = FileRows([example(images)], text=TEXT, fit=fit, seed=0)
    shown = rows.examples[0].images
    assert [len(c.frames) if isinstance(c, Clip) else 0 for c in shown] == [2, 1, 0, 1]
    made = batch([example(images)], fit)
    assert made.clips_N is not None and made.clips_N.tolist() == [0, 0, 1, 2, 3]
    assert made.times_N is not None and made.times_N.tolist() == [0.0, 0.25, 0.5, 0.0, 0.0]
    assert (made.tokens_BT == TEXT.picture).sum() == 4 * 4
    part = made.rows(slice(0, 1), width=8, pictures=slice(2, 5))
    assert part.clips_N is not None and part.clips_N.tolist() == [0, 1, 2]
    assert part.times_N is not None and part.times_N.tolist() == [0.5, 0.0, 0.0]


@pytest.mark.parametrize("pool", [1, 3])
def test_a_video_inside_a_conversation(pool):
    fit = replace(FIT, pool=pool)
    images = (*film(1, 2, 3, 4), tiny.picture(9))
    inside = example(images, "what is it ?", pictures=(5, 5, 5, 5, 7))
    made, count = batch([inside], fit), -(-4 // pool) + 1
    assert (made.tokens_BT == TEXT.picture).sum() == 4 * count == 4 * made.num_shown
    assert made.pictures_NCHW.shape[0] == 5
    # Documents that share a row show their own again.
    twice = batch([inside, replace(inside, origin=Origin("x", 1))], replace(fit, row_tokens=192))
    assert len(twice.tokens_BT) == 1 and twice.num_shown == 2 * count
    assert (twice.pictures_NCHW[5:] == twice.pictures_NCHW[:5]).all()
    if pool > 1:
        assert twice.clips_N is not None
        assert twice.clips_N.tolist() == [0, 0, 0, 1, 2, 3, 3, 3, 4, 5]


def test_tiles_have_the_times_of_their_frames():
    fit = replace(FIT, tiles=(1, 2), cut_frames=True)
    made = batch([example(film(1, 2))], fit)
    assert made.times_N is not None and made.times_N.tolist() == [0, 0, 0, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("tiles", [(1, 2), "best"])
def test_frames_are_one_tile_beside_pictures_of_several(tiles):
    fit = replace(FIT, tiles=tiles, max_tiles=2)
    wide = tiny.picture(9, (32, 16))
    made = batch([example((*film(1, 2, 3), wide))], fit)
    assert made.times_N is not None and made.times_N.tolist() == [0.0, 0.25, 0.5, 0.0, 0.0, 0.0]
    assert (made.tokens_BT == TEXT.picture).sum() == 6 * 4
    alone = batch([example((wide,))], fit)
    assert torch.equal(made.pictures_NCHW[3:], alone.pictures_NCHW)
    assert torch.equal(made.pictures_NCHW[:3], batch([example(film(1, 2, 3))]).pictures_NCHW)


def test_a_budget_is_kept_by_what_can_be_made_smaller():
    fit = replace(FIT, tiles="best", max_tiles=2, sequence_budget=16)
    made = batch([example((*film(1, 2, 3), tiny.picture(9, (32, 16))))], fit)
    assert len(made.pictures_NCHW) == 4
    with pytest.raises(LengthError, match="5 pictures take 20 tokens at the least"):
        batch([example((*film(1, 2, 3, 4), tiny.picture(9)))], fit)


def test_videos_that_do_not_fit_a_row_are_refused():
    with pytest.raises(DataError, match="24 pictures take 96 tokens, a row holds 96"):
        batch([example(film(*range(24)))])


def test_files_are_decoded_once_a_row(tmp_path, monkeypatch):
    from data import films

    path = films.film(tmp_path / "film.mkv")
    frames, opened = video.sample(path, VideoConfig(frames=5), name="film"), []
    plain = video.tape.pictures
    monkeypatch.setattr(video.tape, "pictures", lambda *a, **k: opened.append(1) or plain(*a, **k))
    made = batch([example(frames)])
    assert len(opened) == 1 and made.pictures_NCHW.shape == (5, 3, 16, 16)


@pytest.mark.parametrize("pool", [1, 2])
def test_all_frames_of_a_video_are_changed_alike(pool):
    """Of frames that are alike, all stay so, whatever is done to them."""
    how = {"flip": True, "shift": 3, "random_crop": 0.4, "jitter": 0.5, "rand_augment": 2}
    fit = replace(FIT, pool=pool)
    given = [example(film(1, 1, 1, 1), "what is it ?")]
    rows = FileRows(given, text=TEXT, fit=fit, seed=0, augment=Augment(**how))
    made = [rows.row(index, None).pictures for index in range(12)]
    assert all((own == own[:1]).all() and len(own) == 4 for own in made)
    assert len({own.tobytes() for own in made}) > 6


@pytest.mark.parametrize("how", ["pad", "crop"])
def test_frames_are_laid_as_a_picture_is(how):
    wide = tiny.picture(3, (64, 32))
    fit = replace(FIT, how=how)
    shown = fit.pixels([Frame(wide, 0.0, "film"), Clip((Frame(wide, 0.0, "a"),) * 2), wide])
    assert [len(each) for each in shown] == [1, 2, 1]
    assert all((each == shown[2]).all() for each in shown)


def table(folder: Path, *, count: int = 5) -> Path:
    """Films, folders of frames and a picture, and what is asked and told of them."""
    from data import films

    lines = []
    for number in range(count):
        films.film(folder / f"{number}.mkv", frames=6 + number)
        films.folder(folder / f"frames{number}", frames=5 + number)
        asked = {"question": f"<video> what colour is {number} ?", "answer": "red"}
        lines.append({"video": f"{number}.mkv", **asked})
        lines.append({"video": [f"frames{number}", f"{number}.mkv"], "question": "what ?",
                      "answer": "blue"})  # fmt: skip
    Image.fromarray(tiny.picture(0)).save(folder / "still.png")
    lines.append({"video": "still.png", "question": "what is it ?", "answer": "two"})
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "train.jsonl"


@pytest.mark.parametrize("pool", [1, 2])
def test_videos_kept_on_disk_are_those_in_memory(tmp_path, monkeypatch, pool):
    """The examples, and the batches made of them, beside films that are drawn."""
    path = table(tmp_path)
    few = read(path, footage=VideoConfig(frames=4)).examples
    monkeypatch.setattr(store, "MOST", 3)
    many = read(path, footage=VideoConfig(frames=4)).examples
    assert isinstance(few, list) and isinstance(many, store.Stored) and list(many) == few
    assert {len(each.images) for each in few} == {1, 4, 8}
    fit = replace(FIT, pool=pool, row_tokens=160, packed=True)
    source = config.SourceConfig(frames=6, objects=(1, 2), questions=2)
    streams = [mixed(source, examples, fit) for examples in (few, many)]
    for step in range(4):
        one, other = (stream.step(step, 0.0) for stream in streams)
        assert one.times_N is not None and (one.clips_N is None) == (pool == 1)
        for name in (field.name for field in fields(one)):
            value, wanted = getattr(one, name), getattr(other, name)
            same = torch.equal if isinstance(value, torch.Tensor) else operator.eq
            assert same(value, wanted), name


def mixed(source: config.SourceConfig, examples, fit: Fit) -> Stream:
    """Drawn films and those of files, in turns."""
    rows = [
        SceneRows(source, text=TEXT, fit=fit, seed=0),
        FileRows(examples, text=TEXT, fit=fit, seed=0),
    ]
    sources = (source, config.SourceConfig(path="films"))
    data = config.DataConfig(sources=sources, row_tokens=fit.row_tokens)
    return Stream(rows, config=data, text=TEXT, fit=fit, batch=6)


def test_videos_that_come_as_bytes_stay_in_memory():
    kept = store.Kept()
    frame = Frame(b"x", 0.0, "film", 0.0)
    assert not store._is_named(example((frame,))) and store._is_named(example((Path("a"),)))
    assert store._is_named(example((replace(frame, source=Path("a.mp4")),)))
    kept.add(example((frame,)))
    assert kept.done()[0].images == (frame,)


# Drawn ones.


def scene_rows(fit=FIT, **how):
    source = config.SourceConfig(frames=8, objects=(1, 3), **how)
    words = learn(["a"], kind="character")
    return SceneRows(source, text=words, fit=fit, seed=0)


def test_a_row_of_a_film_has_all_its_frames_and_labels():
    fit = replace(FIT, row_tokens=400, patches=(4, 4), about=True)
    made = scene_rows(fit, questions=3).row(5, None)
    one, *_ = scenes.moving(scenes.World(objects=(1, 3)), 5, questions=3, resolution=16)
    for pixels, frame in zip(made.pictures, one.images, strict=True):
        assert isinstance(frame, Frame) and (pixels == frame.source).all()
    assert made.timing.times == tuple(k / 4 for k in range(8)) and not made.timing.clips
    wanted = np.stack([scenes.patches(scene, (4, 4)) for scene in one.scene.scenes])
    assert made.labels is not None and (made.labels == wanted).all()
    assert made.about is not None and len(made.about) == len(made.documents)
    pooled = scene_rows(replace(fit, pool=4), questions=3).row(5, None)
    assert pooled.num_shown == 2 and len(pooled.pictures) == 8


def test_films_that_cannot_be_rows_are_refused():
    with pytest.raises(RecipeError, match="8 pictures take 32 tokens, a row holds 32"):
        scene_rows(replace(FIT, row_tokens=32)).row(0, None)
    with pytest.raises(RecipeError, match="have no captions to hold against them"):
        scene_rows(replace(FIT, claimed=True))
    for how in ({"frames": 3}, {"frames": 8, "shots": (1, 2)}):
        with pytest.raises(ValueError, match="scenes that move"):
            config.SourceConfig(**how)
    with pytest.raises(ValueError, match="frames is 8: only scenes are drawn in frames"):
        config.SourceConfig(path="films.csv", frames=8)


def test_films_of_a_folder_are_those_that_were_drawn(tmp_path):
    world = scenes.World(seed=7, objects=(1, 3))
    counts = export(tmp_path / "films", world, 4, resolution=16, frames=8)
    assert counts == {"videos": 4, "captions": 4, "questions": 24}
    found = read(tmp_path / "films", limit_broken=0.0)
    drawn = [e for i in range(4) for e in scenes.moving(world, i, resolution=16)]
    for one, other in zip(found.examples, drawn, strict=True):
        assert (one.question, one.answer, one.options) == (
            other.question, other.answer, other.options
        )  # fmt: skip
        assert one.labels["kind"] == other.labels["kind"] and one.task == other.task
        times = [[p.time for p in e.images if isinstance(p, Frame)] for e in (one, other)]
        assert times[0] == times[1] and len(times[0]) == 8
        assert (pixels(one.images) == pixels(other.images)).all()
    made = [batch([e], replace(FIT, row_tokens=400)) for e in (found.examples[1], drawn[1])]
    for name in ("tokens_BT", "pictures_NCHW", "times_N"):
        assert torch.equal(getattr(made[0], name), getattr(made[1], name))
