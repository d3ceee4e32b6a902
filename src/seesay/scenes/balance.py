"""Balance: weights of the numbers each counting form may answer, so that no number is the safe bet.

Made by `python bench/scenes.py --balance`.
"""

WEIGHTS: dict[str, tuple[float, ...]] = {}
