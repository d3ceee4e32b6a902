"""Videos: frames chosen and decoded as a full decode has them; hostile files refused by numbers."""

import json
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data import films, layouts
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seesay.data import images, tape, video
from seesay.data.check import check
from seesay.data.fit import Fit
from seesay.data.sources import read
from seesay.errors import DataError, PictureError
from seesay.footage import VideoConfig
from seesay.records import Frame, Turn


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    """A film in each container, by its ending; `long` has key frames far apart and many."""
    folder = tmp_path_factory.mktemp("films")
    found = {ending: films.film(folder / f"film{ending}") for ending in films.CODECS}
    found["long"] = films.film(folder / "long.mkv", frames=120, gap=10)
    found["rare"] = films.film(folder / "rare.avi", frames=60, gap=60)
    return found


def shown(frames) -> list[np.ndarray]:
    return [np.asarray(each) for each in video.decoded(frames)]


def at(full, time) -> np.ndarray:
    """What a full decode shows at a time."""
    return [pixels for begins, pixels in full if begins <= time + 1e-6][-1]


@pytest.mark.parametrize("ending", films.CODECS)
@pytest.mark.parametrize(
    "config",
    [
        VideoConfig(frames=7),
        VideoConfig(frames=50, sampling="fps", fps=3.3),
        VideoConfig(frames=50, sampling="key"),
    ],
    ids=lambda config: config.sampling,
)
def test_frames_are_those_of_a_full_decode(made, ending, config):
    full, frames = films.whole(made[ending]), video.sample(made[ending], config, name="film")
    assert len(full) == 20 and 0 < len(frames) <= 8
    for frame, pixels in zip(frames, shown(frames), strict=True):
        assert (pixels == at(full, frame.time)).all(), frame.time
    # Backwards, alone, and from bytes.
    for frame, pixels in zip(frames[::-1], shown(frames[::-1]), strict=True):
        assert (pixels == at(full, frame.time)).all()
    assert (np.asarray(images.load(frames[-1])) == at(full, frames[-1].time)).all()
    held = video.sample(made[ending].read_bytes(), config, name="film")
    assert all((a == b).all() for a, b in zip(shown(held), shown(frames), strict=True))


@settings(max_examples=15)
@given(times=st.lists(st.floats(0, 11.9), min_size=1, max_size=6).map(sorted))
def test_a_reader_jumps_to_any_times(made, times):
    full = films.whole(made["long"])
    found = list(tape.pictures(made["long"], times, where="film"))
    for time, image in zip(times, found, strict=True):
        assert (np.asarray(image) == at(full, time)).all(), time


def decoded_for(path: Path, times) -> int:
    with tape.opened(path, "film") as (container, stream):
        reader = tape.Tape(container, stream, "film", jumping=True)
        for time in times:
            reader.at(time)
        return reader.decoded


def test_what_lies_between_is_not_decoded(made):
    assert decoded_for(made["long"], [11.5]) < 30
    assert decoded_for(made["long"], [2.0, 6.0, 11.5]) < 60
    # Where no key frame is nearer, nothing is decoded twice more than once.
    assert decoded_for(made["rare"], [1.5, 3.0, 4.5, 5.9]) <= 2 * 60


def test_times_are_even_ticking_or_those_of_key_frames(made):
    def times(**how):
        config = VideoConfig(**how)
        return [round(frame.time, 3) for frame in video.sample(made[".avi"], config, name="film")]

    assert times(frames=4) == [0.25, 0.75, 1.25, 1.75]
    assert times(frames=1) == [1.0]
    assert times(frames=9, sampling="fps", fps=2.0) == [0.0, 0.5, 1.0, 1.5]
    assert times(frames=2, sampling="fps", fps=2.0) == [0.5, 1.5]
    assert times(frames=9, sampling="key") == [0.0, 0.5, 1.0, 1.5]
    assert times(frames=3, sampling="key") == [0.0, 1.0, 1.5]


@given(count=st.integers(1, 300), most=st.integers(1, 40))
def test_thinned_is_even(count, most):
    kept = video.thinned(range(count), most)
    assert len(kept) == min(count, most) and kept == sorted(set(kept))
    gaps = np.diff([-1, *kept, count])
    assert gaps[1:-1].max(initial=1) - gaps[1:-1].min(initial=count) <= 1
    assert abs(int(gaps[0]) - int(gaps[-1])) <= 1


def test_a_video_of_a_turned_camera_is_upright(made, tmp_path):
    data = bytearray(made[".mp4"].read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[place : place + 36] = struct.pack(
        ">9i", 0, one, 0, -one, 0, 0, films.SIZE[1] * one, 0, one << 14
    )
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    (frame,) = video.sample(turned, VideoConfig(frames=1), name="film")
    plain = at(films.whole(made[".mp4"]), frame.time)
    found = np.asarray(images.load(frame))
    assert found.shape == (64, 48, 3) and (found == np.rot90(plain, -1)).all()


def refused(source, config=None) -> str:
    with pytest.raises(PictureError) as error:
        shown(video.sample(source, config or VideoConfig(), name="film"))
    assert str(error.value).startswith("film: ")
    return error.value.what


def test_hostile_files_are_refused(made, tmp_path, monkeypatch):
    whole = made["long"].read_bytes()
    assert "its frames end at" in (why := refused(whole[: len(whole) * 3 // 4]))
    assert "it says that it lasts 12.00 s" in why
    assert "cannot be decoded" in refused(made[".mp4"].read_bytes()[:-200])
    assert "not an MP4" in refused(b"#EXTM3U\nhttp://example.org/a.ts\n")
    assert "not an MP4" in refused(b"")
    assert "not an MP4" in refused(b"\0\0\0\x1cftypavif")
    assert "0 video streams" in refused(films.sound(tmp_path / "sound.mp4"))
    header = whole[: whole.index(b"\x1f\x43\xb6\x75")]
    assert refused(header) == "0 frames in it; 1 is the least"
    assert refused(films.film(tmp_path / "none.avi", frames=0)) == "0 frames in it; 1 is the least"
    assert "cannot be opened" in refused(tmp_path / "missing.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a file" in refused(tmp_path / "pipe.mp4")
    monkeypatch.setattr(tape, "MAX_SECONDS", 1)
    assert refused(whole) == "it lasts 12 s; the limit is 1"
    monkeypatch.setattr(tape, "MAX_BYTES", 100)
    assert refused(whole) == f"{len(whole)} bytes; the limit for one video is 100"


def test_frames_that_are_too_large_or_too_many_are_refused(made, monkeypatch):
    source = made[".avi"]
    frames = video.sample(source, VideoConfig(), name="film")
    monkeypatch.setattr(tape, "MAX_DECODED", 5)
    with pytest.raises(PictureError, match="more than 5 frames before"):
        shown(frames)
    monkeypatch.setattr("seesay.data.decode.MAX_PIXELS", 3000)
    assert refused(source) == "64x48 is 3072 pixels a frame; the limit is 3000"


def test_a_damaged_video_never_gives_a_grey_half(made):
    data = bytearray(made[".mp4"].read_bytes())
    middle = data.index(b"mdat") + 600
    data[middle : middle + 400] = bytes(400)
    full = films.whole(made[".mp4"])
    frames = video.sample(bytes(data), VideoConfig(frames=20), name="film")
    for frame in frames:
        try:
            (pixels,) = shown([frame])
        except PictureError:
            continue
        assert np.abs(pixels.astype(int) - at(full, frame.time)).mean() < 40


def test_without_pyav_it_is_said_what_to_install(made, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(DataError) as error:
        video.sample(made[".mp4"], VideoConfig(), name="film")
    assert not isinstance(error.value, PictureError) and "seesay[video]" in error.value.fix


# Folders of frames.


def test_a_folder_of_frames_is_in_the_order_of_its_numbers():
    names = ["f10.png", "f2.png", "f1.jpg", "notes.txt"]
    ordered = [("f1.jpg", 0.0), ("f2.png", 0.25), ("f10.png", 0.5)]
    assert video.folder(names, VideoConfig()) == ordered
    two = VideoConfig(frames=2, folder_fps=2.0)
    assert video.folder([f"{i}.png" for i in range(8)], two) == [("2.png", 1.0), ("6.png", 3.0)]
    ticking = VideoConfig(sampling="fps", fps=1.0)
    found = video.folder([f"{i}.png" for i in range(10)], ticking)
    assert found == [("0.png", 0.0), ("4.png", 1.0), ("8.png", 2.0)]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "0 frames in it; 1 to"),
        (["a.png", "1.png"], "'a.png' has no number"),
        (["a1.png", "b01.png"], "'a1.png' and 'b01.png' have one number"),
    ],
)
def test_folders_that_are_no_video(names, why):
    with pytest.raises(ValueError, match=why):
        video.folder(names, VideoConfig())


# Reading.


def times_of(example) -> list[float]:
    assert all(isinstance(picture, Frame) for picture in example.images)
    return [picture.time for picture in example.images]


@pytest.fixture
def data(made, tmp_path) -> Path:
    """A folder with a film, a GIF, a folder of frames and a picture."""
    for ending in (".mp4", ".gif"):
        (tmp_path / f"film{ending}").write_bytes(made[ending].read_bytes())
    films.folder(tmp_path / "frames", frames=12)
    (tmp_path / "still.png").write_bytes(layouts.png(1))
    return tmp_path


def rows(folder: Path, *lines: dict, **how):
    path = folder / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return read(path, limit_broken=1, footage=VideoConfig(frames=4), **how)


def test_a_column_holds_videos_pictures_and_folders_of_frames(data):
    names = ["film.mp4", "still.png", "film.gif", "frames", "film.mp4"]
    found = rows(data, *[{"image": name, "caption": "x"} for name in names])
    film, still, gif, frames, again = found.examples
    assert times_of(film) == [0.25, 0.75, 1.25, 1.75] and film.group == "film.mp4"
    assert again.images == film.images
    # In a column of pictures, a GIF is one: its first frame.
    assert still.images == (data / "still.png",) and gif.images == (data / "film.gif",)
    assert times_of(frames) == [0.25, 1.0, 1.75, 2.5]
    assert [frame.source.name for frame in frames.images] == ["1.png", "4.png", "7.png", "10.png"]
    full = films.whole(data / "film.mp4")
    fit = Fit(size=(48, 64), picture_tokens=1, row_tokens=64)
    made = np.concatenate(fit.pixels([*film.images, *still.images, *frames.images]))
    assert all((made[i] == at(full, film.images[i].time)).all() for i in range(4))
    assert (made[5] == films.picture(1)).all() and made.shape == (9, 48, 64, 3)


def test_a_column_of_videos(data):
    found = rows(data, {"video": "film.gif", "caption": "x"})
    assert len(times_of(found.examples[0])) == 4
    both = rows(data, {"image": "still.png", "video": "film.mp4", "caption": "x"})
    assert both.examples[0].images == (data / "still.png",)
    chosen = rows(data, {"image": "still.png", "clip": "film.mp4", "caption": "x"},
                  columns={"video": "clip"})  # fmt: skip
    assert len(times_of(chosen.examples[0])) == 4


def test_a_video_is_shown_where_its_mark_stands(data):
    asked = {"question": "first <video> then <video> what", "answer": "x"}
    (example,) = rows(data, {"video": ["film.mp4", "frames"], **asked}).examples
    assert len(example.images) == 8
    assert example.turns[0] == Turn("user", "first then what", pictures=(5,) * 4 + (10,) * 4)
    talk = [{"from": "human", "value": "<video>\nwhat?"}, {"from": "gpt", "value": "x"}]
    (example,) = rows(data, {"video": "film.mp4", "conversations": talk}).examples
    assert example.turns[0] == Turn("user", "what?") and len(example.images) == 4


def test_rows_of_videos_that_are_not_right(data, tmp_path):
    (data / "cut.mp4").write_bytes((data / "film.mp4").read_bytes()[:900])
    (data / "web.mp4").write_text("<html>404</html>")
    films.folder(data / "outside" / "deep", frames=1)
    inner = data / "inner"
    films.folder(inner / "linked", frames=2)
    (inner / "linked" / "2.png").symlink_to(data / "still.png")
    names = ("cut.mp4", "web.mp4", "outside")
    found = rows(data, *[{"video": name, "caption": "x"} for name in names])
    cut, web, outside = [each.why for each in found.broken]
    assert "a video that cannot be read: cannot be decoded" in cut
    assert "looks like a web page" in web and "0 frames in it" in outside
    linked = rows(inner, {"video": "linked", "caption": "x"})
    assert "is outside of the data folder" in linked.broken[0].why


def test_folders_and_tars_hold_videos(made, tmp_path):
    for name in ("up/a.mp4", "up/b.webm", "down/c.avi"):
        (tmp_path / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "classes" / name).write_bytes(made[Path(name).suffix].read_bytes())
    classes = read(tmp_path / "classes")
    assert sorted(e.answer for e in classes.examples) == ["down", "up", "up"]
    assert all(len(times_of(example)) == 8 for example in classes.examples)
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        (tmp_path / "0.txt").write_text("a bar grows")
        tar.add(made[".webm"], "0.webm")
        tar.add(tmp_path / "0.txt", "0.txt")
    (example,) = read(tmp_path / "train.tar").examples
    assert example.answer == "a bar grows" and len(times_of(example)) == 8
    with pytest.raises(DataError, match="a single video, not a data set"):
        read(made[".mp4"])


def test_check_counts_frames(data):
    lines = [{"video": "film.mp4", "caption": "x"}, {"video": "frames", "caption": "y"}]
    (data / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    report = check(data / "train.jsonl", sheet=data / "sheet.png")
    assert report.pictures == 16 and report.formats == {"video": 16} and not report.broken
    assert report.width.most == 64
    with Image.open(data / "sheet.png") as sheet:
        assert sheet.size[0] > 100
