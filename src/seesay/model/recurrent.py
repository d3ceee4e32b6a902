"""Recurrent: a picture's features through an LSTM, a word at a time: the first captioners.

Shapes: B rows, T positions, N pictures, P patches, V vision width, D width of words and of the
LSTM, M documents, t positions of one, S context, L layers, Y vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seesay.config import ModelConfig
from seesay.errors import RecipeError
from seesay.model import parts
from seesay.model.contract import Speaker
from seesay.model.layers import LayerCache, Record
from seesay.model.rows import Apart, Context, Layout, Placed, owners, shown
from seesay.model.text import Words

State = tuple[Tensor, Tensor]  # (h, c), each (L, M, D)


class Once(nn.Module):
    """The picture is the first word (Show and Tell, arXiv:1411.4555, equations 10-12).

    One shown later is a word there.
    """

    def __init__(self, *, vision_width: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(vision_width, width)
        between = dropout if depth > 1 else 0.0
        self.cell = nn.LSTM(width, width, depth, batch_first=True, dropout=between)

    def begin(self, context: Context) -> State:
        """The state after the picture."""
        _, state = self.cell(self.first(mean(context))[:, None])
        return state

    def words(self, x_BTD: Tensor, seen: Tensor, marks_BT: Tensor) -> Tensor:
        """Words, and the pictures among them in the place of their marks."""
        told_ND = self.first(seen.mean(dim=1)).to(x_BTD.dtype)
        return x_BTD.masked_scatter(marks_BT[..., None], told_ND)

    def forward(
        self,
        x_MtD: Tensor,
        length_M: Tensor | None,
        state: State,
        context: Context,
        *,
        record: Record | None = None,
    ) -> tuple[Tensor, State]:
        """Features after each word, and the state after the last: of padding, without lengths."""
        if length_M is None:
            return self.cell(x_MtD, state)
        packed = pack_padded_sequence(x_MtD, length_M.cpu(), batch_first=True, enforce_sorted=False)
        out, state = self.cell(packed, state)
        h_MtD, _ = pad_packed_sequence(out, batch_first=True, total_length=x_MtD.shape[1])
        return h_MtD, state


class Attending(nn.Module):
    """Each word looks at the patches anew (Show, Attend and Tell, arXiv:1502.03044, section 3.1).

    e = w·tanh(W_a a + W_h h), α = softmax(e), z = β Σ α a; h' = LSTM([word; z], h).
    """

    def __init__(self, *, vision_width: int, width: int) -> None:
        super().__init__()
        self.start = nn.Linear(vision_width, 2 * width)
        self.of_patches = nn.Linear(vision_width, width)
        self.of_state = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        self.gate = nn.Linear(width, vision_width)
        self.cell = nn.LSTMCell(width + vision_width, width)
        self.out = nn.Linear(width + vision_width, width)

    def begin(self, context: Context) -> State:
        """The state that the mean of the patches gives."""
        h_MD, c_MD = self.start(mean(context)).tanh().chunk(2, dim=-1)
        return h_MD[None], c_MD[None]

    def words(self, x_BTD: Tensor, seen: Tensor, marks_BT: Tensor) -> Tensor:
        """Words as they are: they look at the pictures shown last."""
        return x_BTD

    def forward(
        self,
        x_MtD: Tensor,
        length_M: Tensor | None,
        state: State,
        context: Context,
        *,
        record: Record | None = None,
    ) -> tuple[Tensor, State]:
        """Features after each word, and the state after the last: of padding, without lengths."""
        h_MD, c_MD = state[0][0], state[1][0]
        keys_MSD, real = self.of_patches(context.features_BSD), context.real_BS
        features, looks = [], []
        for step, x_MD in enumerate(x_MtD.unbind(1)):
            look_MS = self._look(h_MD, keys_MSD, real if real.ndim == 2 else real[:, step])
            z_MV = self.gate(h_MD).sigmoid() * (look_MS[:, None] @ context.features_BSD)[:, 0]
            before = h_MD, c_MD
            h_MD, c_MD = self.cell(torch.cat((x_MD, z_MV), dim=-1), before)
            if length_M is not None:
                going = (step < length_M)[:, None]
                h_MD = torch.where(going, h_MD, before[0])
                c_MD = torch.where(going, c_MD, before[1])
            features.append(x_MD + self.out(torch.cat((h_MD, z_MV), dim=-1)))
            looks.append(look_MS)
        if record is not None:
            record["text.attention"] = torch.stack(looks, dim=1)
        return torch.stack(features, dim=1), (h_MD[None], c_MD[None])

    def _look(self, h_MD: Tensor, keys_MSD: Tensor, real_MS: Tensor) -> Tensor:
        scores_MS = self.score((keys_MSD + self.of_state(h_MD)[:, None]).tanh())[..., 0]
        # Where nothing is to be seen yet, softmax is even over what must not be looked at.
        return scores_MS.masked_fill(~real_MS, -3e4).softmax(dim=-1) * real_MS


def mean(context: Context) -> Float[Tensor, "M V"]:
    """The mean of each row's real patches; zero where it has none."""
    weights_MS = context.real_BS.to(context.features_BSD.dtype)
    total_MV = (context.features_BSD * weights_MS[..., None]).sum(dim=1)
    return total_MV / weights_MS.sum(dim=1, keepdim=True).clamp(min=1)


class _Met(NamedTuple):
    """Documents apart: their words, what stands in front of them, what each word is shown."""

    apart: Apart
    words_MtD: Tensor
    front: Context
    shown: Context


class _State(LayerCache):
    """What an LSTM carries on: its state as `keys` and `values` (M, L, D), and what is shown."""

    shown: Context | None = None

    def keep(self, state: State, context: Context) -> None:
        """Go on from here."""
        self.keys, self.values = state[0].transpose(0, 1), state[1].transpose(0, 1)
        self.shown = context

    def state(self) -> State:
        """As an LSTM takes it."""
        assert self.keys is not None and self.values is not None
        return self.keys.transpose(0, 1).contiguous(), self.values.transpose(0, 1).contiguous()

    def rows(self, index: Tensor) -> None:
        """Keep these rows, in this order."""
        super().rows(index)
        if self.shown is not None:
            self.shown = self.shown.take(index)


class Recurrent(Speaker):
    """An LSTM tells what a CNN saw: logits = words(lstm(words, picture)).

    cell: how it comes to know the picture, `Once` or `Attending`. Every document is read from its
    first word on, with the pictures in front of it. One shown inside it is told from there on: as a
    word, or in place of those before it for the words that attend.
    """

    can = ("answer", "choose", "caption")
    interleaves = True

    def __init__(
        self, *, vision: nn.Module, cell: Once | Attending, text: Words, picture_token: int
    ) -> None:
        super().__init__()
        self.vision, self.cell, self.text = vision, cell, text
        self.picture_token = picture_token

    def tell(
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "m P V"],
        layout: Layout,
        *,
        wanted: Bool[Tensor, "B T"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Placed:
        """The LSTM's features at every position, zero where no document stands."""
        met = self._meet(tokens, seen, layout)
        state = self.cell.begin(met.front)
        h_MtD, _ = self.cell(met.words_MtD, None, state, met.shown, record=record)
        return Placed(met.apart.join(h_MtD, like=tokens))

    def _meet(self, tokens: Tensor, seen: Tensor, layout: Layout) -> "_Met":
        documents, groups = layout.documents, layout.groups
        apart, marks_BT = Apart.of(documents, groups), tokens == self.picture_token
        row_N = owners(tokens, picture_token=self.picture_token, pictures=len(seen))
        context = Context.of(seen, row_N, rows=len(tokens))
        words_BTD, inside_BT = self.text.embed(tokens), marks_BT & (documents > 0)
        if not inside_BT.any():
            every = context.take(apart.rows_M)
            return _Met(apart, apart.split(words_BTD), every, every)
        first_N = marks_BT.nonzero()[:: max(1, int(marks_BT.sum()) // len(seen))]
        front_N = documents[first_N[:, 0], first_N[:, 1]] == 0
        words_BTD = self.cell.words(words_BTD, seen[~front_N], inside_BT)
        shown_BTn = shown(marks_BT, documents=documents, groups=groups, row_N=row_N)
        shown_BTS = shown_BTn.repeat_interleave(seen.shape[1], dim=2)
        front = Context.of(seen[front_N], row_N[front_N], rows=len(tokens))
        features_MSV = context.features_BSD[apart.rows_M]
        return _Met(
            apart,
            apart.split(words_BTD),
            front.take(apart.rows_M),
            Context(features_MSV, apart.split(shown_BTS), context.each),
        )

    def caches(self) -> list[LayerCache]:
        """An empty state for `decode`."""
        return [_State()]

    def go_on(
        self,
        tokens: Int[Tensor, "B t"],
        seen: Float[Tensor, "N P V"] | None,
        layout: Layout,
        *,
        caches: Sequence[LayerCache],
        last: Int[Tensor, " B"] | None = None,
        fused: bool = False,
    ) -> Float[Tensor, "B t D"]:
        """The LSTM's features at the next positions; each row holds one document."""
        (cache,) = caches
        assert isinstance(cache, _State)
        if seen is not None:
            met = self._meet(tokens, seen, layout)
            length_M, state = met.apart.real_Mt.sum(dim=1), self.cell.begin(met.front)
            h_MtD, state = self.cell(met.words_MtD, length_M, state, met.shown)
            h_BtD, context = met.apart.join(h_MtD, like=tokens), met.shown.at(length_M - 1)
        else:
            assert cache.shown is not None
            context, x_BtD = cache.shown, self.text.embed(tokens)
            length_B = torch.full((len(tokens),), tokens.shape[1], device=tokens.device)
            h_BtD, state = self.cell(x_BtD, length_B, cache.state(), context)
        cache.keep(state, context)
        return h_BtD


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Recurrent:
    """A CNN and an LSTM as a recipe says."""
    width, seen = config.text.width, config.vision.width
    if config.attend and config.text.depth != 1:
        raise RecipeError(
            f"an LSTM that attends has 1 layer, not {config.text.depth}",
            where="model.text.depth",
            fix="write depth = 1, or model.attend = false",
        )
    cell = (
        Attending(vision_width=seen, width=width)
        if config.attend
        else Once(
            vision_width=seen, width=width, depth=config.text.depth, dropout=config.text.dropout
        )
    )
    return Recurrent(
        vision=parts.vision_side(config.vision),
        cell=cell,
        text=Words(nn.Embedding(vocabulary, width)),
        picture_token=picture_token,
    )
