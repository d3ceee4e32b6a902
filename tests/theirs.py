"""Weights of other people's models under our names."""

import torch
from torch import nn


def randomised(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def renamed(model: nn.Module, names: dict[str, str], *, drop: tuple[str, ...] = ()) -> dict:
    """A state dict under our names: every "theirs" in a name becomes "ours"."""
    ours = {}
    for name, value in model.state_dict().items():
        if name.startswith(drop):
            continue
        for theirs, our in names.items():
            name = name.replace(theirs, our)
        ours[name] = value
    return ours


def loaded(module: nn.Module, weights: dict) -> nn.Module:
    module.load_state_dict(weights)
    return module.eval()
