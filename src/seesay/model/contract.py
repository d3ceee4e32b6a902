"""Contract: what every family offers to training, prediction and checkpoints.

Shapes: B rows, T positions, N pictures, C H W channels and pixels, P patches, V vision width, Q
picture tokens, D text width, M texts, E width of the common space, Y vocabulary, S context,
R boxes.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from seesay.model.layers import LayerCache, Record
from seesay.model.rows import Context, Layout, Placed
from seesay.model.squares import Grid
from seesay.model.time import pooled


class Model(nn.Module):
    """A family: it looks at pictures; what else it can do is in `can`, by the names of tasks.

    `answer` and `caption` are a `Speaker`'s, `embed` an `Embedder`'s, `embed_pictures` a
    `Viewer`'s, `match` a `Matcher`'s, and `fill` a `Reader`'s; `choose` among options can all that
    know words, and `locate` those with a head for boxes.
    """

    can: tuple[str, ...] = ()
    # Whether it reads pictures that stand among words; else all of them come in front.
    interleaves: bool = False
    # Whether each document begins with its row's pictures, which its question has a say in.
    instructed: bool = False
    # Whether several groups of pictures, each with its documents, may share a row.
    packs: bool = False
    # Whether the class token, where the vision side has one, is looked at beside the patches.
    sees_class: bool = False
    vision: nn.Module
    picture_token: int
    # The words' side: an `embedding`, and the `logits` of features; None where there is none.
    text: Any

    def __init__(self) -> None:
        super().__init__()
        self.connector: nn.Module | None = None
        # Reads what is in each patch off the vision side, and what the objects are that an answer
        # is about, or where it is, off the text side, where that is taught too.
        self.patch_head: nn.Linear | None = None
        self.object_head: nn.Linear | None = None
        self.box_head: nn.Module | None = None
        # What tells when a picture is shown, where it is told that.
        self.time: nn.Module | None = None

    def look(
        self,
        pictures: UInt8[Tensor, "N C H W"],
        *,
        boxes: Float[Tensor, "N R 4"] | None = None,
        grids: Sequence[Grid] = (),
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N P V"]:
        """Pictures as patches of the vision side's width, or as regions in these boxes.

        `grids`: of pictures in their own shapes, whose squares are given: see model/squares.py.
        """
        where: dict[str, Any] = {} if boxes is None else {"boxes": boxes}
        where |= {"grids": grids} if grids else {}
        return self.vision(pictures, **where, fused=fused, record=record)

    def connect(
        self,
        patches: Float[Tensor, "N P V"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N Q D"]:
        """Patches as what the text side takes in: as they are, unless there is a connector."""
        patches = self.gridded(patches)
        if self.connector is None:
            return patches
        return self.connector(patches, fused=fused, record=record)

    def gridded(self, patches: Float[Tensor, "N S V"]) -> Float[Tensor, "N P V"]:
        """The patches alone, without the class token where the vision side puts one before them.

        Or with it, where the family `sees_class`.
        """
        token = getattr(self.vision, "class_token", None)
        return patches if token is None or self.sees_class else patches[:, 1:]

    def watch(
        self,
        patches: Float[Tensor, "N P V"],
        *,
        times: Float[Tensor, " N"] | None = None,
        clips: Int[Tensor, " N"] | None = None,
    ) -> Float[Tensor, "M P V"]:
        """Patches of pictures that are shown at `times`, as `clips` pool them; see `time.pooled`.

        Those of a picture that is of no video, or of one frame at its beginning, are as they were.
        """
        if self.time is not None and times is not None:
            patches = self.time(patches, times)
        return patches if clips is None else pooled(patches, clips)

    def see(
        self,
        pictures: UInt8[Tensor, "N C H W"],
        *,
        boxes: Float[Tensor, "N R 4"] | None = None,
        grids: Sequence[Grid] = (),
        times: Float[Tensor, " N"] | None = None,
        clips: Int[Tensor, " N"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "M Q D"]:
        """Pictures as what the text side takes in."""
        patches = self.look(pictures, boxes=boxes, grids=grids, fused=fused, record=record)
        patches = self.watch(patches, times=times, clips=clips)
        return self.connect(patches, fused=fused, record=record)


class Said(NamedTuple):
    """Scores of words, and of what the objects are that answers are about, side by side (O·C).

    boxes: where these answers are: centre x and y, width and height, as shares of the picture.
    """

    words: Float[Tensor, "M Y"]
    objects: Float[Tensor, "K C"] | None
    boxes: Float[Tensor, "K 4"] | None = None


class Speaker(Model):
    """A family that says one word after another: logits = text.logits(tell(words, pictures))."""

    @abstractmethod
    def tell(
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "m Q V"],
        layout: Layout,
        *,
        wanted: Bool[Tensor, "B T"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Placed:
        """The features that the next words are told from; of `wanted` positions at least."""

    @abstractmethod
    def go_on(
        self,
        tokens: Int[Tensor, "B t"],
        seen: Float[Tensor, "N Q V"] | None,
        layout: Layout,
        *,
        caches: Sequence[LayerCache],
        last: Int[Tensor, " B"] | None = None,
        fused: bool = False,
    ) -> Float[Tensor, "B t D"]:
        """The same of the next positions, after those that `caches` hold.

        `seen` comes first, and is None from then on; `last` is then each row's last real position.
        """

    @abstractmethod
    def caches(self) -> Sequence[LayerCache]:
        """Empty caches for `decode`."""

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        *,
        pictures: UInt8[Tensor, "N C H W"],
        positions: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
        horizon: Int[Tensor, "B T"] | None = None,
        grids: Sequence[Grid] = (),
        times: Float[Tensor, " N"] | None = None,
        clips: Int[Tensor, " N"] | None = None,
        seen: Float[Tensor, "m Q V"] | None = None,
        select: Bool[Tensor, "B T"] | None = None,
        about: Bool[Tensor, "B T"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "*rows Y"] | Said:
        """Logits at every position (B, T, Y), or at the selected ones only (M, Y).

        `seen` are the pictures as `see` makes them, where several rows share one; `pictures`, with
        their `grids`, `times` and `clips`, are then not looked at. `horizon` is for a prefix LM
        alone. With `about`, also what is said of each object there, and of where it is.
        """
        if seen is None:
            videos = {"times": times, "clips": clips}
            seen = self.see(pictures, grids=grids, **videos, fused=fused, record=record)
        layout = Layout(positions, documents, groups, horizon)
        wanted = select if about is None or select is None else select | about
        # What is recorded is recorded whole.
        wanted = wanted if record is None else None
        told = self.tell(tokens, seen, layout, wanted=wanted, fused=fused, record=record)
        logits = self.text.logits(told.at(select))
        if about is None:
            return logits
        heads = (self.object_head, self.box_head)
        return Said(logits, *(None if head is None else head(told.at(about)) for head in heads))

    def decode(
        self,
        tokens: Int[Tensor, "B t"],
        *,
        seen: Float[Tensor, "N Q V"] | None,
        positions: Int[Tensor, "B t"],
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
        horizon: Int[Tensor, "B t"] | None = None,
        caches: Sequence[LayerCache],
        last: Int[Tensor, " B"] | None = None,
        fused: bool = False,
    ) -> Float[Tensor, "B #t Y"]:  # noqa: F821 - a shape, not a name with a comment
        """The next positions' logits, or of each row only those at `last` (B, 1, Y).

        `documents` and `groups` cover the cached positions and these. `seen` comes first, and is
        None from then on.
        """
        layout = Layout(positions, documents, groups, horizon)
        h_BtD = self.go_on(tokens, seen, layout, caches=caches, last=last, fused=fused)
        if last is not None:
            h_BtD = h_BtD.take_along_dim(last[:, None, None], dim=1)
        return self.text.logits(h_BtD)


class Viewer(Model):
    """A family that makes vectors of pictures."""

    @abstractmethod
    def embed_pictures(self, context: Context) -> Float[Tensor, "B *Q E"]:
        """Pictures, as patches, as vectors of unit length: one each, or several.

        The pictures of a row are taken together.
        """

    @staticmethod
    def centre(pictures: Float[Tensor, "B *Q E"]) -> Float[Tensor, "B E"]:
        """One vector of unit length a picture, for searches: of several, the middle.

        Its product with a text is then near the mean over them, where `similarity` takes the best.
        """
        return pictures if pictures.ndim == 2 else F.normalize(pictures.mean(dim=1), dim=-1)


class Embedder(Viewer):
    """A family with a space in common for pictures and texts."""

    @abstractmethod
    def embed_texts(
        self, tokens: Int[Tensor, "M T"], real: Bool[Tensor, "M T"], *, fused: bool = False
    ) -> Float[Tensor, "M E"]:
        """Texts as vectors of unit length."""

    @abstractmethod
    def similarity(
        self, pictures: Float[Tensor, "B *Q E"], texts: Float[Tensor, "M E"]
    ) -> Float[Tensor, "B M"]:
        """Scores of every picture with every text."""


class Matcher(Model):
    """A family that says of a text whether it is true of pictures."""

    @abstractmethod
    def match(
        self,
        tokens: Int[Tensor, "M T"],
        real: Bool[Tensor, "M T"],
        context: Context,
        *,
        fused: bool = False,
    ) -> Float[Tensor, " M"]:
        """Whether each text is true of its pictures, as `connect` gives them, one context a text:
        log p(true) / p(false).
        """
