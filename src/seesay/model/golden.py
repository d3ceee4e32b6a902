"""Golden: what a fixed input gave (logits, vectors), replayed on load, after export, anywhere."""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from seesay.errors import CheckpointError, SeesayError
from seesay.model.contract import Embedder, Model, Speaker, Viewer
from seesay.model.reader import Reader
from seesay.model.rows import Context

# How far logits may move between machines and kernels, at fp32.
TOLERANCE = 2e-3
MOST_PIXELS = 8192
MOST_SQUARES = 16
_MISFITS = (SeesayError, LookupError, TypeError, ValueError, ArithmeticError)
_WORDS = 8
_KEPT = 16


def _inputs(
    size: tuple[int, int],
    picture_tokens: int,
    picture_token: int,
    vocabulary: int,
    *,
    grid: tuple[int, int] | None = None,
    instructed: bool = False,
) -> dict[str, Any]:
    """A picture of waves and a few words, the same everywhere: integers only.

    grid: rows and columns of squares of `size` that the picture is cut into; None: it is whole.
    """
    down, across = grid or (1, 1)
    rows = torch.arange(size[0] * down)[:, None]
    columns = torch.arange(size[1] * across)[None, :]
    channels = [rows * 7 + columns * 3, rows * 5 + columns * 11, rows * 2 + columns * 13]
    pixels = (torch.stack(channels) % 256).to(torch.uint8)
    pixels = rearrange(pixels, "C (r h) (c w) -> (r c) C h w", r=down, c=across)
    picture_tokens *= down * across
    # Past the special tokens, wherever the vocabulary has room for more.
    first = min(8, vocabulary - 1)
    words = [(17 * i + 9) % (vocabulary - first) + first for i in range(_WORDS)]
    tokens = torch.tensor([[picture_token] * picture_tokens + words])
    documents = torch.tensor([[int(instructed)] * picture_tokens + [1] * _WORDS])
    return {
        "tokens": tokens,
        "pictures": pixels,
        "positions": torch.arange(tokens.shape[1])[None],
        "documents": documents,
        "groups": torch.zeros_like(tokens),
        **({"grids": (grid,)} if grid else {}),
    }


@torch.inference_mode()
def _outputs(model: Model, inputs: dict[str, Any]) -> Tensor:
    """The first logits at the last positions (`_WORDS`, `_KEPT`), fp32."""
    device = next(model.parameters()).device
    training = model.training
    tensors = {k: v.to(device) for k, v in inputs.items() if isinstance(v, Tensor)}
    outputs = _said(model.eval(), inputs | tensors)
    model.train(training)
    return outputs[-_WORDS:, :_KEPT].float().cpu()


def _said(model: Model, inputs: dict[str, Any]) -> Tensor:
    """What a model can say of the inputs, a row each: logits of words, a match, or vectors."""
    if isinstance(model, Speaker) and "caption" in model.can:
        return model(**inputs)[0]
    words = inputs["tokens"][:, -_WORDS:]
    real, made = torch.ones_like(words, dtype=torch.bool), []
    patches, row = model.look(inputs["pictures"]), torch.zeros_like(words[0, :1])
    if isinstance(model, Reader):
        context = Context.of(model.connect(patches), row, rows=1)
        made.append(model.fill(words, real, context, select=real))
    if isinstance(model, Viewer):
        made.append(model.embed_pictures(Context.of(patches, row, rows=1)))
    if isinstance(model, Embedder):
        made.append(model.embed_texts(words, real))
    width = min(each.shape[1] for each in made)
    return torch.cat([each[:, :width] for each in made])


def record(
    model: Model,
    *,
    size: tuple[int, int],
    picture_tokens: int,
    grid: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """What `golden.json` holds; `grid` of a model that looks at pictures in squares of `size`."""
    shape = {
        "size": list(size),
        "picture_tokens": picture_tokens,
        "picture_token": model.picture_token,
        "vocabulary": _vocabulary(model),
    }
    if grid is not None:
        shape["grid"] = list(grid)
    inputs = _inputs(
        size,
        picture_tokens,
        model.picture_token,
        shape["vocabulary"],
        grid=grid,
        instructed=model.instructed,
    )
    return {**shape, "logits": _outputs(model, inputs).tolist()}


def _vocabulary(model: Model) -> int:
    """How many words it knows; 1 of one that knows none, for the inputs' sake."""
    return 1 if model.text is None else model.text.embedding.num_embeddings


def replay(model: Model, golden: dict[str, Any], *, where: str) -> float:
    """The largest difference from the saved logits.

    Raises:
        CheckpointError: it is more than `TOLERANCE`.
    """
    try:
        drift = _drift(model, golden)
    except (*_MISFITS, RuntimeError) as error:
        raise CheckpointError(
            f"golden.json does not fit this model: {error}", where=where, fix="copy it again, whole"
        ) from None
    if not drift <= TOLERANCE:
        raise CheckpointError(
            f"the logits are {drift:.4f} away from the saved ones, more than {TOLERANCE}",
            where=where,
            fix="the weights or this installation differ from those it was saved with",
        )
    return drift


def _drift(model: Model, golden: dict[str, Any]) -> float:
    height, width = (int(side) for side in golden["size"])
    picture_tokens, vocabulary = int(golden["picture_tokens"]), int(golden["vocabulary"])
    own = _vocabulary(model)
    if vocabulary != own:
        raise ValueError(f"its vocabulary is {vocabulary}, the model's {own}")
    # The file may come from anywhere: what it asks for must not exhaust the memory.
    if not (0 < height <= MOST_PIXELS and 0 < width <= MOST_PIXELS):
        raise ValueError(f"its picture is {height}×{width}, at most {MOST_PIXELS} a side are read")
    if not 0 < picture_tokens <= height * width:
        raise ValueError(f"{picture_tokens} tokens for a picture of {height}×{width}")
    grid = tuple(int(side) for side in golden["grid"]) if "grid" in golden else None
    if grid is not None and not (len(grid) == 2 and all(0 < side <= MOST_SQUARES for side in grid)):
        raise ValueError(f"its grid is {grid}, at most {MOST_SQUARES} squares a side are read")
    inputs = _inputs(
        (height, width),
        picture_tokens,
        int(golden["picture_token"]),
        vocabulary,
        grid=grid,
        instructed=model.instructed,
    )
    saved, given = torch.tensor(golden["logits"]), _outputs(model, inputs)
    if saved.shape != given.shape:
        raise ValueError(f"its logits are {tuple(saved.shape)}, the model's {tuple(given.shape)}")
    return float((given - saved).abs().max())
