"""Golden outputs: a saved input with the logits it gave, replayed on load, after export, on any backend."""

from typing import Any

import torch
from torch import Tensor

from seesay.errors import CheckpointError
from seesay.model.families import Prefix

# How far logits may move between machines and kernels, at fp32.
TOLERANCE = 2e-3
_WORDS = 8
_KEPT = 16


def _inputs(
    size: tuple[int, int], picture_tokens: int, picture_token: int, vocabulary: int
) -> dict[str, Tensor]:
    """A picture of waves and a few words, the same everywhere: integers only."""
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])[None, :]
    channels = [rows * 7 + columns * 3, rows * 5 + columns * 11, rows * 2 + columns * 13]
    pixels = (torch.stack(channels) % 256).to(torch.uint8)[None]
    words = [(17 * i + 9) % (vocabulary - 8) + 8 for i in range(_WORDS)]
    tokens = torch.tensor([[picture_token] * picture_tokens + words])
    documents = torch.tensor([[0] * picture_tokens + [1] * _WORDS])
    return {
        "tokens": tokens,
        "pictures": pixels,
        "positions": torch.arange(tokens.shape[1])[None],
        "documents": documents,
        "groups": torch.zeros_like(tokens),
    }


@torch.inference_mode()
def _outputs(model: Prefix, inputs: dict[str, Tensor]) -> Tensor:
    """The first logits at the last positions (`_WORDS`, `_KEPT`), fp32."""
    device = next(model.parameters()).device
    training = model.training
    logits = model.eval()(**{name: value.to(device) for name, value in inputs.items()})
    model.train(training)
    return logits[0, -_WORDS:, :_KEPT].float().cpu()


def record(model: Prefix, *, size: tuple[int, int], picture_tokens: int) -> dict[str, Any]:
    """What `golden.json` holds."""
    shape = {
        "size": list(size),
        "picture_tokens": picture_tokens,
        "picture_token": model.picture_token,
        "vocabulary": model.text.embedding.num_embeddings,
    }
    inputs = _inputs(size, picture_tokens, model.picture_token, shape["vocabulary"])
    return {**shape, "logits": _outputs(model, inputs).tolist()}


def replay(model: Prefix, golden: dict[str, Any], *, where: str) -> float:
    """The largest difference from the saved logits.

    Raises:
        CheckpointError: it is more than `TOLERANCE`.
    """
    try:
        inputs = _inputs(
            (int(golden["size"][0]), int(golden["size"][1])),
            int(golden["picture_tokens"]),
            int(golden["picture_token"]),
            int(golden["vocabulary"]),
        )
        saved = torch.tensor(golden["logits"])
        drift = float((_outputs(model, inputs) - saved).abs().max())
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"golden.json does not fit this model: {error}", where=where, fix="copy it again, whole"
        ) from None
    if not drift <= TOLERANCE:
        raise CheckpointError(
            f"the model gives logits {drift:.4f} away from those saved with it, more than {TOLERANCE}",
            where=where,
            fix="the weights or this installation differ from those it was saved with",
        )
    return drift
