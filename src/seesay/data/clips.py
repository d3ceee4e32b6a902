"""Clips: neighbouring frames of a video as one picture, and when each frame is shown."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from seesay.data.collate import Timing
from seesay.data.plan import Plan
from seesay.records import Clip, Example, Frame, Picture, Turn, parts, time_of


def timing(pictures: Sequence[Picture], plans: Sequence[Plan]) -> Timing:
    """When pictures are shown, tile by tile; nothing of those that are of no video."""
    each = [(p, plan.num_tiles) for p, plan in zip(pictures, plans, strict=True)]
    times = [time_of(part) for p, n in each for part in parts(p) for _ in range(n)]
    clips = [len(parts(p)) for p, n in each for _ in range(n)]
    pooled = max(clips, default=1) > 1
    return Timing(tuple(times) if any(times) else (), tuple(clips) if pooled else ())


def pooled(
    pictures: Sequence[Picture], turns: Sequence[Turn], *, pool: int
) -> tuple[tuple[Picture, ...], tuple[Turn, ...]]:
    """Pictures, so many neighbouring frames of a video as one, and turns that show them as one.

    Turns that show more pictures than there are stay as they are, to be refused.
    """
    front = len(pictures) - sum(len(turn.pictures) for turn in turns)
    if pool == 1 or front < 0 or not any(isinstance(picture, Frame) for picture in pictures):
        return tuple(pictures), tuple(turns)
    made, taken = list(_clips(pictures[:front], pool)), front
    told = []
    for turn in turns:
        places: list[int] = []
        for place, several in groupby(turn.pictures):
            count = len(list(several))
            clips = list(_clips(pictures[taken : taken + count], pool))
            made, taken = made + clips, taken + count
            places += [place] * len(clips)
        told.append(replace(turn, pictures=tuple(places)))
    return tuple(made), tuple(told)


def of(example: Example, *, pool: int) -> Example:
    """An example with its videos' neighbouring frames as one picture."""
    images, turns = pooled(example.images, example.turns, pool=pool)
    if len(images) == len(example.images):
        return example
    return replace(example, images=images, turns=turns)


def _clips(pictures: Sequence[Picture], pool: int) -> Iterator[Picture]:
    for name, run in groupby(pictures, key=_video):
        several = list(run)
        if name is None:
            yield from several
            continue
        frames = tuple(frame for frame in several if isinstance(frame, Frame))
        yield from (Clip(frames[i : i + pool]) for i in range(0, len(frames), pool))


def _video(picture: Picture) -> str | None:
    """The video that a picture is of, if of one."""
    return picture.video if isinstance(picture, Frame) else None
