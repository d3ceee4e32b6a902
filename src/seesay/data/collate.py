"""Documents -> packed rows -> Batch: questions on one picture share it under a document mask.

Pictures stand in front of the documents that share them, or inside the one that shows them.

Shapes: B rows, T positions, N pictures, Q picture tokens, A attributes, P patches, O objects, R
boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from seesay.data.packing import packed
from seesay.data.seen import Sight
from seesay.data.text import Document
from seesay.errors import LengthError
from seesay.records import Batch, Example

# Rows are padded to a multiple of this, so that few distinct shapes reach the kernels.
ROUND = 8


class Timing(NamedTuple):
    """Of frames of videos: when each is shown, in seconds, and, where neighbouring ones stand in
    the text as one picture, how many stand there together each time; empty where nothing is to say.
    """

    times: tuple[float, ...] = ()
    clips: tuple[int, ...] = ()


UNTIMED = Timing()


@dataclass(frozen=True, slots=True)
class Row:
    """What shares one encoding of some pictures: their pixels (N, H, W, 3) and the documents.

    First come the pictures in front of all documents, then those shown inside each, in order.
    `labels` are what is in each patch or region, (N, A, P), and `about` what the objects are that
    the answers of each document are about, (K, A, O) for its K answers, where that is known.
    `claims` are texts to hold against the pictures, as tokens, and `truths` whether each is true.
    `instructed`: none stands in front, and each document begins with all of them, as `showing` puts
    them there.
    `boxes` are what is looked at in each picture, (R, 4), as shares of it. `located` is where each
    document's last answer is, (4,) a document, as `Batch` has it; NaN where that is not known.
    `examples` are what it is made of, as they were read or drawn, and `sights` what each picture
    is of, in order, for people to look at.
    `grids`: where pictures keep their shapes, rows and columns of each; `pictures` are its squares.
    `timing`: when they are shown, where they are frames of videos.
    """

    pictures: np.ndarray
    documents: tuple[Document, ...]
    origin: str = ""
    labels: np.ndarray | None = None
    about: tuple[np.ndarray, ...] | None = None
    claims: tuple[np.ndarray, ...] = ()
    truths: tuple[bool, ...] = ()
    instructed: bool = False
    boxes: tuple[np.ndarray, ...] | None = None
    located: tuple[np.ndarray, ...] | None = None
    examples: tuple[Example, ...] = ()
    sights: tuple[Sight, ...] = ()
    grids: tuple[tuple[int, int], ...] = ()
    timing: Timing = UNTIMED

    @property
    def num_shown(self) -> int:
        """How many pictures stand in the text."""
        return len(self.timing.clips or self.pictures)

    def length(self, picture_tokens: int) -> int:
        """Positions this row takes."""
        return self.prefix(picture_tokens) + sum(d.num_inputs for d in self.documents)

    def prefix(self, picture_tokens: int) -> int:
        """Positions of the pictures in front.

        Raises:
            LengthError: the documents show more pictures than there are.
        """
        if self.instructed:
            return 0
        given = self.num_shown * picture_tokens
        inside = sum(document.pictured for document in self.documents)
        if inside > given:
            raise LengthError(
                f"{inside} picture tokens stand in the text but the pictures give {given}",
                where=self.origin,
                fix="give every picture that a turn shows",
            )
        return given - inside

    def marks(self, picture_tokens: int) -> int:
        """How many picture tokens stand in it."""
        times = len(self.documents) if self.instructed else 1
        return times * self.num_shown * picture_tokens


def showing(document: Document, marks: int, *, picture_token: int) -> Document:
    """A document that begins with so many picture tokens of its own."""
    tokens = np.concatenate((np.full(marks, picture_token, np.int64), document.tokens))
    learned = np.concatenate((np.zeros(marks, bool), document.learned))
    return replace(
        document, tokens=tokens, learned=learned, pictured=document.pictured + marks
    )


@dataclass(frozen=True, slots=True)
class Laid:
    """Where a group of pictures and its documents stand in a batch: row, number there, places."""

    row: Row
    b: int
    group: int
    places: slice


def laid(rows: Sequence[Row], *, picture_tokens: int, room: int | None = None) -> list[Laid]:
    """Where rows stand in the batch that is made of them, in that order; `room` as `collate`."""
    lengths = [row.length(picture_tokens) for row in rows]
    bins = [[i] for i in range(len(rows))] if room is None else packed(lengths, room=room)
    made = []
    for b, members in enumerate(bins):
        at = 0
        for group, i in enumerate(members):
            made.append(Laid(rows[i], b, group, slice(at, at + lengths[i])))
            at += lengths[i]
    return made


def collate(
    rows: Sequence[Row],
    *,
    picture_token: int,
    picture_tokens: int,
    pad: int,
    room: int | None = None,
) -> Batch:
    """Rows as one batch. Target t is the token at t + 1, where that is to be learned.

    `room`: several share a row of so many positions where they fit (`packed`), and see nothing of
    each other; None: each has one to itself.

    Raises:
        LengthError: picture tokens in the text that no picture gives.
    """
    places = laid(rows, picture_tokens=picture_tokens, room=room)
    rows = [each.row for each in places]
    longest = max(each.places.stop for each in places)
    shape = (places[-1].b + 1, -(-longest // ROUND) * ROUND)
    tokens, targets = np.full(shape, pad, np.int64), np.full(shape, -1, np.int64)
    positions, documents = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
    groups, learned = np.full(shape, -1, np.int64), np.zeros(shape, bool)
    for each in places:
        own = each.b, each.places
        groups[own] = each.group
        _lay(each.row, tokens[own], targets[own], positions[own], documents[own], learned[own],
             picture_token=picture_token, picture_tokens=picture_tokens)  # fmt: skip
    pictures = np.concatenate([row.pictures for row in rows])
    boxes = _boxes(rows)
    batch = Batch(
        tokens_BT=torch.from_numpy(tokens),
        targets_BT=torch.from_numpy(targets),
        positions_BT=torch.from_numpy(positions),
        documents_BT=torch.from_numpy(documents),
        groups_BT=torch.from_numpy(groups),
        pictures_NCHW=torch.from_numpy(pictures).permute(0, 3, 1, 2),
        horizon_BT=torch.from_numpy(_horizon(learned, documents, groups)),
        labels_NAP=_labels(rows, regions=None if boxes is None else boxes.shape[1]),
        boxes_NR4=boxes,
        about_BTAO=_about(places, documents, targets),
        boxes_BT4=_located(places, documents, targets),
        **_claims(rows, pad=pad),
        grids=tuple(grid for row in rows for grid in row.grids),
        **timing(rows),
        origins=tuple(_origin(places, b) for b in range(shape[0])),
    )
    _count(batch, places, picture_token=picture_token, picture_tokens=picture_tokens)
    return batch


def _origin(laid: Sequence[Laid], b: int) -> str:
    """Where a row came from: all that share it."""
    return ", ".join(dict.fromkeys(each.row.origin for each in laid if each.b == b))


def timing(rows: Sequence[Row]) -> dict[str, Any]:
    """When the pictures of all rows are shown, and as which they stand in the text, as `Batch` has
    it; without what no row says.
    """
    made: dict[str, Any] = {}
    if any(row.timing.times for row in rows):
        times = [row.timing.times or (0.0,) * len(row.pictures) for row in rows]
        made["times_N"] = torch.tensor([time for own in times for time in own])
    if any(row.timing.clips for row in rows):
        several = [row.timing.clips or (1,) * len(row.pictures) for row in rows]
        counts = [count for own in several for count in own]
        made["clips_N"] = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return made


def _claims(rows: Sequence[Row], *, pad: int) -> dict[str, Any]:
    """The claims of all rows, padded to one length; nothing where there are none."""
    claims = [
        (b, tokens, true)
        for b, row in enumerate(rows)
        for tokens, true in zip(row.claims, row.truths, strict=True)
    ]
    if not claims:
        return {}
    longest = max(len(tokens) for _, tokens, _ in claims)
    shape = (len(claims), -(-longest // ROUND) * ROUND)
    made, real = np.full(shape, pad, np.int64), np.zeros(shape, bool)
    for i, (_, tokens, _) in enumerate(claims):
        made[i, : len(tokens)], real[i, : len(tokens)] = tokens, True
    return {
        "claims_Mt": torch.from_numpy(made),
        "claims_real_Mt": torch.from_numpy(real),
        "claims_true_M": torch.tensor([int(true) for _, _, true in claims]),
        "claims_row_M": torch.tensor([b for b, _, _ in claims]),
    }


def _boxes(rows: Sequence[Row]) -> torch.Tensor | None:
    """The boxes of all pictures; None where patches are looked at."""
    if rows[0].boxes is None:
        return None
    return padded([boxes for row in rows for boxes in row.boxes or ()])


def padded(boxes: Sequence[np.ndarray]) -> torch.Tensor:
    """The boxes of several pictures, (R, 4) each, as one tensor; -1 where there is none."""
    made = np.full((len(boxes), max(map(len, boxes), default=0), 4), -1, np.float32)
    for own, given in zip(made, boxes, strict=True):
        own[: len(given)] = given
    return torch.from_numpy(made)


def _labels(rows: Sequence[Row], *, regions: int | None) -> torch.Tensor | None:
    """The patches' classes, or the regions', unknown for rows that do not say and for padding.

    None where no row says any.
    """
    shape = next((row.labels.shape[1:] for row in rows if row.labels is not None), None)
    if shape is None:
        return None
    attributes, places = shape[0], shape[1] if regions is None else regions
    several = [
        np.full((len(row.pictures), attributes, places), -1, np.int64)
        if row.labels is None
        else np.pad(row.labels, ((0, 0), (0, 0), (0, places - row.labels.shape[-1])),
                    constant_values=-1)
        for row in rows
    ]  # fmt: skip
    return torch.from_numpy(np.concatenate(several))


def _about(
    laid: Sequence[Laid], documents_BT: np.ndarray, targets_BT: np.ndarray
) -> torch.Tensor | None:
    """What each answer is about, where its first word is to be predicted."""
    shape = next((each.row.about[0].shape[1:] for each in laid if each.row.about), None)
    if shape is None:
        return None
    made = np.full((*documents_BT.shape, *shape), -1, np.int64)
    for each in laid:
        own = each.b, each.places
        for number, about in enumerate(each.row.about or (), start=1):
            begins = _answers((documents_BT[own] == number) & (targets_BT[own] >= 0))
            made[own][begins] = about[: len(begins)]
    return torch.from_numpy(made)


def _located(
    laid: Sequence[Laid], documents_BT: np.ndarray, targets_BT: np.ndarray
) -> torch.Tensor | None:
    """Where each document's last answer is, where that answer's first word is to be predicted."""
    made = np.full((*documents_BT.shape, 4), np.nan, np.float32)
    for each in laid:
        own = each.b, each.places
        for number, located in enumerate(each.row.located or (), start=1):
            begins = _answers((documents_BT[own] == number) & (targets_BT[own] >= 0))
            made[own][begins[-1:]] = located
    return None if np.isnan(made).all() else torch.from_numpy(made)


def _answers(spoken_T: np.ndarray) -> np.ndarray:
    """Where each answer begins, of all places whose next word is to be said."""
    return (np.diff(spoken_T.astype(np.int8), prepend=0) == 1).nonzero()[0]


def _lay(
    row: Row,
    tokens: np.ndarray,
    targets: np.ndarray,
    positions: np.ndarray,
    documents: np.ndarray,
    learned: np.ndarray,
    *,
    picture_token: int,
    picture_tokens: int,
) -> None:
    """Write a group: its pictures as document 0, then each document with positions that restart."""
    prefix = row.prefix(picture_tokens)
    tokens[:prefix] = picture_token
    positions[:prefix] = np.arange(prefix)
    documents[:prefix] = 0
    at = prefix
    for number, document in enumerate(row.documents, start=1):
        end = at + document.num_inputs
        tokens[at:end] = document.tokens[: end - at]
        learned[at:end] = document.learned[: end - at]
        positions[at:end] = np.arange(prefix, prefix + end - at)
        documents[at:end] = number
        ahead = np.where(document.learned[1:], document.tokens[1:], -1)[: end - at]
        targets[at : at + len(ahead)] = ahead
        at = end


def _horizon(
    learned_BT: np.ndarray, documents_BT: np.ndarray, groups_BT: np.ndarray
) -> np.ndarray:
    """The last place each position may see.

    What is to be said sees up to itself; what is given, to the end of what is given with it: the
    pictures, or the user's turn.
    """
    places = np.arange(learned_BT.shape[1])
    begins = (np.diff(documents_BT, axis=1, prepend=-1) != 0) | (
        np.diff(groups_BT, axis=1, prepend=-1) != 0
    )
    # The next place where something else begins.
    ends = np.where(begins | learned_BT, places, len(places))
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    after = np.concatenate((ends[:, 1:], np.full_like(ends[:, :1], len(places))), axis=1)
    return np.where(learned_BT, places, after - 1)


def _count(
    batch: Batch, laid: Sequence[Laid], *, picture_token: int, picture_tokens: int
) -> None:
    """Every group must hold exactly the picture tokens that its pictures give."""
    marks_BT = batch.tokens_BT == picture_token
    for each in laid:
        has = int(marks_BT[each.b, each.places].sum())
        wants = each.row.marks(picture_tokens)
        if has != wants:
            raise LengthError(
                f"{has} picture tokens stand in the text but the pictures give {wants}",
                where=each.row.origin,
                fix="take the picture mark out of the text: the template puts it in",
            )
