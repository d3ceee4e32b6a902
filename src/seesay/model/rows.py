"""Packed rows: who may look at whom, which pictures belong to which row, documents taken apart.

Shapes: B rows, T positions, N pictures, Q picture tokens, M documents, D width, S context.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seesay.errors import LengthError

# How many tokens an answer may have that is filled in all at once, its end included.
SLOTS = 6


def visible(
    documents: Int[Tensor, "B T"],
    groups: Int[Tensor, "B T"],
    *,
    horizon: Int[Tensor, "B t"] | None = None,
    queries: slice = slice(None),
) -> Bool[Tensor, "B 1 t T"]:
    """Who may look at whom in packed rows.

    A position sees an earlier one of the same group that is a picture's (document 0) or of the
    same document; the pictures of a group see each other both ways. With `horizon`, a position sees
    as far ahead as that place (itself for a causal one).
    """
    places = torch.arange(documents.shape[1], device=documents.device)
    last_Bt = places[None, queries] if horizon is None else horizon
    earlier = last_Bt[:, :, None] >= places[None, None, :]
    document_Bt1, group_Bt1 = documents[:, queries, None], groups[:, queries, None]
    document_B1T, group_B1T = documents[:, None, :], groups[:, None, :]
    same_group = (group_Bt1 == group_B1T) & (document_B1T >= 0)
    both_pictures = (document_Bt1 == 0) & (document_B1T == 0)
    same_document = (document_B1T == 0) | (document_Bt1 == document_B1T)
    return (same_group & same_document & (earlier | both_pictures))[:, None]


class Chosen(NamedTuple):
    """Some places of each row, those that are wanted before those that only fill the row up."""

    places_Bt: Tensor
    wanted_Bt: Tensor

    @classmethod
    def of(cls, wanted_BT: Bool[Tensor, "B T"]) -> "Chosen":
        most = int(wanted_BT.sum(dim=1).max()) if len(wanted_BT) else 0
        places_Bt = wanted_BT.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        return cls(places_Bt, wanted_BT.gather(1, places_Bt))

    def pick(self, h_BtD: Tensor, wanted_BT: Tensor) -> Tensor:
        """Of the features at these places, those wanted (M, D), row by row."""
        return h_BtD[wanted_BT.gather(1, self.places_Bt) & self.wanted_Bt]


class Placed(NamedTuple):
    """Features of every position (B, T, D), or of those that were chosen (B, t, D)."""

    features: Tensor
    chosen: Chosen | None = None

    def at(self, wanted_BT: Bool[Tensor, "B T"] | None) -> Tensor:
        """The features of wanted positions (M, D), row by row; of all (B, T, D) where None."""
        if wanted_BT is None:
            return self.features
        if self.chosen is None:
            return self.features[wanted_BT]
        return self.chosen.pick(self.features, wanted_BT)


class Layout(NamedTuple):
    """Where the positions of packed rows belong, as `records.Batch` has it.

    Positions and horizon are of those being read, t of T; documents and groups of all so far.
    """

    positions: Int[Tensor, "B t"]
    documents: Int[Tensor, "B T"]
    groups: Int[Tensor, "B T"]
    horizon: Int[Tensor, "B t"] | None = None


def owners(
    tokens_BT: Int[Tensor, "B T"],
    *,
    picture_token: int,
    pictures: int,
    instructed: Int[Tensor, "B T"] | None = None,
) -> Int[Tensor, " N"]:
    """The row that each of so many pictures stands in, in order.

    instructed: the documents of rows where each shows all pictures, so that one shows as many as
    there are.

    Raises:
        LengthError: the marks in the text are not the same number for each picture.
    """
    marks_BT = tokens_BT == picture_token
    if instructed is not None:
        marks_BT = marks_BT & (instructed == 1)
    rows = marks_BT.nonzero()[:, 0]
    if not pictures or len(rows) % pictures:
        if len(rows) or pictures:
            raise LengthError(
                f"{len(rows)} picture marks stand in the text for {pictures} pictures",
                fix="render the text with this model's own template, as many marks a picture",
            )
        return rows
    return rows[:: len(rows) // pictures]


def shown(
    marks: Bool[Tensor, "B T"],
    *,
    documents: Int[Tensor, "B T"],
    groups: Int[Tensor, "B T"],
    row_N: Int[Tensor, " N"],
) -> Bool[Tensor, "B T n"]:
    """Which of its row's pictures each position looks at: those of the last run of marks before it.

    Marks of other documents do not count, those of a group's own pictures (document 0) do.
    """
    rows, width = marks.shape
    each = int(marks.sum()) // max(1, len(row_N))
    place_N = marks.nonzero()[:: max(1, each), 1]
    count_B = row_N.bincount(minlength=rows)
    order_N = torch.arange(len(row_N), device=marks.device) - (count_B.cumsum(0) - count_B)[row_N]
    most = max(1, int(count_B.max()) if rows else 0)
    place_Bn = place_N.new_full((rows, most), width).index_put((row_N, order_N), place_N)
    at_Bn = place_Bn.clamp(max=width - 1)
    # A run begins where a mark follows something else.
    begins_BT = marks & ~torch.nn.functional.pad(marks, (1, 0))[:, :-1]
    run_Bn = begins_BT.cumsum(dim=1).gather(1, at_Bn)
    document_Bn, group_Bn = documents.gather(1, at_Bn), groups.gather(1, at_Bn)
    places_T = torch.arange(width, device=marks.device)
    before = place_Bn[:, None, :] <= places_T[None, :, None]
    own = (document_Bn[:, None] == documents[..., None]) | (document_Bn[:, None] == 0)
    allowed = before & own & (group_Bn[:, None] == groups[..., None])
    last_BT1 = run_Bn[:, None].expand_as(allowed).where(allowed, -1).amax(dim=2, keepdim=True)
    return allowed & (run_Bn[:, None] == last_BT1)


class Context(NamedTuple):
    """What texts look at: of each row its pictures' features side by side, and which are real.

    real_BS may say it of each position (B, T, S), where pictures are shown one after another.
    each: how many of the features are one picture's.
    """

    features_BSD: Float[Tensor, "B S D"]
    real_BS: Bool[Tensor, "*B S"]
    each: int

    @property
    def pictures(self) -> int:
        """How many pictures a row has room for."""
        return self.features_BSD.shape[1] // self.each

    @property
    def several(self) -> bool:
        """Whether that is more than one."""
        return self.pictures > 1

    @classmethod
    def of(
        cls,
        seen: Float[Tensor, "N Q D"],
        owners: Int[Tensor, " N"],
        *,
        rows: int,
        real: Bool[Tensor, "N Q"] | None = None,
    ) -> "Context":
        """The pictures put in their rows; a row without any has nothing real.

        `real`: which of their features are, where not all of them.
        """
        if real is None:
            real = torch.ones(seen.shape[:2], dtype=torch.bool, device=seen.device)
        count_B = owners.bincount(minlength=rows)
        first_B = count_B.cumsum(0) - count_B
        most = int(count_B.max()) if rows else 0
        if most <= 1 and len(seen) == rows:
            return cls(seen, real, seen.shape[1])
        place_N = torch.arange(len(owners), device=owners.device) - first_B[owners]
        shape = (rows, max(most, 1), *seen.shape[1:])
        features = seen.new_zeros(shape).index_put((owners, place_N), seen)
        real_BnQ = real.new_zeros(shape[:3]).index_put((owners, place_N), real)
        return cls(features.flatten(1, 2), real_BnQ.flatten(1, 2), seen.shape[1])

    def take(self, rows_M: Int[Tensor, " M"]) -> "Context":
        """The context of some rows, in this order."""
        return Context(self.features_BSD[rows_M], self.real_BS[rows_M], self.each)

    def at(self, places_B: Int[Tensor, " B"]) -> "Context":
        """What one position of each row looks at."""
        if self.real_BS.ndim == 2:
            return self
        rows_B = torch.arange(len(places_B), device=places_B.device)
        return Context(self.features_BSD, self.real_BS[rows_B, places_B], self.each)


class Apart(NamedTuple):
    """The documents of packed rows, each a row of its own (M, t).

    places: where each of their positions stands in (B · T); of padding, where the first does.
    """

    places_Mt: Int[Tensor, "M t"]
    real_Mt: Bool[Tensor, "M t"]
    rows_M: Int[Tensor, " M"]

    @classmethod
    def of(cls, documents: Int[Tensor, "B T"], groups: Int[Tensor, "B T"]) -> "Apart":
        """In the order of the rows."""
        width = documents.shape[1]
        flat = ((documents > 0) & (groups >= 0)).flatten().nonzero()[:, 0]
        row = flat // width
        most = int(documents.max()) + 1 if documents.numel() else 1
        several = int(groups.max()) + 1 if groups.numel() else 1
        name = (row * several + groups.flatten()[flat]) * most + documents.flatten()[flat]
        _, count_M = name.unique_consecutive(return_counts=True)
        start_M = count_M.cumsum(0) - count_M
        steps = torch.arange(int(count_M.max()) if len(count_M) else 0, device=flat.device)
        real_Mt = steps < count_M[:, None]
        places_Mt = flat[torch.where(real_Mt, start_M[:, None] + steps, start_M[:, None])]
        return cls(places_Mt, real_Mt, row[start_M])

    def split(self, x_BT: Tensor) -> Tensor:
        """What stands at the documents' positions: (B, T, …) as (M, t, …)."""
        return x_BT.flatten(0, 1)[self.places_Mt]

    def join(self, x_Mt: Tensor, *, like: Tensor) -> Tensor:
        """(M, t, …) put back where `like` (B, T) has its documents, zero elsewhere."""
        whole = x_Mt.new_zeros((like.numel(), *x_Mt.shape[2:]))
        whole = whole.index_put((self.places_Mt[self.real_Mt],), x_Mt[self.real_Mt])
        return whole.view(*like.shape, *x_Mt.shape[2:])


class Asked(NamedTuple):
    """Documents taken apart, each with slots for its answer after what is asked: (M, t).

    targets: at each slot the word that belongs there, -1 where none is known.
    """

    tokens_Mt: Int[Tensor, "M t"]
    real_Mt: Bool[Tensor, "M t"]
    slots_Mt: Bool[Tensor, "M t"]
    targets_Mt: Int[Tensor, "M t"]
    row_M: Int[Tensor, " M"]

    @classmethod
    def of(
        cls,
        tokens: Int[Tensor, "B T"],
        targets: Int[Tensor, "B T"],
        *,
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
        mask: int,
        slots: int,
    ) -> "Asked":
        """Of packed rows; an answer longer than there are slots asks for nothing."""
        apart = Apart.of(documents, groups)
        given_Mt, after_Mt = apart.split(tokens), apart.split(targets)
        after_Mt = after_Mt.masked_fill(~apart.real_Mt, -1)
        places_t = torch.arange(after_Mt.shape[1], device=tokens.device)
        length_M = apart.real_Mt.sum(dim=1)
        # The answer begins after the last place that says nothing, with the word that follows it.
        silent_Mt = apart.real_Mt & (after_Mt < 0)
        begins_M = torch.where(silent_Mt, places_t, -1).amax(dim=1) + 1
        answer_M = length_M - begins_M
        asked_M = torch.where(answer_M > 0, begins_M + 1, length_M)
        longest = int(asked_M.max()) + slots if len(asked_M) else 0
        steps = torch.arange(longest, device=tokens.device)
        slots_Mt = (steps >= asked_M[:, None]) & (steps < asked_M[:, None] + slots)
        real_Mt = steps < asked_M[:, None] + slots
        wide = given_Mt.new_full(real_Mt.shape, mask)
        width = min(given_Mt.shape[1], wide.shape[1])
        wide[:, :width] = torch.where(slots_Mt[:, :width], mask, given_Mt[:, :width])
        place_Mt = (steps - 1).clamp(min=0, max=max(given_Mt.shape[1] - 1, 0)).expand_as(real_Mt)
        target_Mt = after_Mt.gather(1, place_Mt)
        known = slots_Mt & (answer_M <= slots)[:, None] & (steps <= length_M[:, None])
        return cls(wide, real_Mt, slots_Mt, target_Mt.where(known, -1), apart.rows_M)
