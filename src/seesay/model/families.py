"""Families: how pictures and words meet.

Shapes: B rows, T positions, D text width, N pictures, Q picture tokens, Y vocabulary, P patches,
V vision width, C classes of attributes, O objects.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from seesay.config import ModelConfig, TextConfig, VisionConfig
from seesay.errors import LengthError, RecipeError
from seesay.model import connectors, layers, vision
from seesay.model.layers import LayerCache, Record
from seesay.model.text import Decoder


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


class _Chosen(NamedTuple):
    """Some places of each row, those that are wanted before those that only fill the row up."""

    places_Bt: Tensor
    wanted_Bt: Tensor

    @classmethod
    def of(cls, wanted_BT: Bool[Tensor, "B T"]) -> "_Chosen":
        most = int(wanted_BT.sum(dim=1).max()) if len(wanted_BT) else 0
        places_Bt = wanted_BT.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        return cls(places_Bt, wanted_BT.gather(1, places_Bt))

    def pick(self, h_BtD: Tensor, wanted_BT: Tensor) -> Tensor:
        """Of the features at these places, those wanted (M, D), row by row."""
        return h_BtD[wanted_BT.gather(1, self.places_Bt) & self.wanted_Bt]


class Taught(NamedTuple):
    """What all heads say: of words (M, Y), of patches (N, P, C), and of what answers are about.

    That is (M, O·C): the objects side by side.
    """

    words: Tensor
    patches: Tensor | None
    objects: Tensor | None


class Prefix(nn.Module):
    """Picture tokens stand among the words of a causal decoder (LLaVA, arXiv:2304.08485).

    h = decoder([connector(vision(picture)); embed(words)]), logits = head(h).

    `patch_head` reads what is in each patch off the vision side, and `object_head` what the objects
    are that an answer is about off the text side, where that is taught too. With `prefix_lm`, the
    words of a question see each other both ways, as pictures do (T5, arXiv:1910.10683, section
    3.2.1; PaliGemma, arXiv:2407.07726).
    """

    can = ("answer", "choose", "caption")

    def __init__(
        self,
        *,
        vision: nn.Module,
        connector: nn.Module,
        text: Decoder,
        picture_token: int,
        patch_head: nn.Linear | None = None,
        object_head: nn.Linear | None = None,
        prefix_lm: bool = False,
    ) -> None:
        super().__init__()
        self.vision, self.connector, self.text = vision, connector, text
        self.picture_token, self.prefix_lm = picture_token, prefix_lm
        self.patch_head, self.object_head = patch_head, object_head

    def see(
        self,
        pictures: UInt8[Tensor, "N C H W"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N Q D"]:
        """Pictures as tokens of the text side's width."""
        return self.connector(self.vision(pictures, fused=fused, record=record))

    def embed(
        self, tokens: Int[Tensor, "B T"], seen: Float[Tensor, "N Q D"]
    ) -> Float[Tensor, "B T D"]:
        """Words embedded, pictures put where the picture token stands, in order."""
        x_BTD = self.text.embed(tokens).to(seen.dtype)
        places = (tokens == self.picture_token).flatten().nonzero()[:, 0]
        wanted, given = len(places), seen.shape[0] * seen.shape[1]
        if wanted != given:
            raise LengthError(
                f"the text has room for {wanted} picture tokens but the pictures give {given} "
                f"({seen.shape[0]} pictures of {seen.shape[1]})",
                fix="render the text with this model's own template, one mark a picture",
            )
        flat = x_BTD.flatten(0, 1).index_copy(0, places, seen.flatten(0, 1))
        return flat.view_as(x_BTD)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        *,
        pictures: UInt8[Tensor, "N C H W"],
        positions: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
        horizon: Int[Tensor, "B T"] | None = None,
        seen: Float[Tensor, "M Q D"] | None = None,
        select: Bool[Tensor, "B T"] | None = None,
        label: bool = False,
        about: Bool[Tensor, "B T"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "*rows Y"] | Taught:
        """Logits at every position (B, T, Y), or at the selected ones only (M, Y).

        `seen` are the pictures already as tokens, where several rows share one; `pictures` are
        then not looked at. `horizon` is for `prefix_lm` alone. With `label`, also what the other
        heads say: of each patch, and at the positions `about` of each object.
        """
        patches_NPV = None
        if seen is None:
            patches_NPV = self.vision(pictures, fused=fused, record=record)
            seen = self.connector(patches_NPV)
        assert seen is not None
        x_BTD = self.embed(tokens, seen)
        bias = self._bias(documents, groups, horizon, like=x_BTD)
        chosen = None
        if select is not None and record is None:
            chosen = _Chosen.of(select if about is None else select | about)
        h_BtD = self.text(
            x_BTD,
            positions=positions,
            bias=bias,
            places=None if chosen is None else chosen.places_Bt,
            fused=fused,
            record=record,
        )

        def pick(wanted_BT: Tensor) -> Tensor:
            return h_BtD[wanted_BT] if chosen is None else chosen.pick(h_BtD, wanted_BT)

        logits = self.text.logits(h_BtD if select is None else pick(select))
        if not label:
            return logits
        patches_NPC, objects_MC = None, None
        if self.patch_head is not None and patches_NPV is not None:
            patches_NPC = self.patch_head(patches_NPV)
        if self.object_head is not None and about is not None:
            objects_MC = self.object_head(pick(about))
        return Taught(logits, patches_NPC, objects_MC)

    def decode(
        self,
        tokens: Int[Tensor, "B t"],
        *,
        seen: Float[Tensor, "N Q D"] | None,
        positions: Int[Tensor, "B t"],
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
        horizon: Int[Tensor, "B t"] | None = None,
        caches: Sequence[LayerCache],
        last: Int[Tensor, " B"] | None = None,
        fused: bool = False,
    ) -> Float[Tensor, "B #t Y"]:  # noqa: F821 - a shape, not a name with a comment
        """The next positions' logits, or of each row only those at `last` (B, 1, Y).

        `documents` and `groups` cover the cached positions and these.
        """
        x_BtD = self.text.embed(tokens) if seen is None else self.embed(tokens, seen)
        bias = self._bias(documents, groups, horizon, like=x_BtD)
        h_BtD = self.text(x_BtD, positions=positions, bias=bias, caches=caches, fused=fused)
        if last is not None:
            h_BtD = h_BtD.take_along_dim(last[:, None, None], dim=1)
        return self.text.logits(h_BtD)

    def _bias(
        self, documents: Tensor, groups: Tensor, horizon: Tensor | None, *, like: Tensor
    ) -> Tensor:
        """The mask of the last positions, as many as `like` (B, t, D) has."""
        queries = slice(-like.shape[1], None)
        ahead = horizon if self.prefix_lm else None
        allowed = visible(documents, groups, horizon=ahead, queries=queries)
        return layers.mask_bias(allowed, _compute_type(like))


def _compute_type(x: Tensor) -> torch.dtype:
    """What attention scores come in: autocast's type where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Prefix:
    """A model with fresh weights."""
    text = build_text(config.text, vocabulary=vocabulary)
    patch, things = sum(config.patch_classes), config.num_objects * sum(config.object_classes)
    model = Prefix(
        vision=build_vision(config.vision),
        connector=build_connector(config),
        text=text,
        picture_token=picture_token,
        patch_head=nn.Linear(config.vision.width, patch) if patch else None,
        object_head=nn.Linear(config.text.width, things) if things else None,
        prefix_lm=config.prefix_lm,
    )
    layers.initialise(model)
    return model


def build_vision(config: VisionConfig) -> nn.Module:
    """The vision side a recipe asks for."""
    normalise = vision.Normalise(mean=config.mean, deviation=config.deviation)
    if config.kind == "resnet":
        widths = (*config.stem_widths[:-1], config.width)
        return vision.ResNet(
            normalise=normalise,
            widths=widths,
            depths=config.stem_residuals,
            stride=2,
            norm=layers.norm(config.norms, config.width),
        )
    height, width = patch_grid(config)
    return vision.VisionTransformer(
        normalise=normalise,
        stem=_stem(config),
        positions=torch.randn(height * width, config.width) * 0.02,
        blocks=layers.stack(
            depth=config.depth,
            width=config.width,
            num_heads=config.num_heads,
            mlp_inner=int(config.width * config.mlp_ratio),
            activation=config.activation,
            norms=config.norms,
            head_norm=config.head_norm,
        ),
        norm=layers.norm(config.norms, config.width),
    )


def _stem(config: VisionConfig) -> nn.Module:
    if config.stem == "patch":
        return vision.PatchStem(patch=config.patch, width=config.width)
    return vision.ConvStem(
        widths=config.stem_widths, width=config.width, residuals=config.stem_residuals
    )


def patch_grid(config: VisionConfig) -> tuple[int, int]:
    """Patches down and across."""
    patch = 2 ** len(config.stem_widths)
    if config.kind == "vit" and config.stem == "patch":
        patch = config.patch
    height, width = config.size
    if config.kind == "vit" and (height % patch or width % patch):
        raise RecipeError(
            f"a picture of {height}×{width} does not divide into patches of {patch}",
            where="model.vision.image_size",
            fix=f"use multiples of {patch}",
        )
    return -(-height // patch), -(-width // patch)


def build_connector(config: ModelConfig) -> nn.Module:
    """The connector a recipe asks for."""
    widths = {"vision_width": config.vision.width, "text_width": config.text.width}
    kind = config.connector.kind
    if kind == "pixel_shuffle":
        picture_tokens(config)  # raises where the grid does not fold
        return connectors.PixelShuffle(
            **widths, factor=config.connector.factor, grid=patch_grid(config.vision)
        )
    return {"linear": connectors.Linear, "mlp": connectors.Perceptron}[kind](**widths)


def picture_tokens(config: ModelConfig) -> int:
    """How many positions one picture takes in the text."""
    height, width = patch_grid(config.vision)
    fold = config.connector.factor if config.connector.kind == "pixel_shuffle" else 1
    if height % fold or width % fold:
        raise RecipeError(
            f"a grid of {height}×{width} patches does not fold by {fold}",
            where="model.connector.factor",
            fix="choose a factor that divides both",
        )
    return (height // fold) * (width // fold)


def build_text(config: TextConfig, *, vocabulary: int) -> Decoder:
    """The decoder a recipe asks for."""
    head_width = config.width // config.num_heads
    rotates = config.positions == "rotary"
    rotary = layers.Rotary(width=head_width, base=config.rotary_base) if rotates else None
    return Decoder(
        embedding=nn.Embedding(vocabulary, config.width),
        rotary=rotary,
        positions=None if rotates else nn.Embedding(config.context, config.width),
        blocks=layers.stack(
            depth=config.depth,
            width=config.width,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            mlp_inner=int(config.width * config.mlp_ratio),
            activation=config.activation,
            gated=config.gated,
            norms=config.norms,
            head_norm=config.head_norm,
            rotary=rotary,
            dropout=config.dropout,
        ),
        norm=layers.norm(config.norms, config.width),
    )
