"""The Predictor protocol and its adapter to Seesay checkpoints."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from seesay import config, machine
from seesay.data import images
from seesay.data.collate import Row, collate
from seesay.data.stream import Fit
from seesay.data.text import Text
from seesay.errors import CapabilityError, CheckpointError, LengthError
from seesay.model import checkpoint, families, generate, golden
from seesay.model.families import Prefix
from seesay.records import Batch, Picture, Turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a predictor is asked: pictures, and turns that end with the user's (empty text: a caption)."""

    images: tuple[Picture, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predictor said: the text, and the natural-log probability of each of its tokens."""

    text: str
    log_probabilities: tuple[float, ...] = ()


@runtime_checkable
class Predictor(Protocol):
    """What evaluation, explanation, audits, search and the server talk to."""

    def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Free text for each prompt."""
        ...

    def choose(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        """For each prompt, a probability for each of its options (they sum to one)."""
        ...

    def embed(self, images: Sequence[Picture] = (), *, texts: Sequence[str] = ()) -> np.ndarray:
        """Vectors (items, width) of unit length, for pictures or for texts."""
        ...


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are decoded: greedily unless `temperature` or `beams` say otherwise."""

    most: int = 96
    temperature: float = 0.0
    top_p: float = 1.0
    beams: int = 1
    seed: int = 0


class SeesayPredictor:
    """A Seesay model as a Predictor.

    Args:
        fit: the pictures and rows it takes in. `most_rows`: how many prompts pass at once.
    """

    def __init__(
        self,
        model: Prefix,
        text: Text,
        *,
        fit: Fit,
        context: int,
        dtype: torch.dtype = torch.float32,
        decoding: Decoding | None = None,
        most_rows: int = 128,
        name: str = "model",
    ) -> None:
        self.model, self.text, self.fit, self.context = model, text, fit, context
        self.device = next(model.parameters()).device
        self._fused = self.device.type != "cpu"
        self.dtype, self.decoding = dtype, decoding or Decoding()
        self.most_rows, self.name = most_rows, name

    def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Free text for each prompt, greedy unless `decoding` says otherwise."""
        answers: list[Answer] = []
        for start in range(0, len(prompts), self.most_rows):
            answers += self._answer(prompts[start : start + self.most_rows], start)
        return answers

    def choose(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        """p(option) ∝ the product of its tokens' probabilities after the prompt."""
        if len(prompts) != len(options):
            raise LengthError(
                f"{len(prompts)} prompts but {len(options)} lists of options", fix="give one each"
            )
        chosen: list[np.ndarray] = []
        rows = max(1, self.most_rows // 4)
        for start in range(0, len(prompts), rows):
            end = start + rows
            chosen += self._choose(prompts[start:end], options[start:end])
        return chosen

    def embed(self, images: Sequence[Picture] = (), *, texts: Sequence[str] = ()) -> np.ndarray:
        """Not what a prefix model can do."""
        raise CapabilityError(
            "a model of family 'prefix' has no common space of pictures and texts to embed in",
            where=self.name,
            fix=f"it can: {', '.join(Prefix.can)}",
        )

    @torch.inference_mode()
    def _answer(self, prompts: Sequence[Prompt], offset: int) -> list[Answer]:
        self.model.eval()
        distinct, order = _distinct(prompts)
        pixels = [self._pixels(picture) for picture in distinct]
        rows, at = [], 0
        for prompt in prompts:
            document = self.text.encode(prompt.turns)
            self._check_length(len(document), len(prompt.images))
            own = [pixels[i] for i in order[at : at + len(prompt.images)]]
            rows.append(Row(self._stack(own), (document,)))
            at += len(prompt.images)
        batch = self._collate(rows).to(self.device)
        with self._autocast():
            # Several questions on one picture: it is encoded once.
            seen = self.model.see(self._tensor(self._stack(pixels)), fused=self._fused)
            made = self._generate(batch, seen[torch.tensor(order, device=self.device)], offset)
        return [Answer(self.text.decode(g.tokens), g.log_probabilities) for g in made]

    def _generate(self, batch: Batch, seen: torch.Tensor, offset: int) -> list[generate.Generated]:
        how = self.decoding
        forbid = (self.text.picture, self.text.pad)
        room = self.context - batch.tokens_BT.shape[1]
        shared = {"seen": seen, "end": self.text.end, "forbid": forbid, "most": min(how.most, room)}
        if how.beams > 1:
            return generate.beam_search(self.model, batch, beams=how.beams, **shared)
        seeds = [how.seed * 1_000_003 + offset + i for i in range(len(batch.tokens_BT))]
        return generate.generate(
            self.model,
            batch,
            temperature=how.temperature,
            top_p=how.top_p,
            seeds=seeds,
            fused=self._fused,
            **shared,
        )

    @torch.inference_mode()
    def _choose(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        self.model.eval()
        rows = [self._option_row(p, o) for p, o in zip(prompts, options, strict=True)]
        batch = self._collate(rows).to(self.device)
        with self._autocast():
            logits_BTY = self.model(
                batch.tokens_BT,
                pictures=batch.pictures_NCHW,
                positions=batch.positions_BT,
                documents=batch.documents_BT,
                groups=batch.groups_BT,
                fused=self._fused,
            )
        log_BTY = logits_BTY.float().log_softmax(dim=-1)
        target_BT = batch.targets_BT.clamp(min=0)
        log_BT = log_BTY.gather(2, target_BT[..., None])[..., 0] * (batch.targets_BT >= 0)
        sums = [
            torch.stack([log[docs == n + 1].sum() for n in range(len(row.documents))])
            for row, log, docs in zip(rows, log_BT, batch.documents_BT, strict=True)
        ]
        return [total.double().softmax(dim=0).cpu().numpy() for total in sums]

    def _option_row(self, prompt: Prompt, options: Sequence[str]) -> Row:
        documents = [
            self.text.encode((*prompt.turns, Turn("assistant", option))) for option in options
        ]
        for document in documents:
            self._check_length(len(document), len(prompt.images))
        return Row(self._stack([self._pixels(i) for i in prompt.images]), tuple(documents))

    def _pixels(self, picture: Picture) -> np.ndarray:
        return images.pixels(picture, size=self.fit.size, fit=self.fit.how)

    def _stack(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(pixels) if pixels else np.zeros((0, *self.fit.size, 3), np.uint8)

    def _tensor(self, pixels_NHWC: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).to(self.device)

    def _check_length(self, text_tokens: int, num_images: int) -> None:
        total = text_tokens + num_images * self.fit.picture_tokens
        if total >= self.context:
            raise LengthError(
                f"pictures and text take {total} tokens, the model's context is {self.context}",
                fix="shorten the question",
            )

    def _collate(self, rows: Sequence[Row]) -> Batch:
        return collate(
            rows,
            picture_token=self.text.picture,
            picture_tokens=self.fit.picture_tokens,
            pad=self.text.pad,
        )

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def _distinct(prompts: Sequence[Prompt]) -> tuple[list[Picture], list[int]]:
    """The distinct pictures of some prompts, and where among them each picture in turn is."""
    places: dict[int, int] = {}
    distinct: list[Picture] = []
    order: list[int] = []
    for picture in (picture for prompt in prompts for picture in prompt.images):
        if id(picture) not in places:
            places[id(picture)] = len(distinct)
            distinct.append(picture)
        order.append(places[id(picture)])
    return distinct, order


def load(
    run: Path | str,
    *,
    device: str = "auto",
    precision: str = "fp32",
    decoding: Decoding | None = None,
) -> SeesayPredictor:
    """Open a run's newest checkpoint, or a checkpoint folder, and check that it answers as it did.

    Raises:
        CheckpointError: missing, half-written, altered, of another version, or its golden outputs
            do not come back.
    """
    folder = checkpoint.find(run)
    stored = checkpoint.open_config(folder)
    recipe = config.recipe(stored.get("recipe", {}), where=str(folder / checkpoint.CONFIG))
    text = Text.open(folder)
    if len(text) != stored.get("vocabulary"):
        raise CheckpointError(
            f"tokenizer.json has {len(text)} tokens, config.json says {stored.get('vocabulary')}",
            where=str(folder),
            fix="copy the checkpoint folder again, whole",
        )
    place = machine.device(device)
    model = families.build(recipe.model, vocabulary=len(text), picture_token=text.picture)
    checkpoint.fill(model, checkpoint.open_tensors(folder / checkpoint.WEIGHTS), where=str(folder))
    golden.replay(model, _golden(folder), where=str(folder))
    return predictor(
        model.to(place).eval(),
        text,
        recipe=recipe,
        dtype=machine.precision(place, wish=precision),
        decoding=decoding,
        name=str(run),
    )


def predictor(
    model: Prefix,
    text: Text,
    *,
    recipe: config.Recipe,
    dtype: torch.dtype = torch.float32,
    decoding: Decoding | None = None,
    name: str = "model",
) -> SeesayPredictor:
    """A predictor of a model in memory."""
    fit = Fit(
        size=recipe.model.vision.size,
        picture_tokens=families.picture_tokens(recipe.model),
        row_tokens=recipe.data.row_tokens,
        how=recipe.data.fit,
    )
    context = recipe.model.text.context
    return SeesayPredictor(
        model, text, fit=fit, context=context, dtype=dtype, decoding=decoding, name=name
    )


def _golden(folder: Path) -> dict:
    try:
        return json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"golden.json cannot be read: {error}", where=str(folder), fix="copy it again, whole"
        ) from None
