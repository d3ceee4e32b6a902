"""What a model takes in: pictures brought to its size, tile by tile, and rows of so many tokens.

Shapes: H W pixels, N tiles, F frames, R boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seesay.config import DataConfig
from seesay.coordinates import cells, shares
from seesay.data import images, resolution, video
from seesay.data.collate import showing
from seesay.data.geometry import Affine, clipped
from seesay.data.plan import Plan, Size, fixed
from seesay.data.text import Document, Text
from seesay.errors import DataError, RecipeError
from seesay.records import Box, Clip, Example, Frame, Picture, Turn, parts
from seesay.sight import MAX_PIXELS, MIN_PIXELS

# What chooses a grid of tiles for each picture.
CHOOSE = {"best": resolution.best, "split": resolution.split}
# A side no picture has: what is this large is cut into as many tiles as there may be.
_VAST = 1 << 20


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model takes in: pictures of one size (height, width), and rows of so many tokens.

    A picture is cut into rows and columns of `tiles`, each as large as that, with a small one of
    the whole after them; or each into as many, up to `max_tiles`, as it is found to be best for it
    (one of `CHOOSE`). `picture_tokens` are those of one tile; a picture may have up to
    `picture_budget` of them, and all of one conversation up to `sequence_budget` (0: any number).

    With `native`, a picture keeps its shape, has from `min_pixels` to `max_pixels`, and is looked
    at in squares of that size, each of which becomes one token.
    """

    size: tuple[int, int]
    picture_tokens: int
    row_tokens: int
    tiles: tuple[int, int] | str = (1, 1)
    max_tiles: int = 4
    min_pixels: int = MIN_PIXELS
    max_pixels: int = MAX_PIXELS
    picture_budget: int = 0
    sequence_budget: int = 0
    interleaved: bool = True  # whether pictures may be shown inside conversations
    how: str = "stretch"
    box_text: str = "thousandths"  # how boxes are said: `thousandths`, or `pixels`, of the canvas
    patches: tuple[int, int] | None = None  # the grid whose cells are labelled, where any is
    about: bool = False  # whether what an answer is about is labelled
    located: bool = False  # whether where in its picture an answer is, is labelled
    spoken: bool = True  # whether conversations are wanted
    claimed: bool = False  # whether texts to hold against pictures are wanted
    instructed: bool = False  # whether each document begins with its row's pictures
    packed: bool = False  # whether pictures share a row with others, where there is room
    regions: int = 0  # where boxes are looked at, those along a side of a grid of them
    things: bool = False  # whether what is in each of these boxes is labelled
    blank: bool = False  # whether pictures are left grey and not decoded: tokens are counted
    cut_frames: bool = False  # whether frames of videos become tiles as pictures do
    pool: int = 1  # how many neighbouring frames of a video stand in the text as one

    @classmethod
    def of(cls, data: DataConfig, *, size: Size, picture_tokens: int, **more: Any) -> "Fit":
        """What a recipe's data settings make of pictures, for a model that looks at tiles so large.

        Raises:
            RecipeError: a budget that not even one tile keeps.
        """
        budget = data.picture_budget or data.sequence_budget
        if 0 < budget < picture_tokens:
            name = "picture_budget" if data.picture_budget else "sequence_budget"
            raise RecipeError(
                f"{name} is {budget}, but one tile takes {picture_tokens} tokens",
                where=f"data.{name}",
                fix=f"make it {picture_tokens} or more, or raise model.connector.factor",
            )
        return cls(
            size=size,
            picture_tokens=picture_tokens,
            row_tokens=data.row_tokens,
            tiles=data.grid if isinstance(data.tiles, int | tuple) else data.tiles,
            max_tiles=data.max_tiles,
            min_pixels=data.min_pixels,
            max_pixels=data.max_pixels,
            picture_budget=data.picture_budget,
            sequence_budget=data.sequence_budget,
            how=data.fit,
            cut_frames=data.video.tiles,
            box_text=data.box_text,
            **more,
        )

    @property
    def chosen(self) -> bool:
        """Whether pictures differ in their tiles, and so in their tokens."""
        return isinstance(self.tiles, str)

    @property
    def native(self) -> bool:
        """Whether each picture keeps its own shape."""
        return self.tiles == "native"

    @property
    def measures(self) -> bool:
        """Whether what becomes of a picture depends on its size."""
        return self.chosen or self.how != "stretch"

    @property
    def says_as_given(self) -> bool:
        """Whether boxes are said of what is shown as they are of the picture itself."""
        return self.how == "stretch" and self.box_text == "thousandths"

    @property
    def whole(self) -> Size:
        """Height and width of a picture before it is cut; where they differ, of a square one."""
        return self.plan((_VAST, _VAST)).canvas

    @property
    def labelled(self) -> bool:
        """Whether what is in parts of a picture is labelled."""
        return self.things or self.patches is not None

    @property
    def each(self) -> int:
        """Tokens of such a picture."""
        return self.plan((_VAST, _VAST)).tokens

    @property
    def largest(self) -> Plan:
        """Of what becomes of pictures, what takes the most tokens."""
        if not self.chosen:
            return self.plan(self.whole)
        if self.native:
            rows, columns = resolution.fullest(self._most_squares())
            return self.plan((rows * self.size[0], columns * self.size[0]))
        several = resolution.grids(self.max_tiles)
        plans = [self.plan((r * self.size[0], c * self.size[1])) for r, c in several]
        return max(plans, key=lambda plan: plan.tokens)

    def beside(self, tokens: int) -> int:
        """Tokens that a document may have, in a row of so many of pictures, beside these."""
        return self.row_tokens - tokens

    def room_of(self, example: Example, tokens: Sequence[int]) -> int:
        """Tokens that a document of an example may have, those of pictures inside it included.

        `tokens`: of each of its pictures.

        Raises:
            DataError: its pictures leave no room, or are fewer than its turns show.
        """
        number, inside = len(example.images), self.inside(example.turns)
        if inside > number:
            raise DataError(
                f"{inside} pictures are shown in a conversation with {number}",
                where=str(example.origin),
                fix="give every picture that a turn shows",
            )
        room = self.beside(sum(tokens))
        if room < 2:
            fewer = ", or set data.sequence_budget" if self.chosen else ""
            raise DataError(
                f"{number} pictures take {sum(tokens)} tokens, a row holds {self.row_tokens}",
                where=str(example.origin),
                fix=f"raise data.row_tokens, or model.connector.factor{fewer}",
            )
        return room + sum(tokens[number - inside :])

    def shared(self, tokens: int) -> int:
        """Tokens that the documents of a row share, those of pictures in each included."""
        return self.row_tokens if self.instructed else self.beside(tokens)

    def plan(self, size: Size, most: int | None = None, *, cut: bool = True) -> Plan:
        """What becomes of a picture of this size; of no more than `most` tokens, where it can.

        cut: whether it may become several tiles.

        Raises:
            RecipeError: a frame of a video is to keep its shape.
        """
        if self.native and not cut:
            raise RecipeError(
                "the frames of a video are all of one shape, and here pictures keep theirs",
                where="data.tiles",
                fix="set data.tiles to 1",
            )
        if self.native:
            return resolution.native(
                size,
                unit=self.size[0],
                min_pixels=self.min_pixels,
                max_pixels=self.max_pixels,
                budget=self._most_squares(most),
            )
        how = {"tile": self.size, "fit": self.how, "tokens": self.picture_tokens}
        if not cut:
            return fixed(size, **how)
        if not isinstance(self.tiles, str):
            return fixed(size, grid=self.tiles, **how)
        limits = [each for each in (self.picture_budget, most) if each]
        choose = CHOOSE[self.tiles]
        return choose(size, max_tiles=self.max_tiles, budget=min(limits, default=None), **how)

    def _most_squares(self, most: int | None = None) -> int:
        """Most tokens of a picture in its own shape, and of no more than `most`."""
        budgets = (self.picture_budget, self.sequence_budget, most)
        return min([self.max_pixels // self.size[0] ** 2, *(each for each in budgets if each)])

    def grids(self, plans: Sequence[Plan]) -> tuple[Size, ...]:
        """Rows and columns of squares of pictures that keep their shapes; none of others."""
        if not self.native:
            return ()
        return tuple((p.canvas[0] // self.size[0], p.canvas[1] // self.size[1]) for p in plans)

    def num_looked(self, plan: Plan) -> int:
        """How many squares, or tiles, of a picture the vision side takes in."""
        return plan.tokens if self.native else plan.num_tiles
    def cuts(self, picture: Picture) -> bool:
        """Whether a picture may become several tiles: one of a video where a recipe says so."""
        return self.cut_frames or not isinstance(picture, Frame | Clip)

    def plans(self, pictures: Sequence[Picture], *, where: str = "") -> tuple[Plan, ...]:
        """What becomes of the pictures of one conversation; of files, headers are read.

        Raises:
            PictureError: a size that cannot be read.
            LengthError: with the fewest tiles each, they take more than the budget of a sequence.
        """
        cut = [self.cuts(picture) for picture in pictures]
        sizes = [self.whole] * len(pictures)
        if self.how != "stretch" or (self.chosen and any(cut)):
            sizes = images.sizes(pictures, where=where)

        def plan(shown: tuple[Size, bool], most: int | None) -> Plan:
            return self.plan(shown[0], most, cut=shown[1])

        several = list(zip(sizes, cut, strict=True))
        return resolution.together(several, plan, budget=self.sequence_budget or None, where=where)

    def tokens(self, pictures: Sequence[Picture], *, where: str = "") -> tuple[int, ...]:
        """How many tokens each of the pictures of one conversation takes; as `plans`."""
        if not self.chosen:
            return tuple(self.each if self.cuts(p) else self.picture_tokens for p in pictures)
        return tuple(plan.tokens for plan in self.plans(pictures, where=where))

    def pixels(
        self, pictures: Sequence[Picture], *, plans: Sequence[Plan] = (), where: str = ""
    ) -> list[np.ndarray]:
        """Each picture (1, H, W, 3), or a clip's frames (F, H, W, 3), before it is cut.

        `plans`: what is to become of them. The frames of a video are decoded together.
        """
        plans = plans or self.plans(pictures, where=where)
        every = [
            (part, plan)
            for picture, plan in zip(pictures, plans, strict=True)
            for part in parts(picture)
        ]
        if self.blank:
            made = (np.full((*plan.canvas, 3), images.PADDING, np.uint8) for _, plan in every)
        else:
            shown = video.decoded([part for part, _ in every], where=where)
            made = (
                images.laid(picture, plan, where=where)
                for picture, (_, plan) in zip(shown, every, strict=True)
            )
        several = ([next(made)[None] for _ in parts(picture)] for picture in pictures)
        return [own[0] if len(own) == 1 else np.concatenate(own) for own in several]

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """Pictures (N, H, W, 3) as what the model looks at: their tiles, one after another."""
        grid = (pixels.shape[1] // self.size[0], pixels.shape[2] // self.size[1])
        if self.native:
            return images.squares(pixels, grid)
        return images.tiles(pixels, grid, fit=self.how)

    def boxes(
        self,
        boxes: Sequence[Box] = (),
        *,
        width: float = 1,
        height: float = 1,
        map: Affine | None = None,
    ) -> np.ndarray:
        """The boxes looked at in a picture of that size, (R, 4): these, or a grid of them.

        `map`: from shares of the picture to shares of what is shown. What lies outside of that is
        not looked at.
        """
        if not boxes:
            return np.array(cells(self.regions), np.float32)
        sides = [shares(box, width=width, height=height) for box in boxes]
        if map is not None:
            sides = [clipped(map.sides(each)) or (-1.0,) * 4 for each in sides]
        return np.array(sides, np.float32)

    def inside(self, turns: Sequence[Turn]) -> int:
        """How many pictures some turns show among their words."""
        shown = sum(len(turn.pictures) for turn in turns)
        return shown if self.interleaved and self.spoken else 0

    def document(
        self, text: Text, turns: Sequence[Turn], *, tokens: Sequence[int] = (), **more: Any
    ) -> Document:
        """Turns as a document, with the pictures they show, where the model reads such.

        `tokens`: of each picture of the conversation; of as many as there are, where not given.
        """
        if not self.interleaved:
            turns = [replace(turn, pictures=()) if turn.pictures else turn for turn in turns]
        inside = sum(len(turn.pictures) for turn in turns)
        own = tokens[len(tokens) - inside :] if tokens else self.each
        return text.encode(turns, picture_tokens=own, **more)

    def shown(self, document: Document, tokens: int, *, picture_token: int) -> Document:
        """A document as it stands in a row: with its pictures' tokens, where they stand in each."""
        if not self.instructed:
            return document
        return showing(document, tokens, picture_token=picture_token)
