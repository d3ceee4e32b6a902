"""What a recipe says of videos: which frames of them, and what a model makes of their times."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from seesay.fields import STRICT, Positive, Size

# Scenes that move need as many frames, for all to be done in its order.
LEAST_FRAMES = 6


@dataclass(config=STRICT, frozen=True, kw_only=True)
class VideoConfig:
    """Which frames of a video are looked at: at most `frames` of them."""

    frames: Annotated[int, Field(ge=1, le=4096)] = 8
    # The middles of so many equal spans; so many a second (`fps`); or those stored whole. Of more
    # than `frames`, that many are taken evenly.
    sampling: Literal["uniform", "fps", "key"] = "uniform"
    fps: Positive = 1.0
    # How fast the frames of a folder follow one another, which no file says.
    folder_fps: Positive = 4.0
    # Whether frames are cut into tiles as pictures are (data.tiles), or each is looked at whole.
    tiles: bool = False


@dataclass(config=STRICT, frozen=True, kw_only=True)
class TimeConfig:
    """What tells a model when a frame is shown, and how many it takes in as one picture."""

    kind: Literal["none", "sines", "learned"] = "none"
    # Neighbouring frames of a video whose patches are averaged.
    pool: Size = 1


def check_frames(frames: int, *, drawn: bool, plain: bool) -> None:
    """See that a source which is to move can.

    drawn: of scenes. plain: neither told nor behind shots.
    """
    if frames and not drawn:
        raise ValueError(f"frames is {frames}: only scenes are drawn in frames; of files, "
                         "data.video.frames says how many are looked at")  # fmt: skip
    if 0 < frames < LEAST_FRAMES:
        raise ValueError(f"frames is {frames}: scenes that move take {LEAST_FRAMES}")
    if frames and not plain:
        raise ValueError(f"frames is {frames}: scenes that move are not told, nor shots")


def check_pool(time: TimeConfig, video: VideoConfig, *, tiles: object) -> None:
    """See that frames which are to stand in the text as one are of one tile each."""
    if time.pool > 1 and video.tiles and tiles not in (1, (1, 1)):
        raise ValueError(f"model.time.pool is {time.pool}: data.video.tiles cuts frames into tiles "
                         f"(data.tiles = {tiles})")  # fmt: skip
