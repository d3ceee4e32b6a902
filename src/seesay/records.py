"""Example, Turn, Box and Batch: what every other part passes around; and the shape legend.

Shapes, in every file of Seesay: B rows of a batch, T text positions, D text width, N pictures,
C H W colour channels, height and width in pixels, P patches, V vision width, Q picture tokens after
the connector, K heads, L layers, Y vocabulary.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file as it was when it was read: its size in bytes, and when (ns) it was written."""

    path: str
    size: int
    written: int


@dataclass(frozen=True, slots=True)
class Span:
    """A picture that is `size` bytes of a larger file, from `start` on.

    digest: of these bytes, by which pictures are told apart.
    """

    file: Stamp
    start: int
    size: int
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.file.path} at byte {self.start}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture in a column of a Parquet file: in a row of a row group, and at a place in the cell
    (None: all of it). digest: as of `Span`.
    """

    file: Stamp
    column: str
    group: int
    row: int
    place: int | None = None
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.file.path} in row {self.row} of row group {self.group}"


# A picture that lies in a larger file.
Within = Span | Cell


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a video, shown `time` seconds after the video begins.

    source: the video, which is decoded `at` so many seconds when the frame is wanted; where `at` is
    None, the frame's own picture. video: a name that the frames of one video share.
    """

    source: Path | bytes | np.ndarray
    time: float
    video: str
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """Neighbouring frames of a video that a model takes in as one picture."""

    frames: tuple[Frame, ...]


# A picture on disk, in a larger file, its encoded bytes, its pixels (H, W, 3; uint8; RGB), or one
# of a video's.
Picture = Path | Within | bytes | np.ndarray | Frame | Clip


def identity(picture: Picture) -> Hashable:
    """What is equal for one picture: a file's name, the encoded bytes (of a larger file, their
    digest), or the very array.

    Arrays are told apart by their places in memory, which whoever asks must hold; frames also by
    their times.
    """
    if isinstance(picture, Within):
        return picture.digest
    if isinstance(picture, Clip):
        return tuple(identity(frame) for frame in picture.frames)
    if isinstance(picture, Frame):
        return identity(picture.source), picture.at, picture.time
    return id(picture) if isinstance(picture, np.ndarray) else picture


def parts(picture: Picture) -> tuple[Picture, ...]:
    """What a model looks at: the frames of a clip, or the picture itself."""
    return picture.frames if isinstance(picture, Clip) else (picture,)


def time_of(picture: Picture) -> float:
    """When a picture is shown, in seconds: 0 where it is of no video."""
    return picture.time if isinstance(picture, Frame) else 0.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an example came from, as errors name it: a file and, where it has rows, the row."""

    file: str
    row: int | None = None

    def __str__(self) -> str:
        return self.file if self.row is None else f"{self.file}:{self.row}"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation; `reasoning` is what the assistant says to itself before it.

    `pictures`: before which characters of the text the example's next pictures are shown, one each,
    in order: (0,) shows one before the words. Pictures that no turn shows stand in front of all:
    the example's first ones.
    """

    role: Literal["user", "assistant"]
    text: str
    reasoning: str = ""
    pictures: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels: left and top are inside it, right and bottom just outside."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One training or test item.

    `turns` ends with the assistant's turn, which is the truth. `task` is the name of a file in
    `tasks/`. `group` names the picture: examples of one group are questions on the same pictures,
    which are then encoded once. `labels` are slices to report by (`{"kind": "count"}`). `options`
    are the answers to choose among, where the set is closed; for the task `match` the first is
    right. `votes` are what several people answered, where the truth is what most of them did.
    `scene` is the graph a drawn picture came from, `objects` which of its objects are asked
    about. `shots` are examples, each with its answer, to be shown before it.
    """

    images: tuple[Picture, ...]
    turns: tuple[Turn, ...]
    origin: Origin
    task: str = "vqa"
    group: str = ""
    options: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    scene: Any = None
    objects: tuple[int, ...] = ()
    shots: "tuple[Example, ...]" = ()
    votes: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """What the user's last turn asks; empty for a bare caption."""
        return next((t.text for t in reversed(self.turns) if t.role == "user"), "")

    @property
    def answer(self) -> str:
        """The assistant's last turn."""
        return next((t.text for t in reversed(self.turns) if t.role == "assistant"), "")


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's tensors.

    A row is one or more groups of pictures, each followed by its documents (conversations). A
    position sees an earlier one of the same group if that is a picture's or of the same document.
    Pictures shown inside a conversation are of its document.
    """

    tokens_BT: Tensor  # int64; the picture token stands where a picture's features go
    targets_BT: Tensor  # int64; the token to predict at each position, or -1 for no loss
    positions_BT: Tensor  # int64; restart after the pictures for each document
    # int64; 0 for pictures in front, 1.. for documents of the row, -1 for padding
    documents_BT: Tensor
    groups_BT: Tensor  # int64; which group of pictures of the row, -1 for padding
    pictures_NCHW: Tensor  # uint8, RGB, in the order of the picture tokens (row by row)
    # int64; the last place of its row that a position sees, where the model looks ahead within a
    # question; None where only pictures see each other both ways.
    horizon_BT: Tensor | None = None
    # Of each picture the boxes that are looked at, as shares of it: left, top, right, bottom; -1
    # for none. None where patches are looked at.
    boxes_NR4: Tensor | None = None
    # int64; the class of each patch, or of each box, by attribute, -1 where unknown; None where no
    # row has any.
    labels_NAP: Tensor | None = None
    # int64; at the position before an answer, the class by attribute of each object it is about; -1
    # where unknown and at all other positions; None where no row has any.
    about_BTAO: Tensor | None = None
    # Float; at the position before an answer that is in one place of the picture, the box of it:
    # centre x and y, width and height, as shares of the picture; NaN where unknown and at all other
    # positions; None where no row has any.
    boxes_BT4: Tensor | None = None
    # Texts to hold against pictures, each a row of its own (M, t; int64; padded after their end):
    # which are not padding, whether each is true (1 or 0), and of which row's pictures.
    claims_Mt: Tensor | None = None
    claims_real_Mt: Tensor | None = None
    claims_true_M: Tensor | None = None
    claims_row_M: Tensor | None = None
    # Where pictures keep their shapes, rows and columns of squares of each: `pictures_NCHW` are the
    # squares of all, row by row. Numbers, not a tensor: what is computed depends on them.
    grids: tuple[tuple[int, int], ...] = ()
    origins: tuple[str, ...] = ()  # where each row came from, for errors and dumps
    # Why rows that should be here are not: pictures that do not decode.
    skipped: tuple[str, ...] = ()
    # Float; when each picture is shown, in seconds, 0 for one of no video; None where all are 0.
    times_N: Tensor | None = None
    # int64, rising by at most 1; which of the pictures that stand in the text each is a frame of;
    # None where each stands there itself.
    clips_N: Tensor | None = None

    @property
    def num_shown(self) -> int:
        """How many pictures stand in the text: neighbouring frames may stand there as one."""
        if self.clips_N is None or not len(self.clips_N):
            return len(self.pictures_NCHW)
        return int(self.clips_N[-1]) + 1

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The same batch where a GPU can fetch it without waiting; data loaders call this."""
        return self._each(Tensor.pin_memory)

    @property
    def layout(self) -> dict[str, Any]:
        """What a model is told of the rows beside their tokens, as its `forward` names it."""
        return {
            "positions": self.positions_BT,
            "documents": self.documents_BT,
            "groups": self.groups_BT,
            "horizon": self.horizon_BT,
            "grids": self.grids,
            **self.timing,
        }

    @property
    def num_pictures(self) -> int:
        """How many pictures are looked at: tiles count, squares do not."""
        return len(self.grids or self.pictures_NCHW)

    @property
    def timing(self) -> dict[str, Any]:
        """What a model is told of the frames of videos beside their pixels; nothing of pictures."""
        told = {"times": self.times_N, "clips": self.clips_N}
        return {name: value for name, value in told.items() if value is not None}

    def rows(self, which: slice, *, width: int, pictures: slice = slice(None)) -> "Batch":
        """Some of the rows, cut to `width` positions, with these of the pictures."""
        wide = {f.name: getattr(self, f.name) for f in fields(self) if "_BT" in f.name}
        cut = {k: v[which, :width] for k, v in wide.items() if v is not None}
        labels = None if self.labels_NAP is None else self.labels_NAP[pictures]
        boxes = None if self.boxes_NR4 is None else self.boxes_NR4[pictures]
        times = None if self.times_N is None else self.times_N[pictures]
        clips = None if self.clips_N is None else self.clips_N[pictures]
        return replace(
            self,
            **cut,
            **self._claims(which),
            pictures_NCHW=self.pictures_NCHW[pictures],
            labels_NAP=labels,
            boxes_NR4=boxes,
            grids=self._grids(pictures),
            times_N=times,
            clips_N=clips - clips[:1] if clips is not None else None,
            origins=self.origins[which],
        )

    def _grids(self, squares: slice) -> tuple[tuple[int, int], ...]:
        """Those of the pictures whose squares are taken."""
        first, end, _ = squares.indices(len(self.pictures_NCHW))
        ends = [*accumulate((rows * columns for rows, columns in self.grids), initial=0)]
        spans = zip(self.grids, ends, ends[1:], strict=False)
        return tuple(grid for grid, a, b in spans if first <= a and b <= end)

    def _claims(self, which: slice) -> dict[str, Tensor]:
        """The claims of some rows."""
        if self.claims_row_M is None:
            return {}
        first, end, _ = which.indices(len(self.tokens_BT))
        keep_M = (self.claims_row_M >= first) & (self.claims_row_M < end)
        names = ("claims_Mt", "claims_real_Mt", "claims_true_M", "claims_row_M")
        kept = {name: getattr(self, name)[keep_M] for name in names}
        return kept | {"claims_row_M": kept["claims_row_M"] - first}

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {k: change(v) for k, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **changed)
