"""Frames: videos as one of their frames, or in another order: what is known without motion."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from zlib import crc32

import numpy as np

from seesay.records import Frame, Picture

Order = Callable[[int, np.random.Generator], Sequence[int]]


def one(count: int, random: np.random.Generator) -> Sequence[int]:
    """One frame by lot, in place of all."""
    return [int(random.integers(count))] * count


def shuffled(count: int, random: np.random.Generator) -> Sequence[int]:
    """Another order of the frames, by lot."""
    while True:
        order = random.permutation(count).tolist()
        if order != sorted(order):
            return order


CONTROLS: dict[str, Order] = {"one_frame": one, "shuffled_frames": shuffled}


def instead(
    pictures: Sequence[Picture], order: Order, *, name: str, seed: int
) -> tuple[Picture, ...]:
    """An example's pictures, the frames of each video in an order; nothing where there is no video
    of two frames or more.

    What is shown first is still shown at its time: only what it is has changed.
    """
    random = np.random.default_rng((seed, crc32(name.encode())))
    made: list[Picture] = []
    moved = False
    for video, run in groupby(pictures, key=_video):
        several = list(run)
        frames = [frame for frame in several if isinstance(frame, Frame)]
        if video is None or len(frames) < 2:
            made += several
            continue
        moved = True
        shown = [frames[place] for place in order(len(frames), random)]
        pairs = zip(frames, shown, strict=True)
        made += [replace(own, source=other.source, at=other.at) for own, other in pairs]
    return tuple(made) if moved else ()


def _video(picture: Picture) -> str | None:
    return picture.video if isinstance(picture, Frame) else None
