"""Scenes: pictures per second and where the time goes; `--balance` makes the table of weights.

python bench/scenes.py [--pictures 4000] [--resolution 64]
python bench/scenes.py --balance > table    # for src/seesay/scenes/balance.py
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from seesay.scenes import World, examples, matches
from seesay.scenes.asking import Asker, Question
from seesay.scenes.balance import WEIGHTS
from seesay.scenes.language import tongue
from seesay.scenes.questions import ask_many, chosen
from seesay.scenes.render import draw
from seesay.scenes.view import View

# What each number's share shall be, by the most a form can answer. Large numbers are let off
# lightly: forcing them would make the largest group of a picture the safe bet.
SHARES = {
    2: (0.37, 0.36, 0.27),
    3: (0.29, 0.29, 0.24, 0.18),
    4: (0.23, 0.24, 0.22, 0.18, 0.13),
    6: (0.0, 1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6),
}
ROUNDS = 14


def seconds(work: Callable[[int], object], pictures: int) -> float:
    """Seconds per picture, after a warm-up on other pictures."""
    for index in range(pictures, pictures + pictures // 2):
        work(index)
    start = time.perf_counter()
    for index in range(pictures):
        work(index)
    return (time.perf_counter() - start) / pictures


def speed(pictures: int, resolution: int) -> None:
    """Print microseconds per picture of each part, and pictures per second of the whole."""
    world = World()
    scenes = [world.scene(index) for index in range(pictures * 3 // 2)]
    parts = {
        "scene": lambda index: world.scene(index),
        "drawing": lambda index: draw(scenes[index], resolution),
        "caption + 6 questions, all": lambda index: examples(world, index, resolution=resolution),
        "caption only, all": lambda index: examples(
            world, index, questions=0, resolution=resolution
        ),
        "1 match, all": lambda index: matches(world, index, resolution=resolution),
    }
    for name, work in parts.items():
        per_picture = seconds(work, pictures)
        print(f"{name:28} {per_picture * 1e6:8.1f} us {1 / per_picture:10.0f} pictures/s")


def balance(pictures: int) -> None:
    """Print weights under which each form's numbers come out in `SHARES`."""
    world, words = World(seed=1), tongue("en")
    views = [View(world.scene(index)) for index in range(pictures)]
    names, sums = chosen({"count": 2.0, "same_as": 1.0, "logic": 2.0, "chained": 3.0})
    WEIGHTS.clear()
    for _ in range(ROUNDS):
        answers: dict[str, Counter[int]] = defaultdict(Counter)
        most: dict[str, int] = {}
        for index, view in enumerate(views):
            ask = Asker(view, world.rng(index, "text"), tongue=words)
            for question in ask_many(ask, 4, names=names, sums=sums):
                _tally(question, words.numbers, answers=answers, most=most)
        for form, counts in answers.items():
            _reweigh(form, counts, most[form])
    print("WEIGHTS: dict[str, tuple[float, ...]] = {")
    for form in sorted(WEIGHTS):
        print(f'    "{form}": ({", ".join(f"{weight:.2g}" for weight in WEIGHTS[form])}),')
    print("}")


def _tally(
    question: Question,
    numbers: tuple[str, ...],
    *,
    answers: dict[str, Counter[int]],
    most: dict[str, int],
) -> None:
    if question.options[-1] not in numbers:
        return
    form = question.form
    if question.kind == "chained":
        form = f"chain_count {form.split()[1]}"
    answers[form][numbers.index(question.answer)] += 1
    most[form] = numbers.index(question.options[-1])


def _reweigh(form: str, counts: Counter[int], most: int) -> None:
    total = sum(counts.values())
    old = WEIGHTS.get(form, (1.0,) * (most + 1))
    new = [
        weight * (share / max(counts[number] / total, 0.005)) ** 0.7
        for number, (weight, share) in enumerate(zip(old, SHARES[most], strict=True))
    ]
    WEIGHTS[form] = tuple(max(weight / max(new), 0.01) for weight in new)


def main() -> None:
    """Measure the speed or make the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--balance", action="store_true")
    arguments = parser.parse_args()
    if arguments.balance:
        balance(arguments.pictures)
    else:
        speed(arguments.pictures, arguments.resolution)


if __name__ == "__main__":
    main()
