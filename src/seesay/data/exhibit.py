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
from einops import rearrange

from seesay.coordinates import Sides
from seesay.data import boxes, images
from seesay.data.collate import Laid, Row, laid
from seesay.data.fit import Fit
from seesay.data.geometry import Affine, clipped
from seesay.data.plan import Plan
from seesay.data.seen import Sight
from seesay.data.text import Text
from seesay.records import Batch, Example

# A box that reaches so many pixels into a tile, or less, only touches it.
TOUCHES = 0.01


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

    size: (width, height) as it came. kept: what part of it is there, as shares. boxes: of each
    tile, those of the examples, as shares of the tile. learned: where answers are, as the model is
    to say by numbers; regions: what it looks at instead of patches; both in the last tile.
    """

    tiles: np.ndarray
    grid: tuple[int, int]
    size: tuple[int, int]
    kept: Sides
    boxes: list[list[Sides]]
    learned: list[Sides]
    regions: list[Sides]
    tokens: int


@dataclass(slots=True)
class Exhibit:
    """A row of a batch: where it came from, its pictures, its documents, the texts held against its
    pictures and whether each is true; positions in use, and of the batch; how many groups of
    pictures with their documents share it.
    """

    origin: str
    pictures: list[Shown] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    claims: list[tuple[str, bool]] = field(default_factory=list)
    used: int = 0
    width: int = 0
    groups: int = 0


def exhibits(
    batch: Batch, rows: Sequence[Row], *, text: Text, fit: Fit, room: int | None = None
) -> list[Exhibit]:
    """What each row of a batch, made of these rows, shows a model; `room` as `collate` had it."""
    claims, start = _claims(batch, text), 0
    made: list[Exhibit] = []
    for own in laid(rows, picture_tokens=fit.picture_tokens, room=room):
        if own.b == len(made):
            used = int((batch.documents_BT[own.b] >= 0).sum())
            width = batch.tokens_BT.shape[1]
            told = claims.get(own.b, [])
            made.append(Exhibit(batch.origins[own.b], claims=told, used=used, width=width))
        row = made[own.b]
        before = sum(len(picture.tiles) for picture in row.pictures)
        row.documents += _documents(batch, own, before, text=text, fit=fit)
        row.pictures += _pictures(batch, own, start)
        row.groups += 1
        start += len(own.row.pictures)
    return made


# Tokens.


def _documents(batch: Batch, own: Laid, before: int, *, text: Text, fit: Fit) -> list[Document]:
    """The documents of a group, in order, from the batch's own numbers.

    before: tiles of the row that are not its own.
    """
    first = own.places.start
    numbers = batch.documents_BT[own.b, own.places].tolist()
    made: list[Document] = []
    marks = 0  # picture tokens so far
    for begin, end in _stretches(numbers):
        span = (first + begin, first + end)
        tokens, marks = _tokens(batch, own, span, marks, before, text=text, fit=fit)
        said = [each.token for each in tokens if each.learned]
        every = [each.token for each in tokens if each.tile is None]
        number = numbers[begin]
        made.append(Document(number, own.group, tokens, _read(text, every), _read(text, said)))
        if number:
            lost = own.row.documents[number - 1].lost
            made[-1].lost, made[-1].num_lost = _read(text, lost), len(lost)
    return made


def _stretches(values: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Where equal neighbours begin and end."""
    first = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[first]:
            yield first, place
            first = place


def _tokens(batch: Batch, own: Laid, span: tuple[int, int], marks: int, before: int, *,
            text: Text, fit: Fit) -> tuple[list[Token], int]:  # fmt: skip
    """The tokens of a document, those of a tile as one; and how many picture tokens there were."""
    first, end = span
    tokens, targets = batch.tokens_BT[own.b].tolist(), batch.targets_BT[own.b].tolist()
    positions = batch.positions_BT[own.b].tolist()
    sees = None if batch.horizon_BT is None else batch.horizon_BT[own.b].tolist()
    # Where each document begins with all pictures, tiles are counted anew.
    tiles = max(1, len(own.row.pictures))
    made: list[Token] = []
    for place in range(first, end):
        token = tokens[place]
        if token == text.picture and fit.picture_tokens:
            if marks % fit.picture_tokens == 0:
                tile = before + marks // fit.picture_tokens % tiles
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


def _pictures(batch: Batch, own: Laid, start: int) -> list[Shown]:
    """The pictures of a group, whose tiles begin at `start` in the batch."""
    learned = _learned(batch, own) if len(own.row.sights) == 1 else []
    made = []
    for number, sight in enumerate(own.row.sights):
        pixels, count = _tiles(batch, own.row, number, start)
        *_, last = _maps(sight.plan)
        looked_at = [] if batch.boxes_NR4 is None else batch.boxes_NR4[start + count - 1].tolist()
        made.append(
            Shown(
                tiles=pixels,
                grid=sight.plan.grid,
                size=_size(sight),
                kept=_kept(sight.plan),
                boxes=_boxes(sight),
                learned=[last.sides(each) for each in learned],
                regions=[(x0, y0, x1, y1) for x0, y0, x1, y1 in looked_at if x0 >= 0],
                tokens=sight.plan.tokens,
            )
        )
        start += count
    return made


def _tiles(batch: Batch, row: Row, number: int, start: int) -> tuple[np.ndarray, int]:
    """The tiles of a row's picture, which begin at `start`, and how many of the batch they are.

    Squares of a picture that keeps its shape are put together again; the frames that a model takes
    in as one picture stand side by side.
    """
    plan, clips = row.sights[number].plan, row.timing.clips
    rows, columns = row.grids[number] if row.grids else (1, 1)
    frames = clips[number] if clips else 1
    count = rows * columns * frames * plan.num_tiles
    pixels = batch.pictures_NCHW[start : start + count].permute(0, 2, 3, 1).numpy()
    if row.grids or frames > 1:
        how = {"r": rows, "c": columns} if row.grids else {"r": 1, "c": frames}
        pixels = rearrange(pixels, "(r c) h w C -> 1 (r h) (c w) C", **how)
    return pixels, count


def _size(sight: Sight) -> tuple[int, int]:
    """(width, height) of a picture as it came."""
    example = sight.examples[0]
    height, width = images.size(example.images[sight.number], where=str(example.origin))
    return width, height


def _kept(plan: Plan) -> Sides:
    """What part of a picture is not cut off, as shares."""
    (height, width), (left, top, right, bottom) = plan.size, plan.shown
    return left / width, top / height, right / width, bottom / height


def _maps(plan: Plan) -> list[Affine]:
    """From shares of a picture before it is cut to shares of each of its tiles."""
    return [cut.shares(plan.canvas, plan.tile) for cut in plan.cuts]


def _boxes(sight: Sight) -> list[list[Sides]]:
    """Where the boxes of a picture's examples lie in each of its tiles."""
    every = [box for example in sight.examples for box in _of(example)]
    seen = [sight.view.sides(box) for box in dict.fromkeys(every)]
    there = [box for box in seen if box is not None]
    high, wide = sight.plan.tile
    found: list[list[Sides]] = []
    for map in _maps(sight.plan):
        cut = [clipped(map.sides(box)) for box in there]
        found.append([
            (x0, y0, x1, y1) for x0, y0, x1, y1 in filter(None, cut)
            if (x1 - x0) * wide > TOUCHES and (y1 - y0) * high > TOUCHES
        ])  # fmt: skip
    return found


def _of(example: Example) -> list[Sides]:
    """The boxes of an example's one picture; where it has none of its own, those that it says."""
    if len(example.images) != 1:
        return []
    return boxes.own(example) or boxes.said(example)


def _learned(batch: Batch, own: Laid) -> list[Sides]:
    """The boxes that the model is to tell by numbers."""
    if batch.boxes_BT4 is None:
        return []
    told = batch.boxes_BT4[own.b, own.places]
    found = told[~told.isnan().any(dim=1)].tolist()
    return [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in found]
