"""What the class token's attention finds: masks of 60 % of it against the objects of drawn scenes.

python bench/dino_objects.py runs/dino [--pictures 400] [--objects 1 3]

Rows: the model's heads together and its best head (chosen on other pictures); beside them, the
best head of the same model with random weights, the best head's attention moved to cells drawn by
lot, and the whole picture as a mask.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from seesay import predict
from seesay.metrics import masks
from seesay.metrics.intervals import mean, score
from seesay.model import families
from seesay.model.alone import class_attention
from seesay.model.contract import Model
from seesay.scenes import Scene, World, render

SIDE = 64
BATCH = 100


def looks(model: Model, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Attention of every head on each picture: (N, K, h, w)."""
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        parts = [class_attention(model.vision, some) for some in pixels.split(BATCH)]
    return torch.cat(parts).numpy()


def measured(shares: np.ndarray, truths: Sequence[np.ndarray]) -> tuple[list[float], list[float]]:
    """IoU and pointing, picture by picture, of one map each (N, h, w)."""
    pairs = list(zip(shares, truths, strict=True))
    covers = [masks.overlap(masks.enlarged(masks.kept(s), t.shape), t) for s, t in pairs]
    return covers, [float(masks.points(s, t)) for s, t in pairs]


def best(shares: np.ndarray, truths: Sequence[np.ndarray]) -> int:
    """The head with the highest IoU."""
    return int(np.argmax([np.mean(measured(one, truths)[0]) for one in shares.swapaxes(0, 1)]))


def fresh(predictor: predict.SeesayPredictor, run: str) -> Model:
    """The same model with random weights; its batch norms have seen some pictures."""
    from seesay import config
    from seesay.model import checkpoint

    stored = checkpoint.open_config(checkpoint.find(run))
    recipe = config.recipe(stored["recipe"])
    torch.manual_seed(recipe.train.seed + 1)
    made = families.build(recipe.model, vocabulary=len(predictor.text), picture_token=0).train()
    with torch.no_grad():
        for start in range(0, 1000, BATCH):
            some = [drawn(World(split="train").scene(start + i)) for i in range(BATCH)]
            made.look(torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2))
    return made.eval()


def drawn(scene: Scene) -> np.ndarray:
    """Its picture."""
    return render.draw(scene, SIDE)


def show(name: str, found: tuple[list[float], list[float]]) -> None:
    """A line of the table."""
    cells = []
    for what, values in zip(("IoU", "pointing"), found, strict=True):
        groups = [str(i) for i in range(len(values))]
        made = score(mean(values), groups, seed=0, name=what)
        cells.append(f"{what} {made.value:6.1%} ({made.low:.1%} to {made.high:.1%})")
    print(f"{name:28} {'   '.join(cells)}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--objects", type=int, nargs=2, default=(1, 3))
    arguments = parser.parse_args()
    predictor = predict.load(arguments.run, device="cpu")
    sets = {}
    for split in ("dev", "test"):
        world = World(split=split, objects=tuple(arguments.objects))
        scenes = [world.scene(i) for i in range(arguments.pictures)]
        truths = [render.masks(scene, SIDE).any(axis=0) for scene in scenes]
        sets[split] = [drawn(scene) for scene in scenes], truths
    truths = sets["test"][1]
    print(f"{len(truths)} scenes of {arguments.objects[0]} to {arguments.objects[1]} objects")
    models = {"model": predictor.model, "random weights": fresh(predictor, arguments.run)}
    for name, model in models.items():
        head = best(looks(model, sets["dev"][0]), sets["dev"][1])
        shares = looks(model, sets["test"][0])
        own = shares[:, head]
        show(f"{name}, heads together", measured(shares.mean(axis=1), truths))
        show(f"{name}, head {head}", measured(own, truths))
        if name == "model":
            moved = np.random.default_rng(0).permuted(own.reshape(len(own), -1), axis=1)
            by_lot = measured(moved.reshape(own.shape), truths)
    show("attention by lot", by_lot)
    whole = [masks.overlap(np.ones_like(truth), truth) for truth in truths]
    show("the whole picture", (whole, [float(truth.mean()) for truth in truths]))


if __name__ == "__main__":
    main()
