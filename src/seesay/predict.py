"""The Predictor protocol and its adapter to Seesay checkpoints."""

import contextlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from seesay import config, machine
from seesay.data import images
from seesay.data.collate import Row, collate, split
from seesay.data.stream import Fit
from seesay.data.text import Document, Text
from seesay.errors import CapabilityError, CheckpointError, DataError, LengthError, RecipeError
from seesay.model import adapt, checkpoint, families, generate, golden
from seesay.model.families import Prefix
from seesay.records import Batch, Picture, Turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a predictor is asked: pictures, and turns that end with the user's.

    No turns, or an empty last one, ask for a caption.
    """

    images: tuple[Picture, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predictor said: the text, and the natural-log probability of each token it said.

    The mark that ends an answer is a token too, where it came before the limit; so are the tokens
    of its `reasoning`, what it said to itself first.
    """

    text: str
    log_probabilities: tuple[float, ...] = ()
    reasoning: str = ""


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
    """How answers are decoded: greedily unless `temperature` or `beams` say otherwise.

    Args:
        most: tokens an answer may have; fewer where the model's context has no room for them.
        temperature: above 0, tokens are drawn, the more freely the higher.
        top_p: drawn only from the likeliest tokens that together reach this probability.
        beams: above 1, that many hypotheses are searched with; nothing is drawn then.

    Raises:
        RecipeError: a value out of range.
    """

    most: int = 96
    temperature: float = 0.0
    top_p: float = 1.0
    beams: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good, rule in (
            ("most", self.most >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature < math.inf, "0 or more, and finite"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("beams", 1 <= self.beams <= 64, "from 1 to 64"),
        ):
            if not good:
                said = f"{name} is {getattr(self, name)}; it must be {rule}"
                raise RecipeError(said, where=f"decoding.{name}", fix="give a value in that range")


# Options share a row up to so many tokens: attention costs the square of a row's length.
OPTION_TOKENS = 192


class SeesayPredictor:
    """A Seesay model as a Predictor.

    Args:
        fit: the pictures and rows it takes in.
        context: the longest sequence it was made for, picture tokens included.
        most_rows: how many prompts pass at once.
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
        """p(option) ∝ the product of its tokens' probabilities after the prompt, end included."""
        if len(prompts) != len(options):
            raise LengthError(
                f"{len(prompts)} prompts but {len(options)} lists of options", fix="give one each"
            )
        empty = next((i for i, those in enumerate(options) if not those), None)
        if empty is not None:
            raise DataError(f"prompt {empty} has 0 options to choose among", fix="give one or more")
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
        documents = [self.text.encode(_asked(prompt)) for prompt in prompts]
        for prompt, document in zip(prompts, documents, strict=True):
            self._check_length(len(document) + 1, prompt, "shorten the question")
        pictures = _Pictures(self, prompts)
        rows = [
            Row(pictures.of(i), (document,), f"prompt {offset + i}")
            for i, document in enumerate(documents)
        ]
        batch = self._collate(rows).to(self.device)
        with self._autocast():
            made = self._generate(batch, pictures.seen(range(len(rows))), offset)
        said = [self.text.read(g.tokens) for g in made]
        return [
            Answer(turn.text, g.log_probabilities, turn.reasoning)
            for turn, g in zip(said, made, strict=True)
        ]

    def _generate(self, batch: Batch, seen: torch.Tensor, offset: int) -> list[generate.Generated]:
        how = self.decoding
        lengths = (batch.groups_BT >= 0).sum(dim=1).tolist()
        shared = {
            "seen": seen,
            "end": self.text.end,
            "forbid": (self.text.picture, self.text.pad),
            "most": [min(how.most, self.context - length) for length in lengths],
            "fused": self._fused,
        }
        if how.beams > 1:
            return generate.beam_search(self.model, batch, beams=how.beams, **shared)
        seeds = [(how.seed * 1_000_003 + offset + i) % 2**63 for i in range(len(lengths))]
        return generate.generate(
            self.model,
            batch,
            temperature=how.temperature,
            top_p=how.top_p,
            seeds=seeds,
            **shared,
        )

    @torch.inference_mode()
    def _choose(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        self.model.eval()
        pictures = _Pictures(self, prompts)
        owners, rows = [], []
        for i, (prompt, own) in enumerate(zip(prompts, options, strict=True)):
            for documents in self._option_rows(prompt, own):
                owners.append(i)
                rows.append(Row(pictures.of(i), documents, f"prompt {i}"))
        sums: list[list[float]] = [[] for _ in prompts]
        for start in range(0, len(rows), self.most_rows):
            part = slice(start, start + self.most_rows)
            scored = self._score(rows[part], pictures.seen(owners[part]))
            for owner, logs in zip(owners[part], scored, strict=True):
                sums[owner] += logs
        return [torch.tensor(logs, dtype=torch.double).softmax(0).numpy() for logs in sums]

    def _option_rows(self, prompt: Prompt, options: Sequence[str]) -> list[tuple[Document, ...]]:
        """The options' documents, several a row."""
        asked = _asked(prompt)
        documents = [self.text.encode((*asked, Turn("assistant", option))) for option in options]
        for document in documents:
            self._check_length(document.num_inputs, prompt, "shorten the question or the option")
        lengths = [document.num_inputs for document in documents]
        rows = split(lengths, room=max(*lengths, OPTION_TOKENS))
        return [tuple(documents[i] for i in row) for row in rows]

    def _score(self, rows: Sequence[Row], seen: torch.Tensor) -> list[list[float]]:
        """Of each row, the sum of log-probabilities of each document's learned tokens."""
        batch = self._collate(rows).to(self.device)
        place_BT = batch.targets_BT >= 0
        with self._autocast():
            logits_MY = self.model(
                batch.tokens_BT,
                pictures=batch.pictures_NCHW,
                **batch.layout,
                seen=seen,
                select=place_BT,
                fused=self._fused,
            )
        log_MY = logits_MY.float().log_softmax(dim=-1)
        log_M = log_MY.gather(1, batch.targets_BT[place_BT][:, None])[:, 0].double()
        sums_BN = log_M.new_zeros(len(rows), 1 + max(len(row.documents) for row in rows))
        sums_BN.index_put_(
            (place_BT.nonzero()[:, 0], batch.documents_BT[place_BT]), log_M, accumulate=True
        )
        return [s[1 : 1 + len(r.documents)].tolist() for s, r in zip(sums_BN, rows, strict=True)]

    def _pixels(self, picture: Picture) -> np.ndarray:
        return images.pixels(picture, size=self.fit.size, fit=self.fit.how)

    def _check_length(self, text_tokens: int, prompt: Prompt, fix: str) -> None:
        pictures = len(prompt.images) * self.fit.picture_tokens
        if pictures + text_tokens > self.context:
            raise LengthError(
                f"{len(prompt.images)} pictures of {self.fit.picture_tokens} tokens and text of "
                f"{text_tokens} make {pictures + text_tokens}, more than the {self.context} of the "
                "model's context",
                where=self.name,
                fix=fix,
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


class _Pictures:
    """The pictures of some prompts, each decoded and encoded once, whoever asks about it."""

    def __init__(self, predictor: SeesayPredictor, prompts: Sequence[Prompt]) -> None:
        self._predictor = predictor
        distinct: dict[Any, Picture] = {}
        for picture in (picture for prompt in prompts for picture in prompt.images):
            distinct.setdefault(_key(picture), picture)
        places = {key: place for place, key in enumerate(distinct)}
        self._places = [[places[_key(p)] for p in prompt.images] for prompt in prompts]
        none = np.zeros((0, *predictor.fit.size, 3), np.uint8)
        pixels = [predictor._pixels(picture)[None] for picture in distinct.values()]
        self._pixels_NHWC = np.concatenate([none, *pixels])
        pixels_NCHW = torch.from_numpy(self._pixels_NHWC).permute(0, 3, 1, 2)
        with predictor._autocast():
            self._seen_NQD = predictor.model.see(
                pixels_NCHW.to(predictor.device), fused=predictor._fused
            )

    def of(self, prompt: int) -> np.ndarray:
        """The pixels of a prompt's pictures."""
        return self._pixels_NHWC[self._places[prompt]]

    def seen(self, prompts: Iterable[int]) -> torch.Tensor:
        """The pictures of these prompts, in order, as tokens of the text side's width."""
        places = [place for prompt in prompts for place in self._places[prompt]]
        return self._seen_NQD[torch.tensor(places, dtype=torch.long, device=self._seen_NQD.device)]


def _key(picture: Picture) -> Any:
    """What is equal for one picture: a file's name, the encoded bytes, or the very array."""
    return id(picture) if isinstance(picture, np.ndarray) else picture


def _asked(prompt: Prompt) -> tuple[Turn, ...]:
    turns = prompt.turns or (Turn("user", ""),)
    if turns[-1].role != "user":
        raise DataError(
            f"the last of {len(turns)} turns is the {turns[-1].role}'s",
            fix="end with the user's turn: what it asks",
        )
    return turns


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
    where = str(folder)
    stored = checkpoint.open_config(folder)
    recipe = _recipe(stored, where)
    text = Text.open(folder)
    if len(text) != stored.get("vocabulary"):
        raise CheckpointError(
            f"tokenizer.json has {len(text)} tokens, config.json says {stored.get('vocabulary')}",
            where=where,
            fix="copy the checkpoint folder again, whole",
        )
    place = machine.device(device)
    model = _build(recipe, text, checkpoint.open_tensors(folder / checkpoint.WEIGHTS), where)
    golden.replay(model, _golden(folder), where=where)
    return predictor(
        model.to(place).eval(),
        text,
        recipe=recipe,
        dtype=machine.precision(place, wish=precision),
        decoding=decoding,
        name=str(run),
    )


def _recipe(stored: Mapping[str, Any], where: str) -> config.Recipe:
    """The recipe in config.json: what a user cannot mend there is the checkpoint's fault."""
    try:
        return config.recipe(stored["recipe"], where=checkpoint.CONFIG)
    except (KeyError, RecipeError) as error:
        raise CheckpointError(
            f"config.json does not hold a recipe this Seesay can build: {error}",
            where=where,
            fix="use the Seesay that wrote it, or copy the checkpoint folder again, whole",
        ) from None


def _build(
    recipe: config.Recipe, text: Text, weights: Mapping[str, torch.Tensor], where: str
) -> Prefix:
    """The model config.json describes, with the weights in it."""
    shape = {"vocabulary": len(text), "picture_token": text.picture}
    try:
        # Without memory first: what config.json says of sizes is not to be trusted.
        with torch.device("meta"):
            checkpoint.agree(_fresh(recipe, shape), weights, where=where)
        model = _fresh(recipe, shape)
    except RecipeError as error:
        fix = "copy the checkpoint folder again, whole"
        raise CheckpointError(f"config.json: {error}", where=where, fix=fix) from None
    checkpoint.fill(model, weights, where=where)
    return model


def _fresh(recipe: config.Recipe, shape: Mapping[str, int]) -> Prefix:
    return adapt.rebuilt(families.build(recipe.model, **shape), recipe.train.tune)


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
        stored = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
        return stored if isinstance(stored, dict) else {}
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"golden.json cannot be read: {error}", where=str(folder), fix="copy it again, whole"
        ) from None
