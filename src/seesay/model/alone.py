"""Alone: pictures without words, for self-distillation; where the class token looks.

Shapes: N pictures, C H W channels and pixels, S tokens (class token and patches), V vision width, B
rows of pictures, K heads or prototypes, L bottleneck, h w the grid of patches.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from seesay.config import HeadConfig, ModelConfig
from seesay.errors import CapabilityError, RecipeError
from seesay.model import parts
from seesay.model.contract import Viewer
from seesay.model.dual import unit
from seesay.model.layers import Record
from seesay.model.rows import Context
from seesay.model.vision import Pool, VisionTransformer


class Prototypes(nn.Module):
    """DINO's projection head (arXiv:2104.14294, section 3.1 and appendix C).

    scores = unit(mlp(x)) · unit(prototypes): three layers, a bottleneck of unit length, and a
    weight-normed layer whose every vector stays of unit length.
    """

    def __init__(self, *, width_in: int, width: int, bottleneck: int, prototypes: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width_in, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, bottleneck),
        )
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck) / bottleneck**0.5)

    def forward(self, x: Float[Tensor, "N V"]) -> Float[Tensor, "N K"]:
        return unit(self.mlp(x)) @ F.normalize(self.prototypes, dim=-1).T


class Vision(Viewer):
    """A vision side that learns by itself (DINO, arXiv:2104.14294).

    scores = head(pool(vision(picture))); a picture's vector is unit(pool(vision(picture))).
    """

    can = ("embed_pictures", "distill")

    def __init__(
        self, *, vision: nn.Module, pool: nn.Module, head: nn.Module, picture_token: int
    ) -> None:
        super().__init__()
        self.vision, self.pool, self.head = vision, pool, head
        self.text, self.picture_token = None, picture_token

    def forward(
        self,
        pictures: UInt8[Tensor, "N C H W"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N K"]:
        """How much pictures, of any size that divides into patches, look like each prototype."""
        x_NSV = self.look(pictures, fused=fused, record=record)
        real = torch.ones(x_NSV.shape[:2], dtype=torch.bool, device=x_NSV.device)
        return self.head(self.pool(x_NSV, real))

    def embed_pictures(self, context: Context) -> Float[Tensor, "B E"]:
        """Pictures as vectors of unit length; several of a row are taken together."""
        features, real, each = context
        return unit(self.pool(features, real, each=each))


def class_attention(
    vision: nn.Module, pictures: UInt8[Tensor, "N C H W"]
) -> Float[Tensor, "N K h w"]:
    """Where the class token looks in the last block: of each head, shares of the grid (sum to 1).

    Raises:
        CapabilityError: the vision side has no class token, or no block for it to look in.
    """
    if not isinstance(vision, VisionTransformer) or vision.class_token is None or not vision.blocks:
        raise CapabilityError(
            "this vision side has no class token that looks at patches",
            fix="train one: [model.vision] kind = 'vit', class_token = true",
        )
    record: Record = {}
    vision(pictures, record=record)
    looks_NKS = record[f"vision.blocks.{len(vision.blocks) - 1}.attention"][:, :, 0, 1:]
    shares_NKS = looks_NKS / looks_NKS.sum(dim=-1, keepdim=True)
    # The patches lie as the pixels do: of a picture's own size, not only of the usual one.
    rows = round((shares_NKS.shape[-1] * pictures.shape[2] / pictures.shape[3]) ** 0.5)
    return rearrange(shares_NKS.float(), "N K (h w) -> N K h w", h=rows)


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Vision:
    """A vision side alone, as a recipe says."""
    del vocabulary
    seen = config.vision
    if config.pool == "class" and not seen.class_token:
        raise RecipeError(
            "pool is 'class', but the vision side has no class token",
            where="model.vision.class_token",
            fix="write class_token = true, or pool = 'mean'",
        )
    return Vision(
        vision=parts.vision_side(seen),
        pool=Pool(config.pool, width=seen.width, num_heads=seen.num_heads),
        head=_head(config.head, seen.width),
        picture_token=picture_token,
    )


def _head(config: HeadConfig, width: int) -> Prototypes:
    return Prototypes(
        width_in=width,
        width=config.width,
        bottleneck=config.bottleneck,
        prototypes=config.prototypes,
    )
