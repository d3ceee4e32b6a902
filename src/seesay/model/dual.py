"""Dual: pictures and texts apart, in one space.

Shapes: N pictures, P patches, V vision width, B rows of pictures, M texts, T positions, D text
width, E width of the common space.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.config import ModelConfig
from seesay.errors import LengthError
from seesay.model import layers, parts
from seesay.model.contract import Embedder
from seesay.model.layers import Record, compute_type
from seesay.model.rows import Context
from seesay.model.text import Decoder
from seesay.model.vision import Pool


class Dual(Embedder):
    """Pictures and texts in one space (CLIP, arXiv:2103.00020; SigLIP, arXiv:2303.15343).

    similarity = exp(scale) · unit(project(pool(vision(picture)))) · unit(project(text)) + bias

    Args:
        pool, project: patches -> one vector of the common space.
        text_project: the feature of a text's last token -> the same space.
        causal: words see those before them only (CLIP); otherwise each other (SigLIP).
        scale: the temperature is exp(-scale) to begin with. bias: begins so, or None for none.
        most: what exp(scale) does not go above, or None. CLIP found training unstable above 100
            (section 2.5); SigLIP's own weights are.
        padded: how long every text is made with which token, all of it seen and its last place
            telling (SigLIP); or None.
    """

    can = ("embed", "choose")

    def __init__(
        self,
        *,
        vision: nn.Module,
        pool: nn.Module,
        project: nn.Module,
        text: Decoder,
        text_project: nn.Module,
        picture_token: int,
        causal: bool = True,
        scale: float = math.log(1 / 0.07),
        bias: float | None = None,
        most: float | None = 100.0,
        padded: tuple[int, int] | None = None,
        sees_class: bool = False,
    ) -> None:
        super().__init__()
        self.sees_class = sees_class
        self.vision, self.pool, self.project = vision, pool, project
        self.text, self.text_project = text, text_project
        self.picture_token, self.causal = picture_token, causal
        self.most, self.padded = most, padded
        self.scale = nn.Parameter(torch.tensor(scale))
        self.bias = nn.Parameter(torch.tensor(bias)) if bias is not None else None

    def embed_pictures(self, context: Context) -> Float[Tensor, "B E"]:
        """Pictures as vectors of unit length; several of a row are taken together."""
        features, real, each = context
        return unit(self.project(self.pool(features, real, each=each)))

    def read(
        self,
        tokens: Int[Tensor, "M T"],
        real: Bool[Tensor, "M T"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "M T D"]:
        """Texts as features of their words, without a look at any picture."""
        x_MTD = self.text.embed(tokens)
        bias = text_bias(real, causal=self.causal, like=x_MTD)
        return self.text(x_MTD, positions=places(tokens), bias=bias, fused=fused, record=record)

    def embed_texts(
        self,
        tokens: Int[Tensor, "M T"],
        real: Bool[Tensor, "M T"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "M E"]:
        """Texts as vectors of unit length."""
        if self.padded is not None:
            tokens, real = lengthened(tokens, real, padded=self.padded)
        h_MTD = self.read(tokens, real, fused=fused, record=record)
        return self.place(last_of(h_MTD, real))

    def place(self, texts: Float[Tensor, "M D"]) -> Float[Tensor, "M E"]:
        """Features of texts in the common space."""
        return unit(self.text_project(texts))

    def similarity(
        self, pictures: Float[Tensor, "B E"], texts: Float[Tensor, "M E"]
    ) -> Float[Tensor, "B M"]:
        """Scores of every picture with every text."""
        likeness = pictures.float() @ texts.float().T
        return scaled(likeness, scale=self.scale, bias=self.bias, most=self.most)


def scaled(
    likeness: Float[Tensor, "B M"],
    *,
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""] | None,
    most: float | None = 100.0,
) -> Float[Tensor, "B M"]:
    """exp(scale), not above `most`, · likeness + bias: the scores that likeness gives."""
    scale = scale if most is None else scale.clamp(max=math.log(most))
    scores = scale.exp() * likeness
    return scores if bias is None else scores + bias


def beginning(contrast: str) -> dict[str, float | None]:
    """What `scale` and `bias` begin as, by how texts and pictures are set against each other."""
    if contrast == "sigmoid":
        return {"scale": math.log(10), "bias": -10.0}
    return {"scale": math.log(1 / 0.07), "bias": None}


def places(tokens: Int[Tensor, "M T"]) -> Int[Tensor, "M T"]:
    """0, 1, 2 … in each text."""
    return torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)


def unit(x: Float[Tensor, "*B E"]) -> Float[Tensor, "*B E"]:
    """Vectors of unit length, in fp32."""
    return F.normalize(x.float(), dim=-1)


def lengthened(
    tokens: Int[Tensor, "M T"], real: Bool[Tensor, "M T"], *, padded: tuple[int, int]
) -> tuple[Int[Tensor, "M L"], Bool[Tensor, "M L"]]:
    """Texts made as long as `padded` says with its token, and all of that taken for real.

    Raises:
        LengthError: one is longer already.
    """
    length, token = padded
    longest = int(real.sum(dim=1).max()) if len(real) else 0
    if longest > length:
        raise LengthError(
            f"a text of {longest} tokens, but this model reads {length}", fix="shorten the text"
        )
    made = tokens.where(real, token)[:, :length]
    made = F.pad(made, (0, length - made.shape[1]), value=token)
    return made, torch.ones_like(made, dtype=torch.bool)


def last_of(h_MTD: Float[Tensor, "M T D"], real_MT: Bool[Tensor, "M T"]) -> Float[Tensor, "M D"]:
    """The feature of each text's last token."""
    last_M = real_MT.sum(dim=1).clamp(min=1) - 1
    return h_MTD[torch.arange(len(h_MTD), device=h_MTD.device), last_M]


def text_bias(real_MT: Bool[Tensor, "M T"], *, causal: bool, like: Tensor) -> Tensor:
    """Words see the real ones of their text, or the earlier of them: (M, 1, 1 or T, T)."""
    allowed = real_MT[:, None, None, :]
    if causal:
        size = real_MT.shape[1]
        allowed = allowed & torch.ones(size, size, dtype=torch.bool, device=like.device).tril()
    return layers.mask_bias(allowed, compute_type(like))


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Dual:
    """A dual encoder as a recipe says."""
    return Dual(
        vision=parts.vision_side(config.vision),
        pool=Pool(config.pool, width=config.vision.width, num_heads=config.vision.num_heads),
        project=nn.Linear(config.vision.width, config.space, bias=False),
        text=parts.text_side(config.text, vocabulary=vocabulary),
        text_project=nn.Linear(config.text.width, config.space, bias=False),
        picture_token=picture_token,
        causal=config.causal,
        **beginning(config.contrast),  # type: ignore[arg-type]
    )
