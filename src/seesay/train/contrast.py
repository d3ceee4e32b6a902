"""Contrast: all pictures against all texts, of all processes, in one matrix or in strips of it.

Shapes: B rows of pictures, M texts, t positions of one, E width of the common space, S pictures or
texts of a strip, K what they are set against, Q pairs kept from steps before, V vectors of one
picture, in families with several.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seesay import objectives
from seesay.model.contract import Viewer

# Pictures (B, E), or (B, V, E) of several vectors each, and texts (M, E) -> scores (B, M).
Similarity = Callable[[Tensor, Tensor], Tensor]


def marks(tokens: Int[Tensor, "M t"], real: Bool[Tensor, "M t"]) -> Int[Tensor, " M"]:
    """A number for each text: the same where texts are, word for word.

    A sum of tokens times what their places are given (SplitMix64), modulo 2⁶⁴: that two unlike
    texts agree is about as likely as one such number.
    """
    keys_t = torch.arange(1, tokens.shape[1] + 1, device=tokens.device) * -7046029254386353131
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        keys_t = (keys_t ^ (keys_t >> shift)) * factor
    return ((tokens + 1) * (keys_t | 1) * real).sum(dim=1)


class Pairs(NamedTuple):
    """Of which row each text is, whether it is true of the pictures there, and its mark."""

    marks: Int[Tensor, " M"]
    row: Int[Tensor, " M"]
    true: Bool[Tensor, " M"]
    rows: int

    def positive(
        self, rows: slice = slice(None), marks: Int[Tensor, " K"] | None = None
    ) -> Bool[Tensor, "S K"]:
        """Which texts, by their marks, are true of some rows for all that is known.

        A row's own true ones are, and what is word for word the same as one of them.
        """
        marks = self.marks if marks is None else marks
        first, end, _ = rows.indices(self.rows)
        own = self.true & (self.row >= first) & (self.row < end)
        same_nK = self.marks[own][:, None] == marks
        count_SK = torch.zeros(end - first, len(marks), device=marks.device)
        return count_SK.index_add_(0, self.row[own] - first, same_nK.float()) > 0

    @property
    def asked(self) -> tuple[int, int]:
        """Of how many rows a text is true, and how many texts are true of a row."""
        told = self.marks[self.true]
        return len(self.row[self.true].unique()), int(torch.isin(self.marks, told).sum())


def joined(several: Sequence[Tensor]) -> Tensor:
    """Vectors of pictures as one batch's, though some have more of them than others."""
    most = max(each.shape[1] for each in several) if several[0].ndim == 3 else 0
    return torch.cat([widened(each, most) for each in several])


def widened(vectors: Tensor, most: int) -> Tensor:
    """Vectors of pictures, where these have several: so many; the first stands again.

    The best of them stays the best.
    """
    if vectors.ndim < 3 or vectors.shape[1] == most:
        return vectors
    again = vectors[:, :1].expand(-1, most - vectors.shape[1], -1)
    return torch.cat((vectors, again), dim=1)


def narrowed(gradient: Tensor, several: int) -> Tensor:
    """The gradient at `widened` vectors as that at the first `several`, of which the others are."""
    if gradient.ndim < 3 or gradient.shape[1] == several:
        return gradient
    own, again = gradient[:, :several], gradient[:, several:].sum(dim=1, keepdim=True)
    return torch.cat((own[:, :1] + again, own[:, 1:]), dim=1)


class Vectors(NamedTuple):
    """Pictures and texts in a common space, and what scores them there."""

    pictures: Float[Tensor, "B *V E"]
    texts: Float[Tensor, "M E"]
    similarity: Similarity

    def scores(self, rows: slice = slice(None), texts: slice = slice(None)) -> Tensor:
        """Of some pictures with some texts."""
        return self.similarity(self.pictures[rows], self.texts[texts])


class Kept(NamedTuple):
    """A teacher's vectors of true pairs of steps before, and the marks of their texts."""

    pictures: Float[Tensor, "Q *V E"]
    texts: Float[Tensor, "Q E"]
    marks: Int[Tensor, " Q"]


class Strip(NamedTuple):
    """Some pictures against all texts, or some texts against all pictures."""

    scores: Float[Tensor, "S K"]
    positive: Bool[Tensor, "S K"]
    # What a teacher gives them.
    taught: Float[Tensor, "S K"] | None
    # How many there are in all strips of this side, and how many of them ask for something.
    total: int
    asked: int
    of_pictures: bool


@dataclass(slots=True)
class Found:
    """What was seen by the way: how often the best text is right, and would be by chance."""

    right: float | Tensor = 0.0
    chance: float | Tensor = 0.0

    @torch.no_grad()
    def look(self, strip: Strip) -> None:
        """Take in a strip of pictures."""
        asked_S = strip.positive.any(dim=1)
        best_S1 = strip.scores.argmax(dim=1, keepdim=True)
        right_S = strip.positive.gather(1, best_S1)[:, 0]
        self.right = self.right + right_S[asked_S].sum() / max(1, strip.asked)
        chance_S = strip.positive.float().mean(dim=1)
        self.chance = self.chance + chance_S[asked_S].sum() / max(1, strip.asked)


class Contrast:
    """A batch's pictures and texts against each other, as strips whose losses add up.

    With what a teacher kept, pictures and texts stand against its vectors, of this batch and of
    those (MoCo, arXiv:1911.05722; ALBEF, arXiv:2107.07651, section 3.2); else against each other.
    """

    def __init__(
        self,
        own: Vectors,
        pairs: Pairs,
        *,
        sigmoid: bool = False,
        taught: Vectors | None = None,
        kept: Kept | None = None,
        alpha: float = 0.0,
    ) -> None:
        self.own, self.pairs, self.sigmoid = own, pairs, sigmoid
        self.taught, self.kept, self.alpha = taught, kept, alpha
        self.found = Found()
        self.asked_rows, self.asked_texts = pairs.asked
        if kept is not None:
            told = torch.cat((pairs.marks[pairs.true], kept.marks))
            self.asked_texts = int(torch.isin(pairs.marks, told).sum())

    def strips(self, size: int | None = None) -> Iterator[Strip]:
        """All of them; of at most `size` pictures or texts, where that is given."""
        self.found = Found()
        wanted = [(self._of_pictures, rows) for rows in _cut(len(self.own.pictures), size)]
        wanted += [(self._of_texts, texts) for texts in _cut(len(self.own.texts), size)]
        for make, which in wanted:
            # In full precision: at a high temperature the last digits of a likeness decide.
            with torch.autocast(self.own.pictures.device.type, enabled=False):
                strip = make(which)
            if strip.of_pictures:
                self.found.look(strip)
            yield strip

    def contrastive(self, strip: Strip) -> Tensor:
        """A strip's part of CLIP's or SigLIP's loss; `alpha` of the truth is the teacher's."""
        if not self.sigmoid:
            share = strip.positive.any(dim=1).sum() / max(1, strip.asked)
            loss = objectives.choice(strip.scores, strip.positive) * (share / 2)
        elif strip.of_pictures:
            share = len(strip.scores) / strip.total
            loss = objectives.sigmoid_contrastive(strip.scores, strip.positive) * share
        else:  # The strips of pictures hold every pair.
            loss = strip.scores.sum() * 0
        return (1 - self.alpha) * loss + self.alpha * self.affinity(strip) if self.alpha else loss

    def affinity(self, strip: Strip) -> Tensor:
        """A strip's part of the cross-entropies against the teacher's softmax."""
        assert strip.taught is not None
        share = len(strip.scores) / strip.total
        return objectives.imitation(strip.scores, strip.taught) * (share / 2)

    @property
    @torch.no_grad()
    def facts(self) -> dict[str, Tensor]:
        """Shares of pictures whose likeliest text is right, and by chance; how alike they are."""
        found, mean_E = self.found, Viewer.centre(self.own.pictures).mean(dim=0)
        numbers = {"right": found.right, "chance": found.chance, "alike": mean_E.square().sum()}
        return {f"contrastive_{k}": torch.as_tensor(v) for k, v in numbers.items()}

    @cached_property
    def _whole(self) -> Tensor:
        return self.own.scores()

    def _of_pictures(self, rows: slice) -> Strip:
        own, taught, kept, pairs = self.own, self.taught, self.kept, self.pairs
        marks, scores = pairs.marks, None
        if kept is None or taught is None:
            whole = rows == slice(None)
            scores = self._whole if whole else own.scores(rows=rows)
            said = None if taught is None else taught.scores(rows=rows)
        else:
            marks = torch.cat((marks, kept.marks))
            keys = torch.cat((taught.texts, kept.texts))
            scores = own.similarity(own.pictures[rows], keys)
            said = taught.similarity(taught.pictures[rows], keys)
        positive = pairs.positive(rows, marks)
        return Strip(scores, positive, said, len(own.pictures), self.asked_rows, True)

    def _of_texts(self, texts: slice) -> Strip:
        own, taught, kept, pairs = self.own, self.taught, self.kept, self.pairs
        positive = pairs.positive(marks=pairs.marks[texts]).T
        if kept is None or taught is None:
            whole = texts == slice(None)
            scores = (self._whole if whole else own.scores(texts=texts)).T
            said = None if taught is None else taught.scores(texts=texts).T
        else:
            keys = joined((taught.pictures, kept.pictures))
            scores = own.similarity(keys, own.texts[texts]).T
            said = taught.similarity(keys, taught.texts[texts]).T
            same = pairs.marks[texts][:, None] == kept.marks
            positive = torch.cat((positive, same), dim=1)
        return Strip(scores, positive, said, len(own.texts), self.asked_texts, False)


def _cut(count: int, size: int | None) -> list[slice]:
    """0 … count in strips; in one, `slice(None)`, where no size is given; in none where 0 is."""
    if size is None:
        return [slice(None)] * bool(count)
    return [slice(start, start + size) for start in range(0, count, size)]
