"""Balance: weights of the numbers each counting form may answer, so that no number is the safe bet.

Made by `python bench/scenes.py --balance`.
"""

WEIGHTS: dict[str, tuple[float, ...]] = {
    "chain_count colour": (0.28, 0.46, 1),
    "chain_count shape": (0.18, 0.39, 1),
    "chain_count size": (0.2, 1, 0.88),
    "chain_count texture": (0.25, 0.65, 1),
    "chain_count thing": (0.18, 0.6, 0.37, 0.8, 1),
    "count 0": (0.01, 0.14, 0.67, 0.99, 0.98, 1, 0.98),
    "count 1": (0.019, 0.073, 0.47, 1),
    "count 10": (0.076, 0.16, 1),
    "count 2": (0.019, 0.078, 0.57, 1),
    "count 3": (0.094, 0.12, 1),
    "count 4": (0.056, 0.16, 0.6, 0.8, 1),
    "count 5": (0.11, 0.19, 1),
    "count 6": (0.1, 0.18, 1),
    "count 8": (0.023, 0.093, 0.45, 0.94, 1),
    "count 9": (0.15, 0.15, 1),
    "or_count 00": (1, 0.077, 0.36, 0.55, 0.67),
    "or_count 01": (1, 0.05, 0.26, 0.37, 0.47),
    "or_count 03": (1, 0.028, 0.077, 0.16, 0.11),
    "or_count 10": (1, 0.029, 0.16, 0.23, 0.25),
    "or_count 11": (1, 0.081, 0.23, 0.37, 0.52),
    "or_count 31": (1, 0.011, 0.064, 0.12, 0.073),
    "same_count 0": (0.16, 0.5, 0.64, 1),
    "same_count 1": (0.27, 0.59, 0.57, 1),
    "same_count 2": (1, 0.5, 0.43, 0.55),
    "same_count 3": (0.55, 0.66, 0.62, 1),
}
