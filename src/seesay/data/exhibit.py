"""Exhibit: a batch taken apart again, for people: what a model sees, token by token, tile by tile.

All is taken from the batch that a model is given; only what it is made of (where boxes come to lie,
what was cut off) is asked of the rows.

Shapes: N tiles, H W pixels, T positions of a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from seesay.data import boxes, images
from seesay.data.augment import Change
from seesay.data.collate import Row
from seesay.data.fit import Fit
from seesay.data.images import num_tiles
from seesay.data.text import Text
from seesay.records import Batch, Example

Sides = tuple[float, float, float, float]  # left, top, right, bottom, as shares


@dataclass(frozen=True, slots=True)
class Token:
    """One position of a row, or the tokens of one tile, whose `count` is more than one.

    place: in the row; None for what is to be said last, and never read. position: as the model
    counts, anew for each document. learned: whether it is to be predicted. sees: the last place
    that it sees, where the model looks ahead within a question. tile: whose it is.
    """

    place: int | None
    position: int | None
    token: int
    text: str
    learned: bool
    sees: int | None = None
    tile: int | None = None
    count: int = 1


@dataclass(slots=True)
class Document:
    """Tokens that see each other. `number` is 0 for the pictures in front; `text` what it says,
    decoded, `said` what of it is learned, `lost` what did not fit, of so many tokens.
    """

    number: int
    group: int
    tokens: list[Token]
    text: str = ""
    said: str = ""
    lost: str = ""
    num_lost: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as the model gets it: its tiles (N, H, W, 3), of so many rows and columns, the last
    of them the whole where there are several.

    size: (width, height) as it came. kept: what part of it is there. boxes: of each tile, those of
    the examples, found by sending them the way that the picture goes. learned: where answers are,
    as the model is to say by numbers, of the whole.
    """

    tiles: np.ndarray
    grid: tuple[int, int]
    size: tuple[int, int]
    kept: Sides
    boxes: list[list[Sides]]
    learned: list[Sides]
    tokens: int


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A row: where it came from, its pictures, its documents, the texts held against its pictures
    and whether each is true; positions in use, and of the batch.
    """

    origin: str
    pictures: list[Shown]
    documents: list[Document]
    claims: list[tuple[str, bool]] = field(default_factory=list)
    used: int = 0
    width: int = 0


def exhibits(batch: Batch, rows: Sequence[Row], *, text: Text, fit: Fit) -> list[Exhibit]:
    """What each row of a batch, made of these rows, shows a model."""
    claims, start, made = _claims(batch, text), 0, []
    for b, row in enumerate(rows):
        count = len(row.pictures)
        pixels = batch.pictures_NCHW[start : start + count].permute(0, 2, 3, 1).numpy()
        start += count
        documents = _documents(batch, b, text=text, fit=fit, tiles=count)
        numbered = [document for document in documents if document.number]
        for document, given in zip(numbered, row.documents, strict=False):
            document.num_lost = len(given.lost)
            document.lost = _read(text, given.lost)
        made.append(
            Exhibit(
                origin=batch.origins[b],
                pictures=_pictures(batch, b, row, pixels, fit),
                documents=documents,
                claims=claims.get(b, []),
                used=int((batch.documents_BT[b] >= 0).sum()),
                width=batch.tokens_BT.shape[1],
            )
        )
    return made


# Tokens.


def _documents(batch: Batch, b: int, *, text: Text, fit: Fit, tiles: int) -> list[Document]:
    """The documents of a row, in order, from the batch's own numbers."""
    owners = list(zip(batch.groups_BT[b].tolist(), batch.documents_BT[b].tolist(), strict=True))
    made: list[Document] = []
    marks = 0  # picture tokens so far
    for first, end in _stretches(owners):
        group, number = owners[first]
        if number < 0:
            continue
        tokens, marks = _tokens(batch, b, (first, end), marks, text=text, fit=fit, tiles=tiles)
        said = [each.token for each in tokens if each.learned]
        every = [each.token for each in tokens if each.tile is None]
        made.append(Document(number, group, tokens, _read(text, every), _read(text, said)))
    return made


def _stretches(values: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Where equal neighbours begin and end."""
    first = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[first]:
            yield first, place
            first = place


def _tokens(batch: Batch, b: int, span: tuple[int, int], marks: int, *, text: Text, fit: Fit,
            tiles: int) -> tuple[list[Token], int]:  # fmt: skip
    """The tokens of a document, those of a tile as one; and how many picture tokens there were."""
    first, end = span
    tokens, targets = batch.tokens_BT[b].tolist(), batch.targets_BT[b].tolist()
    positions = batch.positions_BT[b].tolist()
    sees = None if batch.horizon_BT is None else batch.horizon_BT[b].tolist()
    made: list[Token] = []
    for place in range(first, end):
        token = tokens[place]
        if token == text.picture and fit.picture_tokens:
            if marks % fit.picture_tokens == 0:
                tile = marks // fit.picture_tokens % max(1, tiles)
                made.append(Token(place, positions[place], token, "", False, tile=tile, count=0))
            made[-1] = _one_more(made[-1])
            marks += 1
            continue
        learned = place > first and targets[place - 1] >= 0
        ahead = None if sees is None else sees[place]
        told = token_text(text, token)
        made.append(Token(place, positions[place], token, told, learned, sees=ahead))
    if targets[end - 1] >= 0:
        made.append(Token(None, None, targets[end - 1], token_text(text, targets[end - 1]), True))
    return made, marks


def _one_more(of: Token) -> Token:
    return Token(of.place, of.position, of.token, "", False, tile=of.tile, count=of.count + 1)


def token_text(text: Text, token: int) -> str:
    """What a token says; its bytes, as `<e5 9b>`, where it is part of a character alone."""
    said = text.tokenizer.decode([token], skip_special_tokens=False)
    name = text.tokenizer.id_to_token(token) or ""
    if "\ufffd" not in said:
        # A decoder takes the space in front of a first word away.
        return " " + said if name.startswith("Ġ") and not said.startswith(" ") else said
    codes = _bytes()
    return "<" + " ".join(f"{codes[letter]:02x}" for letter in name if letter in codes) + ">"


@lru_cache(maxsize=1)
def _bytes() -> dict[str, int]:
    """The letter that byte-level BPE writes each byte as (GPT-2's)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def _read(text: Text, tokens: Sequence[int] | np.ndarray) -> str:
    """Tokens as text, with the marks."""
    return text.tokenizer.decode([int(token) for token in tokens], skip_special_tokens=False)


def _claims(batch: Batch, text: Text) -> dict[int, list[tuple[str, bool]]]:
    """Row -> the texts that are held against its pictures, and whether each is true."""
    found: dict[int, list[tuple[str, bool]]] = {}
    if batch.claims_row_M is None:
        return found
    assert batch.claims_Mt is not None and batch.claims_real_Mt is not None
    assert batch.claims_true_M is not None
    for i, row in enumerate(batch.claims_row_M.tolist()):
        tokens = batch.claims_Mt[i][batch.claims_real_Mt[i].bool()].tolist()
        found.setdefault(row, []).append((_read(text, tokens), bool(batch.claims_true_M[i])))
    return found


# Pictures.


def _pictures(batch: Batch, b: int, row: Row, pixels: np.ndarray, fit: Fit) -> list[Shown]:
    each = num_tiles(fit.tiles)
    count = len(pixels) // each
    sources = _sources(row, count)
    learned = _learned(batch, b) if count == 1 else []
    made = []
    for i in range(count):
        own = [] if i >= len(sources) else sources[i]
        size, kept = (pixels.shape[2], pixels.shape[1]), (0.0, 0.0, 1.0, 1.0)
        if own:
            size = _size(own[0][0], own[0][1])
            kept = _kept(size, fit)
        found = [_tile_boxes(example, change, size, fit) for example, _, change in own]
        tiles = pixels[i * each : (i + 1) * each]
        places = [[box for boxes in found for box in boxes[n]] for n in range(each)]
        made.append(Shown(tiles, fit.tiles, size, kept, places, learned, fit.each))
    return made


def _sources(row: Row, count: int) -> list[list[tuple[Example, int, Change]]]:
    """Of each picture: the examples that it is of, as which of their pictures, and what was done.

    Empty where a row's pictures are shown more than once, or in other ways than these.
    """
    examples = row.examples
    changes = row.changes or (Change(),) * len(examples)
    pairs = list(zip(examples, changes, strict=True))
    if pairs and all(len(example.images) == count for example in examples):
        return [[(example, i, change) for example, change in pairs] for i in range(count)]
    if sum(len(example.images) for example in examples) == count:
        return [[(e, i, change)] for e, change in pairs for i in range(len(e.images))]
    return []


def _size(example: Example, number: int) -> tuple[int, int]:
    """(width, height) of a picture as it came."""
    facts = images.load(example.images[number], where=str(example.origin))
    return facts.size


def _kept(size: tuple[int, int], fit: Fit) -> Sides:
    """What part of a picture is not cut off, in shares: seen by sending its coordinates along."""
    if fit.how != "crop":
        return 0.0, 0.0, 1.0, 1.0
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    sent = fit.pixels(np.stack([x, y, x], axis=-1).round().astype(np.uint8))
    (left, top), (right, bottom) = sent[..., :2].min(axis=(0, 1)), sent[..., :2].max(axis=(0, 1))
    return left / 255, top / 255, right / 255, bottom / 255


def _tile_boxes(example: Example, change: Change, size: tuple[int, int],
                fit: Fit) -> list[list[Sides]]:  # fmt: skip
    """Where an example's boxes lie in each tile: each is painted, and sent as its picture is."""
    found: list[list[Sides]] = [[] for _ in range(num_tiles(fit.tiles))]
    width, height = size
    for left, top, right, bottom in _boxes(example, size):
        painted = np.zeros((height, width, 3), np.uint8)
        x0, y0 = round(left * width), round(top * height)
        x1, y1 = max(x0 + 1, round(right * width)), max(y0 + 1, round(bottom * height))
        painted[y0:y1, x0:x1] = 255
        # What is put around a picture is no part of it.
        margin = fit.pixels(np.zeros_like(painted)).max(axis=-1)
        sent = fit.pixels(painted)
        sent[margin > 0] = 0
        for tile, pixels in enumerate(fit.cut(change.picture(sent[None]))):
            if (box := _around(pixels)) is not None:
                found[tile].append(box)
    return found


def _boxes(example: Example, size: tuple[int, int]) -> list[Sides]:
    if len(example.images) != 1:
        return []
    width, height = size
    own: list[Sides] = [
        (b.left / width, b.top / height, b.right / width, b.bottom / height) for b in example.boxes
    ]
    said = None if own else boxes.sides(example)
    return own if said is None else [said]


def _around(pixels: np.ndarray) -> Sides | None:
    """The box around what is painted, as shares of the tile."""
    there = pixels.max(axis=-1) > 127
    down, across = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    if not len(down):
        return None
    height, width = there.shape
    return (
        float(across[0]) / width,
        float(down[0]) / height,
        float(across[-1] + 1) / width,
        float(down[-1] + 1) / height,
    )


def _learned(batch: Batch, b: int) -> list[Sides]:
    """The boxes that the model is to tell by numbers."""
    if batch.boxes_BT4 is None:
        return []
    told = batch.boxes_BT4[b]
    found = told[~told.isnan().any(dim=1)].tolist()
    return [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in found]
