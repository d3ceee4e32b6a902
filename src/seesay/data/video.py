"""Video: a video file or a folder of numbered frames -> the frames looked at, with their times.

None is decoded here: each is when it is wanted.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from seesay.data import decode, tape
from seesay.errors import PictureError
from seesay.footage import VideoConfig
from seesay.records import Clip, Frame, Picture, Turn

EXTENSIONS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")
MAX_FOLDER = 200_000  # frames in a folder

_NUMBER = re.compile(r"(\d+)\D*$")


def sample(
    source: Path | bytes, config: VideoConfig, *, name: str, where: str = ""
) -> tuple[Frame, ...]:
    """The frames of a video file that are looked at; none is decoded yet.

    Raises:
        PictureError: no video, too large, too long, or without frames.
        DataError: PyAV is not installed.
    """
    where = where or name
    with decode.refused(where), tape.opened(source, where) as (container, stream):
        lasts = tape.lasts(container, stream)
        if not lasts > 0:
            raise PictureError(tape.NONE, where=where)
        if lasts > tape.MAX_SECONDS:
            what = f"it lasts {lasts:.0f} s; the limit is {tape.MAX_SECONDS}"
            raise PictureError(what, where=where, fix="cut it into parts")
        if config.sampling == "uniform":
            times = [(i + 0.5) * lasts / config.frames for i in range(config.frames)]
        elif config.sampling == "fps":
            times = [k / config.fps for k in thinned(_ticks(lasts, config.fps), config.frames)]
        else:
            times = thinned(_key_times(container, stream), config.frames)
    return tuple(Frame(source, time, name, time) for time in times)


def frames(path: Path, config: VideoConfig) -> tuple[Frame, ...]:
    """The frames looked at of a video file, or of a folder of frames, by itself.

    Raises:
        PictureError: see `sample`; or a folder that is no video.
    """
    name = str(path)
    if not path.is_dir():
        return sample(path, config, name=name)
    try:
        found = folder(os.listdir(path), config)
    except (OSError, ValueError) as error:
        raise PictureError(f"no video: {error}", where=name) from None
    return tuple(Frame(path / own, time, name) for own, time in found)


def folder(names: Iterable[str], config: VideoConfig) -> list[tuple[str, float]]:
    """Of a folder's numbered frames, those looked at, each with its time in seconds.

    Raises:
        ValueError: why they are no frames of a video.
    """
    names = [name for name in names if name.lower().endswith(decode.EXTENSIONS)]
    if not 0 < len(names) <= MAX_FOLDER:
        raise ValueError(f"{len(names)} frames in it; 1 to {MAX_FOLDER} are read")
    numbered: dict[int, str] = {}
    for name in names:
        found = _NUMBER.search(os.path.splitext(name)[0])
        if found is None:
            raise ValueError(f"'{name}' has no number: frames are read in their numbers' order")
        if numbered.setdefault(int(found[1]), name) != name:
            raise ValueError(f"'{numbered[int(found[1])]}' and '{name}' have one number")
    ordered = [numbered[number] for number in sorted(numbered)]
    places: Sequence[int] = range(len(ordered))
    if config.sampling == "fps":
        lasts = len(ordered) / config.folder_fps
        shown = (int(k / config.fps * config.folder_fps + tape.JUST)
                 for k in _ticks(lasts, config.fps))  # fmt: skip
        places = list(dict.fromkeys(shown))
    return [(ordered[i], i / config.folder_fps) for i in thinned(places, config.frames)]


def thinned(several: Sequence[Any], most: int) -> list[Any]:
    """At most so many of some things, evenly: the middle ones of equal spans."""
    if len(several) <= most:
        return list(several)
    return [several[(2 * i + 1) * len(several) // (2 * most)] for i in range(most)]


def decoded(pictures: Sequence[Picture], *, where: str = "") -> Iterator[Picture]:
    """Pictures in their order, those in video files as pixels; each file is opened once a run.

    Raises:
        PictureError: see `tape.pictures`.
    """
    for run in runs(pictures):
        frames = [own for own in run if isinstance(own, Frame)]
        source = _file(run[0])
        if source is None:
            yield from (own.source if isinstance(own, Frame) else own for own in run)
            continue
        times = [own.at for own in frames if own.at is not None]
        named = where or frames[0].video
        if times == sorted(times):
            yield from map(np.asarray, tape.pictures(source, times, where=named))
            continue
        order = sorted(set(times))
        found = dict(zip(order, tape.pictures(source, order, where=named), strict=True))
        yield from (np.asarray(found[time]) for time in times)


def runs(pictures: Sequence[Picture]) -> Iterator[list[Picture]]:
    """Neighbouring pictures that are of one video file, together; each other by itself."""
    for source, run in groupby(pictures, key=_file):
        if source is None:
            yield from ([own] for own in run)
        else:
            yield list(run)


def _file(picture: Picture) -> Path | bytes | None:
    """The video file that a picture is decoded from, where it is in one."""
    picture = picture.frames[0] if isinstance(picture, Clip) else picture
    if not isinstance(picture, Frame) or picture.at is None:
        return None
    return picture.source if isinstance(picture.source, Path | bytes) else None


def laid(
    shown: Sequence[Picture | tuple[Frame, ...]], turns: Sequence[Turn]
) -> tuple[tuple[Picture, ...], tuple[Turn, ...]]:
    """Pictures and videos as pictures alone, and turns that show a video's frames at its mark."""
    several = [each if isinstance(each, tuple) else (each,) for each in shown]
    counts = iter(several[len(several) - sum(len(turn.pictures) for turn in turns) :])
    made = []
    for turn in turns:
        places = tuple(place for place in turn.pictures for _ in next(counts))
        made.append(replace(turn, pictures=places) if places != turn.pictures else turn)
    return tuple(frame for each in several for frame in each), tuple(made)


def _ticks(lasts: float, fps: float) -> range:
    """How many times a clock ticks, the first time at once."""
    return range(max(1, int(lasts * fps + 1 - tape.JUST)))


def _key_times(container: Any, stream: Any) -> list[float]:
    found = (p.pts for p in container.demux(stream) if p.is_keyframe and p.pts is not None)
    start = stream.start_time or 0
    return sorted(max(0.0, float((pts - start) * stream.time_base)) for pts in found) or [0.0]
