"""Pictures: those of some prompts, each decoded and encoded once.

Shapes: N pictures, H W pixels, C channels, Q picture tokens, D their width.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seesay.data import clips, collate, images
from seesay.data.fit import Fit
from seesay.data.plan import Plan
from seesay.errors import LengthError
from seesay.model.regions import there
from seesay.model.rows import Context
from seesay.predict.shown import Shown
from seesay.records import Box, Picture, identity

if TYPE_CHECKING:
    from seesay.predict.native import SeesayPredictor


# A picture, the boxes it is looked at in, and what is to become of it.
Looked = tuple[Picture, tuple[Box, ...], Plan]


class Pictures:
    """The pictures of some prompts, each decoded and encoded once, whoever asks about it.

    Several documents of a prompt share the pictures in front; each shows anew what is inside it.
    `connect`: as the text side takes them in, else as patches.
    """

    def __init__(
        self, predictor: "SeesayPredictor", prompts: Sequence[Shown], *, connect: bool = True
    ) -> None:
        distinct: dict[Any, Looked] = {}
        shown = [_looked(prompt) for prompt in prompts]
        for each in (each for own in shown for each in own):
            distinct.setdefault(_key(each), each)
        places = {key: place for place, key in enumerate(distinct)}
        self._places = [[places[_key(each)] for each in own] for own in shown]
        self._inside = [predictor.fit.inside(own.prompt.turns) for own in prompts]
        self._look(predictor, list(distinct.values()), connect=connect)

    def _look(
        self, predictor: "SeesayPredictor", looked: Sequence[Looked], *, connect: bool
    ) -> None:
        pictures, plans = [picture for picture, _, _ in looked], [plan for _, _, plan in looked]
        none = np.zeros((0, *predictor.fit.size, 3), np.uint8)
        pixels_NHWC = np.concatenate([none, *predictor.tiles(pictures, plans)])
        timing = clips.timing(pictures, plans)
        # Of frames that stand in the text as one, the first is counted.
        counts = timing.clips or (1,) * len(pixels_NHWC)
        self._pixels_NHWC = pixels_NHWC[np.cumsum((0, *counts))[:-1]]
        ends = [0, *accumulate(predictor.fit.num_looked(plan) for plan in plans)]
        self._tiles = [range(a, b) for a, b in zip(ends, ends[1:], strict=False)]
        boxes = None
        if predictor.fit.regions:
            boxes = collate.padded([_shares(predictor.fit, *each) for each in looked])
            boxes = boxes.to(predictor.device)
        self._real_NQ = None if boxes is None else there(boxes)
        told = collate.timing([collate.Row(pixels_NHWC, (), timing=timing)])
        told = {name[:-2]: value.to(predictor.device) for name, value in told.items()}
        pixels_NCHW = torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).to(predictor.device)
        model, fused = predictor.model, predictor.fused
        grids = predictor.fit.grids(plans)
        with predictor.autocast():
            patches = model.look(pixels_NCHW, boxes=boxes, grids=grids, fused=fused)
            seen = model.watch(patches, **told)
            self._seen_NQD = model.connect(seen, fused=fused) if connect else seen

    def of(self, prompt: int, *, documents: int = 1) -> np.ndarray:
        """The pixels of a prompt's pictures, for so many documents."""
        return self._pixels_NHWC[self._shown(prompt, documents)]

    def seen(
        self, prompts: Sequence[int], *, documents: Sequence[int] | None = None
    ) -> torch.Tensor:
        """The pictures of these prompts, in order, as tokens of the text side's width."""
        counts = documents or [1] * len(prompts)
        return self._seen_NQD[self._index(prompts, counts)]

    def _index(self, prompts: Sequence[int], documents: Sequence[int]) -> torch.Tensor:
        pairs = zip(prompts, documents, strict=True)
        places = [place for prompt, count in pairs for place in self._shown(prompt, count)]
        return torch.tensor(places, dtype=torch.long, device=self._seen_NQD.device)

    def _shown(self, prompt: int, documents: int) -> list[int]:
        """Where the tiles stand of what a row of so many documents shows."""
        own = self._places[prompt]
        front = len(own) - self._inside[prompt]
        shown = own[:front] + own[front:] * documents
        return [tile for place in shown for tile in self._tiles[place]]

    def context(self, prompts: Sequence[int]) -> Context:
        """The pictures of these prompts, in order, as what texts look at."""
        seen = self.seen(prompts)
        row_N = [row for row, prompt in enumerate(prompts) for _ in self._shown(prompt, 1)]
        owner_N = torch.tensor(row_N, dtype=torch.long, device=seen.device)
        real = self._real_NQ
        if real is not None:
            real = real[self._index(prompts, [1] * len(prompts))]
        return Context.of(seen, owner_N, rows=len(prompts), real=real)


def _looked(own: Shown) -> list[Looked]:
    """The pictures of a prompt, each with its boxes and its plan."""
    prompt = own.prompt
    boxes = prompt.boxes or ((),) * len(prompt.images)
    if len(boxes) != len(prompt.images):
        raise LengthError(
            f"boxes of {len(boxes)} pictures for {len(prompt.images)}",
            fix="give a tuple of boxes, or an empty one, for each",
        )
    return list(zip(prompt.images, boxes, own.look.plans, strict=True))


def _shares(fit: Fit, picture: Picture, boxes: Sequence[Box], plan: Plan) -> np.ndarray:
    if not boxes:
        return fit.boxes()
    height, width = images.size(picture)
    return fit.boxes(boxes, width=width, height=height, map=plan.shares)


def _key(each: Looked) -> Any:
    """What is equal for one picture with one choice of boxes, shown in one way."""
    picture, boxes, plan = each
    return identity(picture), boxes, plan
