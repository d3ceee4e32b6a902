"""What a filter and a captioner make of noisy captions of drawn pictures (BLIP's CapFilt).

    python bench/bootstrap.py runs/blip --pictures 500 --noise 0.5

Half of the pictures are given another one's caption; the run weeds them and says new ones. Whether
a caption that is left is right is known, for the pictures are drawn.
"""

import argparse
import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from seesay import bootstrap, predict, scenes
from seesay.records import Example, Turn
from seesay.tasks import caption


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run that says captions and judges them")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--noise", type=float, default=0.5, help="share given another's caption")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    world = scenes.World(seed=asked.seed, split="dev")
    clean = [scenes.examples(world, i, questions=0)[0] for i in range(asked.pictures)]
    noisy = swapped(clean, share=asked.noise, seed=asked.seed)
    drawing = predict.Decoding(temperature=1.0, top_p=0.9, seed=asked.seed)
    made = list(
        bootstrap.bootstrap(
            noisy,
            filter=predict.load(asked.run, precision="auto"),
            captioner=predict.load(asked.run, decoding=drawing),
        )
    )
    truth = {id(example.images[0]): example for example in clean}
    print(json.dumps(summary(made, truth), indent=2))
    with TemporaryDirectory() as folder:  # That they can be written is a part of it.
        bootstrap.write(iter(made), Path(folder) / "out")


def swapped(clean: list[Example], *, share: float, seed: int) -> list[Example]:
    """The examples, a share of which has the next one's caption."""
    random, noisy = Random(seed), []
    for place, example in enumerate(clean):
        other = clean[(place + 1) % len(clean)] if random.random() < share else example
        turns = (*example.turns[:-1], Turn("assistant", other.answer))
        noisy.append(Example(example.images, turns, example.origin, task="caption"))
    return noisy


def summary(made: list[bootstrap.Pair], truth: dict[int, Example]) -> dict[str, dict[str, float]]:
    """Of captions given and made: how many, how many are right, before and after the filter."""
    found = {}
    for kind, is_made in (("given", False), ("made", True)):
        own = [pair for pair in made if pair.made == is_made]
        examples = [truth[id(pair.picture)] for pair in own]
        right = caption.score([pair.caption for pair in own], examples)[caption.SCORE].rows[:, 0]
        kept = [pair.match >= 0.5 for pair in own]
        left = [is_right for is_right, is_kept in zip(right, kept, strict=True) if is_kept]
        found[kind] = {
            "captions": len(own),
            "right": float(right.mean()),
            "kept": sum(kept),
            "right_of_kept": float(sum(left) / max(1, len(left))),
            "kept_of_right": float(sum(left) / max(1, right.sum())),
        }
    return found


if __name__ == "__main__":
    main()
