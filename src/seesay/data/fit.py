"""What a model takes in: pictures of one size, and rows of so many tokens.

Shapes: H W pixels, N pictures, R boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from seesay.coordinates import cells, shares
from seesay.data import images
from seesay.data.collate import Timing, showing
from seesay.data.text import Document, Text
from seesay.records import Box, Clip, Frame, Picture, Turn, parts, time_of


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model takes in: pictures of one size (height, width), and rows of so many tokens.

    A picture is cut into rows and columns of `tiles`, each as large as that, with a small one of
    the whole after them; `picture_tokens` are those of one tile.
    """

    size: tuple[int, int]
    picture_tokens: int
    row_tokens: int
    tiles: tuple[int, int] = (1, 1)
    interleaved: bool = True  # whether pictures may be shown inside conversations
    how: str = "stretch"
    patches: tuple[int, int] | None = None  # the grid whose cells are labelled, where any is
    about: bool = False  # whether what an answer is about is labelled
    located: bool = False  # whether where in its picture an answer is, is labelled
    spoken: bool = True  # whether conversations are wanted
    claimed: bool = False  # whether texts to hold against pictures are wanted
    instructed: bool = False  # whether each document begins with its row's pictures
    regions: int = 0  # where boxes are looked at, those along a side of a grid of them
    things: bool = False  # whether what is in each of these boxes is labelled
    pool: int = 1  # how many neighbouring frames of a video stand in the text as one

    @property
    def whole(self) -> tuple[int, int]:
        """Height and width of a picture before it is cut into tiles."""
        return self.size[0] * self.tiles[0], self.size[1] * self.tiles[1]

    @property
    def labelled(self) -> bool:
        """Whether what is in parts of a picture is labelled."""
        return self.things or self.patches is not None

    @property
    def each(self) -> int:
        """Tokens of one picture."""
        return self.picture_tokens * images.num_tiles(self.tiles)

    def beside(self, pictures: int) -> int:
        """Tokens that a document may have, in a row of so many pictures, beside theirs."""
        return self.row_tokens - pictures * self.each

    def shared(self, pictures: int) -> int:
        """Tokens that the documents of a row share, those of pictures in each included."""
        return self.row_tokens if self.instructed else self.beside(pictures)

    def frames(self, pictures: Sequence[Picture], *, where: str = "") -> np.ndarray:
        """Pictures, and the frames of clips, (N, H, W, 3), of the size of the whole."""
        every = [part for picture in pictures for part in parts(picture)]
        return images.several(every, size=self.whole, fit=self.how, where=where)

    def timing(self, pictures: Sequence[Picture]) -> Timing:
        """When pictures are shown, tile by tile; nothing of those that are of no video."""
        n = images.num_tiles(self.tiles)
        times = [time_of(part) for p in pictures for part in parts(p) for _ in range(n)]
        clips = [len(parts(p)) for p in pictures for _ in range(n)]
        pooled = max(clips, default=1) > 1
        return Timing(tuple(times) if any(times) else (), tuple(clips) if pooled else ())

    def pooled(
        self, pictures: Sequence[Picture], turns: Sequence[Turn]
    ) -> tuple[tuple[Picture, ...], tuple[Turn, ...]]:
        """Pictures, neighbouring frames of a video as one, and turns that show them as one."""
        if self.pool == 1 or not any(isinstance(picture, Frame) for picture in pictures):
            return tuple(pictures), tuple(turns)
        front = len(pictures) - sum(len(turn.pictures) for turn in turns)
        made, taken = self._clips(pictures[:front]), front
        told = []
        for turn in turns:
            places: list[int] = []
            for place, several in groupby(turn.pictures):
                count = len(list(several))
                clips = self._clips(pictures[taken : taken + count])
                made, taken = made + clips, taken + count
                places += [place] * len(clips)
            told.append(replace(turn, pictures=tuple(places)))
        return tuple(made), tuple(told)

    def _clips(self, pictures: Sequence[Picture]) -> list[Picture]:
        made: list[Picture] = []
        for name, run in groupby(pictures, key=_video):
            several = list(run)
            if name is None:
                made += several
                continue
            frames = tuple(frame for frame in several if isinstance(frame, Frame))
            made += [Clip(frames[i : i + self.pool]) for i in range(0, len(frames), self.pool)]
        return made

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """Pictures (N, H, W, 3) as what the model looks at: their tiles, one after another."""
        return images.tiles(pixels, self.tiles, fit=self.how)

    def boxes(
        self, boxes: Sequence[Box] = (), *, width: float = 1, height: float = 1
    ) -> np.ndarray:
        """The boxes looked at in a picture of that size, (R, 4): these, or a grid of them."""
        sides = [shares(box, width=width, height=height) for box in boxes] or cells(self.regions)
        return np.array(sides, np.float32)

    def inside(self, turns: Sequence[Turn]) -> int:
        """How many pictures some turns show among their words."""
        shown = sum(len(turn.pictures) for turn in turns)
        return shown if self.interleaved and self.spoken else 0

    def document(self, text: Text, turns: Sequence[Turn], **more: Any) -> Document:
        """Turns as a document, with the pictures they show, where the model reads such."""
        if not self.interleaved:
            turns = [replace(turn, pictures=()) if turn.pictures else turn for turn in turns]
        return text.encode(turns, picture_tokens=self.each, **more)

    def shown(self, document: Document, pictures: int, *, picture_token: int) -> Document:
        """A document as it stands in a row: with its pictures, where they stand in each."""
        if not self.instructed:
            return document
        return showing(document, pictures * self.each, picture_token=picture_token)


def _video(picture: Picture) -> str | None:
    """The video that a picture is of, if of one."""
    return picture.video if isinstance(picture, Frame) else None
