"""Preview: rows as a model gets them -> one HTML file that needs nothing else; the same as data.

The template beside this file, `show.html.j2`, says how it looks. What is shown is taken from the
batches that training makes (`data/exhibit.py`): nothing is rendered a second time.
"""

import base64
import itertools
from collections.abc import Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seesay import config, writing
from seesay.data import images
from seesay.data.exhibit import Document, Exhibit, Shown, Token, exhibits
from seesay.data.fit import Fit
from seesay.report import template
from seesay.train.feed import Feed

# Pictures narrower than the first are enlarged to it, without smoothing; wider than the second,
# they are shown smaller.
LEAST_SIDE, MOST_SIDE = 128, 384
COLOURS = 10  # that tell documents apart; more begin again
NAMES = {0: "pictures in front, seen by all"}


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of training at a share of it, and why some are missing."""

    feed: Feed
    source: str
    rows: list[Exhibit]
    skipped: list[str]

    @property
    def facts(self) -> dict[str, str]:
        """What all rows have in common, by name."""
        recipe, fit = self.feed.recipe, self.feed.fit
        used, wide = (sum(getattr(row, name) for row in self.rows) for name in ("used", "width"))
        return {
            "Source": self.source,
            "Rows": str(len(self.rows)),
            "Family": recipe.model.family,
            "Pictures": f"{_sizes(fit)} ({fit.how})",
            "Tokens a picture": f"up to {fit.largest.tokens}" if fit.chosen else str(fit.each),
            "Tokens a row": f"{fit.row_tokens} at most",
            "Positions in use": f"{used / wide:.0%}" if wide else "–",
            "Vocabulary": f"{len(self.feed.text):,}",
        }

    def as_dict(self) -> dict[str, Any]:
        """What is on the page, for JSON: tokens as they are, pictures by their sizes."""
        return {
            "facts": self.facts,
            "rows": [_as_dict(row) for row in self.rows],
            "skipped": self.skipped,
        }


def preview(feed: Feed, *, source: str, count: int, at: float = 1.0) -> Preview:
    """The first rows that training takes in, of batches as large as it makes them; of a file, no
    more than come before it begins anew.

    at: the share of training that is over; a curriculum's stages go by it.
    """
    stream = feed.stream(batch=feed.recipe.train.batch)
    first, drawn = stream.sources[0], feed.recipe.data.sources[0].path == "scenes"
    epoch = count if drawn or not isinstance(first, Sized) else len(first)
    if not feed.fit.packed:
        # How many are in a batch is no matter to rows that share nothing.
        stream.batch = min(count, epoch)
    made: list[Exhibit] = []
    skipped: list[str] = []
    for step in itertools.count() if drawn else range(-(-epoch // stream.batch)):
        place = stream.place(step, at)
        rows, lost = stream.rows(place, stream.stage(at))
        if not rows:
            stream[place, at]  # which says why, unless later rows can be read
        skipped += lost
        how = {"text": feed.text, "fit": feed.fit, "room": stream.shared}
        made += exhibits(stream.batched(rows), rows, **how) if rows else []
        if len(made) >= count:
            break
    return Preview(feed, source, made[:count], list(dict.fromkeys(skipped)))


def _sizes(fit: Fit) -> str:
    """What pictures are brought to, in words."""
    height, width = fit.size if fit.chosen else fit.whole
    if fit.native:
        return f"their own shapes, in squares of {width}×{height}"
    if fit.chosen:
        return f"up to {fit.max_tiles} tiles of {width}×{height} and the whole, '{fit.tiles}'"
    rows, columns = fit.plan(fit.whole).grid
    cut = "" if rows * columns == 1 else f" in {rows}×{columns} tiles and the whole"
    return f"{width}×{height}{cut}"


def write(path: Path, made: Preview, *, command: str = "",
          environment: Mapping[str, str] | None = None) -> Path:  # fmt: skip
    """Write the page and return its path; a file of that name is replaced whole or not at all."""
    text = template("show.html.j2").render(
        title="What the model sees",
        facts=made.facts,
        rows=[_row(row) for row in made.rows],
        skipped=made.skipped,
        command=command,
        recipe=config.dump(made.feed.recipe).strip(),
        environment=environment or {},
    )
    return writing.replace(path, text)


def _as_dict(row: Exhibit) -> dict[str, Any]:
    def told(token: Token) -> dict[str, Any]:
        held = {name: getattr(token, name) for name in Token.__slots__}
        return {name: value for name, value in held.items() if value is not None}

    return {
        "origin": row.origin,
        "used": row.used,
        "width": row.width,
        "groups": row.groups,
        "pictures": [
            {
                "size": list(p.size),
                "kept": list(p.kept),
                "tiles": [[tile.shape[1], tile.shape[0]] for tile in p.tiles],
                "tokens": p.tokens,
                "boxes": p.boxes,
                "learned_boxes": p.learned,
                "regions": p.regions,
            }
            for p in row.pictures
        ],
        "documents": [
            {name: getattr(d, name) for name in Document.__slots__}
            | {"tokens": [told(token) for token in d.tokens]}
            for d in row.documents
        ],
        "claims": [{"text": text, "true": true} for text, true in row.claims],
    }


# How it is shown.


def _row(row: Exhibit) -> dict[str, Any]:
    count = len([document for document in row.documents if document.number])
    counts = f"{row.used} positions, of {row.width} in this batch; {count} documents"
    if row.groups > 1:
        counts += f", {row.groups} groups that see nothing of each other"
    tiles = [len(picture.tiles) for picture in row.pictures]
    return {
        "origin": row.origin,
        "counts": counts,
        "pictures": [_picture(i, picture) for i, picture in enumerate(row.pictures, 1)],
        "documents": [_document(each, tiles, several=row.groups > 1) for each in row.documents],
        "claims": row.claims,
    }


def _picture(number: int, shown: Shown) -> dict[str, Any]:
    rows, across = shown.grid
    several = len(shown.tiles) > 1
    named = [f"picture {number}"]
    if several:
        named = [f"row {r + 1}, column {c + 1}" for r in range(rows) for c in range(across)]
        named.append(f"picture {number}, whole")
    last = len(shown.tiles) - 1
    tiles = [
        _tile(pixels, name, shown if i == last else replace(shown, learned=[], regions=[]), i)
        for i, (pixels, name) in enumerate(zip(shown.tiles, named, strict=True))
    ]
    return {
        "across": across,
        "tiles": tiles[:-1] if several else tiles,
        "whole": tiles[-1] if several else None,
        "text": _told(number, shown),
    }


def _told(number: int, shown: Shown) -> str:
    """A picture's way to the model, in words."""
    height, width = shown.tiles.shape[1:3]
    rows, across = shown.grid
    text = f"picture {number}: {shown.size[0]}×{shown.size[1]} as it came, "
    if len(shown.tiles) > 1:
        text += f"{width * across}×{height * rows} cut into {len(shown.tiles)} of "
    text += f"{width}×{height}; {shown.tokens} tokens"
    left, top, right, bottom = shown.kept
    if (left, top, right, bottom) != (0.0, 0.0, 1.0, 1.0):
        text += (
            f"; kept: {left:.0%} to {right:.0%} of its width, {top:.0%} to {bottom:.0%} of its "
            "height"
        )
    return text


def _tile(pixels: np.ndarray, name: str, shown: Shown, number: int) -> dict[str, Any]:
    across = shown.grid[1]
    data, _ = images.as_file(np.ascontiguousarray(pixels))
    width = pixels.shape[1]
    least, most = LEAST_SIDE // across, MOST_SIDE // across
    return {
        "uri": f"data:image/png;base64,{base64.b64encode(data).decode()}",
        "small": width < most,
        "wide": min(max(width, least, min(2 * width, most)), most),
        "name": name,
        "boxes": shown.boxes[number],
        "learned": shown.learned,
        "regions": shown.regions,
    }


def _document(document: Document, tiles: list[int], *, several: bool) -> dict[str, Any]:
    name = NAMES.get(document.number, f"document {document.number}")
    return {
        "name": f"group {document.group + 1}: {name}" if several else name,
        "colour": document.number % COLOURS,
        "tokens": [_token(token, tiles) for token in document.tokens],
        "text": document.text,
        "lost": document.lost,
        "num_lost": document.num_lost,
    }


def _token(token: Token, tiles: list[int]) -> dict[str, Any]:
    under = "" if token.position is None else str(token.position)
    title = [f"token {token.token}"]
    if token.place is None:
        title.append("to be predicted last, never read")
    else:
        title += [f"place {token.place}", f"position {token.position}"]
    if token.learned:
        title.append("to be predicted")
    if token.sees is not None and token.sees != token.place:
        title.append(f"sees up to place {token.sees}")
    text = token.text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·")
    if token.tile is not None and token.position is not None:
        last = token.position + token.count - 1
        text, under = _named(token.tile, tiles), f"{token.position}–{last}"
        title.append(f"{token.count} tokens")
    return {
        "text": text or "∅",
        "under": under,
        "learned": token.learned,
        "place": token.place,
        "tile": token.tile,
        "title": "; ".join(title),
    }


def _named(tile: int, tiles: list[int]) -> str:
    """Which picture, and which tile of it where it has several."""
    for number, count in enumerate(tiles, 1):
        if tile < count:
            return f"picture {number}" if count == 1 else f"picture {number}, tile {tile + 1}"
        tile -= count
    return f"tile {tile + 1}"
