"""Pictures: those of some prompts, each decoded and encoded once.

Shapes: N pictures, H W pixels, C channels, Q picture tokens, D their width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seesay.data import collate, images
from seesay.data.fit import Fit
from seesay.errors import LengthError
from seesay.model.regions import there
from seesay.model.rows import Context
from seesay.predict.protocol import Prompt
from seesay.records import Box, Picture, identity

if TYPE_CHECKING:
    from seesay.predict.native import SeesayPredictor


Looked = tuple[Picture, tuple[Box, ...]]  # a picture, and the boxes it is looked at in


class Pictures:
    """The pictures of some prompts, each decoded and encoded once, whoever asks about it.

    Several documents of a prompt share the pictures in front; each shows anew what is inside it.
    `connect`: as the text side takes them in, else as patches.
    """

    def __init__(
        self, predictor: "SeesayPredictor", prompts: Sequence[Prompt], *, connect: bool = True
    ) -> None:
        distinct: dict[Any, Looked] = {}
        shown = [_looked(prompt) for prompt in prompts]
        for each in (each for own in shown for each in own):
            distinct.setdefault(_key(each), each)
        places = {key: place for place, key in enumerate(distinct)}
        self._places = [[places[_key(each)] for each in own] for own in shown]
        self._inside = [predictor.fit.inside(prompt.turns) for prompt in prompts]
        self._tiles = images.num_tiles(predictor.fit.tiles)
        several = [picture for picture, _ in distinct.values()]
        pixels, timed = predictor.tiles(several), predictor.fit.timing(several)
        # One of each clip's frames stands for it where pictures are only counted.
        counts = timed.clips or (1,) * len(pixels)
        self._pixels_NHWC = pixels[np.cumsum((0, *counts))[:-1]]
        told = collate.timing([collate.Row(pixels, (), timing=timed)])
        times, clips = (told.get(name) for name in ("times_N", "clips_N"))
        pixels_NCHW = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        boxes = None
        if predictor.fit.regions:
            boxes = collate.padded([_shares(predictor.fit, *each) for each in distinct.values()])
            boxes = boxes.to(predictor.device)
        with predictor.autocast():
            model, fused = predictor.model, predictor.fused
            seen = model.look(pixels_NCHW.to(predictor.device), boxes=boxes, fused=fused)
            seen = model.watch(
                seen,
                times=None if times is None else times.to(predictor.device),
                clips=None if clips is None else clips.to(predictor.device),
            )
            self._seen_NQD = model.connect(seen, fused=fused) if connect else seen
        self._real_NQ = None if boxes is None else there(boxes)

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
        own, n = self._places[prompt], self._tiles
        front = len(own) - self._inside[prompt]
        shown = own[:front] + own[front:] * documents
        return [place * n + tile for place in shown for tile in range(n)]

    def context(self, prompts: Sequence[int]) -> Context:
        """The pictures of these prompts, in order, as what texts look at."""
        seen = self.seen(prompts)
        row_N = [row for row, prompt in enumerate(prompts) for _ in self._shown(prompt, 1)]
        owner_N = torch.tensor(row_N, dtype=torch.long, device=seen.device)
        real = self._real_NQ
        if real is not None:
            real = real[self._index(prompts, [1] * len(prompts))]
        return Context.of(seen, owner_N, rows=len(prompts), real=real)


def _looked(prompt: Prompt) -> list[Looked]:
    """The pictures of a prompt, each with its boxes."""
    boxes = prompt.boxes or ((),) * len(prompt.images)
    if len(boxes) != len(prompt.images):
        raise LengthError(
            f"boxes of {len(boxes)} pictures for {len(prompt.images)}",
            fix="give a tuple of boxes, or an empty one, for each",
        )
    return list(zip(prompt.images, boxes, strict=True))


def _shares(fit: Fit, picture: Picture, boxes: Sequence[Box]) -> np.ndarray:
    if not boxes:
        return fit.boxes()
    facts = images.examine(picture)
    return fit.boxes(boxes, width=facts.width, height=facts.height)


def _key(each: Looked) -> Any:
    """What is equal for one picture with one choice of boxes."""
    picture, boxes = each
    return identity(picture), boxes
