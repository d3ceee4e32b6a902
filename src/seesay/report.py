"""Report: an evaluation, a training log and pictures -> one HTML file that needs nothing else.

The template beside this file, `report.html.j2`, says how it looks; here is what it shows.
"""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay import writing
from seesay.data import images
from seesay.evaluate import Evaluation, Record, Score, merge
from seesay.metrics.evaluation import Scores, is_rank, is_share, shown
from seesay.records import Picture

if TYPE_CHECKING:
    from jinja2 import Template

# A thumbnail's longest side in pixels; a picture below the second is enlarged without smoothing.
MAX_SIDE, SMALL_SIDE = 256, 128
# Points of a curve: more than a screen shows would only weigh.
MAX_POINTS = 400

NAMES = {
    "answers": ("Answers", "answers exactly right"),
    "captions": ("Captions", "captions wholly right"),
    "matching": ("Matching", "right text chosen"),
    "classes": ("Classes", "right class"),
    "categories": ("Categories", "right category of the policy"),
    "flag_precision": ("Flags, precision", "of the pictures flagged, those that should be"),
    "flag_recall": ("Flags, recall", "of the pictures that should be flagged, those that are"),
    "flag_f1": ("Flags, F1", "harmonic mean of precision and recall"),
    "flag_ap": ("Flags, average precision", "precision over all thresholds"),
    "text_median_rank": ("Text retrieval, median rank", "place of a picture's first own caption"),
    "image_median_rank": ("Image retrieval, median rank", "place of a caption's picture"),
    "text_r10": ("Text retrieval, R@10", "a caption of the picture's among the nearest 10"),
    "text_r1": ("Text retrieval, R@1", "a caption of the picture's is the nearest"),
    "text_r5": ("Text retrieval, R@5", "a caption of the picture's among the nearest 5"),
    "image_r10": ("Image retrieval, R@10", "the caption's picture among the nearest 10"),
    "image_r1": ("Image retrieval, R@1", "the caption's picture is the nearest"),
    "image_r5": ("Image retrieval, R@5", "the caption's picture among the nearest 5"),
    "boxes_regressed_iou": ("Boxes by regression, IoU", "mean overlap with the true box"),
    "boxes_regressed": ("Boxes by regression", "those that overlap the true one by half or more"),
    "boxes_iou": ("Boxes, IoU", "mean overlap of the box said and the true one"),
    "boxes": ("Boxes", "boxes that overlap the true one by half or more"),
    "replies_rouge_l": ("Replies, ROUGE-L", "longest run of words shared with the true reply"),
    "replies": ("Replies", "last replies of conversations exactly right"),
    "cider": ("CIDEr-D", "likeness to the reference captions, from 0 to 10"),
    "bleu4": ("BLEU-4", "runs of up to four words that are in a reference"),
    "rouge_l": ("ROUGE-L", "longest run of words shared with a reference"),
}
CONTROLS = {
    "blank": ("blank", "every picture replaced by plain grey"),
    "shuffled": ("shuffled", "every picture replaced by another example's"),
    "no_shots": ("no shots", "the same without examples before it"),
    "shuffled_shots": ("shots shuffled", "the examples before it have each other's answers"),
    "one_frame": ("one frame", "one frame of each video, by lot, in place of all"),
    "shuffled_frames": ("frames shuffled", "the frames of each video in another order"),
    "question": ("question alone", "the usual answer to the same question on other pictures"),
    "chance": ("chance", "drawing one of the options by lot"),
}
CURVES = {"loss": "Loss", "learning_rate": "Learning rate", "pictures_per_second": "Pictures / s"}


def write(
    path: str | Path,
    *,
    title: str,
    evaluation: Evaluation | Sequence[Evaluation],
    history: Sequence[Mapping[str, Any]] = (),
    recipe: str = "",
    facts: Mapping[str, Any] | None = None,
    num_pictures: int = 12,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Write a report and return its path; a file of that name is replaced whole or not at all.

    Args:
        evaluation: one, or several with names of their own, such as seen and held-out data.
        history: rows of the training log: `step`, `seconds`, `loss`, `learning_rate`,
            `pictures_per_second` and any other numbers; each may be missing.
        recipe: the recipe's text.
        facts: what to say of the model at the top, by name: parameters, data, time.
        num_pictures: how many right and how many wrong examples of each score to show.
        environment: what it ran on, by name; found out where not given.
    """
    whole = evaluation if isinstance(evaluation, Evaluation) else merge(evaluation)
    text = template("report.html.j2").render(
        title=title,
        facts={name: str(fact) for name, fact in (facts or {}).items()},
        scores=[_bar(whole, name) for name in whole.scores],
        legend=_legend(whole),
        slices=_slices(whole),
        skipped=whole.skipped,
        notes=whole.notes,
        curves=_curves(history),
        duration=_duration(history),
        gallery=_gallery(whole.records, limit=num_pictures),
        recipe=recipe.strip(),
        command=whole.command,
        environment=surroundings() if environment is None else environment,
    )
    return writing.replace(Path(path), text)


def template(name: str) -> "Template":
    """A template beside this file: strict about names, and it trusts no text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("seesay", package_path="")
    pages = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template(name)


def surroundings() -> dict[str, str]:
    """What this runs on, by name: versions, processor, accelerators."""
    import platform
    from importlib.metadata import version

    from seesay.machine import describe

    machine = describe()
    versions = {name: version(name) for name in ("seesay", "torch", "numpy")}
    devices = ", ".join(device.name for device in machine.accelerators) or "none"
    system = {"system": machine.system, "processor": f"{machine.cpu}, {machine.cores} cores"}
    return {**versions, "python": platform.python_version(), **system, "accelerators": devices}


# Scores.


@dataclass(frozen=True, slots=True)
class Mark:
    """A control on a score's bar; `at` in per cent of its width."""

    kind: str
    label: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A score as a bar; `at`, `low` and `high` in per cent of its width."""

    label: str
    meaning: str
    text: str
    span: str
    n: str
    at: float
    low: float
    high: float
    ends: tuple[str, str]
    marks: tuple[Mark, ...]
    verdict: str
    is_clear: bool


def _bar(evaluation: Evaluation, name: str, *, label: str = "") -> Bar:
    """A score of all examples or of a slice, with its controls."""
    score = evaluation.slices[label][name] if label else evaluation.scores[name]
    found = evaluation.controls_of(name, label=label)
    top = max((s.high for s in (score, *found.values())), default=1.0)
    full = 1.0 if is_share(name) else float(max(1, math.ceil(top)))
    verdict, is_clear = _verdict(name, score, found)
    heading, meaning = named(name)
    return Bar(
        label=label.partition("=")[2] if label else heading,
        meaning=meaning,
        text=shown(name, score.value),
        span=f"{shown(name, score.low)} to {shown(name, score.high)}",
        n=f"{score.n:,}",
        at=percent(score.value / full),
        low=percent(score.low / full),
        high=percent(score.high / full),
        ends=("0", f"{full:.0f}") if not is_share(name) else ("0 %", "100 %"),
        marks=tuple(_mark(name, kind, each, full) for kind, each in found.items()),
        verdict=verdict,
        is_clear=is_clear,
    )


def _mark(name: str, kind: str, score: Score, full: float) -> Mark:
    label = CONTROLS[kind][0] if kind in CONTROLS else kind
    return Mark(kind, label, shown(name, score.value), percent(score.value / full))


def percent(share: float) -> float:
    """A share as per cent of a bar or plot, within it."""
    return round(100 * min(1.0, max(0.0, share)), 2)


def named(name: str) -> tuple[str, str]:
    """`answers_held_out` -> "Answers, held out" and what it counts."""
    for known, (label, meaning) in NAMES.items():
        if name == known or name.startswith(f"{known}_"):
            rest = name.removeprefix(known).replace("_", " ").strip()
            return (f"{label}, {rest}" if rest else label), meaning
    return name.replace("_", " ").capitalize(), ""


def _verdict(name: str, score: Score, controls: Scores) -> tuple[str, bool]:
    """How far above the best that is got without looking, and whether the intervals part."""
    if not controls:
        return "no control was run", False
    better, sign = ("below", -1) if is_rank(name) else ("above", 1)
    kind, best = max(controls.items(), key=lambda item: sign * item[1].value)
    label = CONTROLS[kind][0] if kind in CONTROLS else kind
    gap = score.value - best.value
    size = f"{100 * abs(gap):.1f} points" if is_share(name) else f"{abs(gap):.2f}"
    if score.low > best.high if sign > 0 else score.high < best.low:
        return f"{size} {better} its best control, {label}", True
    side = "above" if gap >= 0 else "below"
    return f"not clearly {better} its best control, {label}: {size} {side}", False


def _legend(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    kinds = {kind for name in evaluation.scores for kind in evaluation.controls_of(name)}
    return [(kind, *CONTROLS[kind]) for kind in CONTROLS if kind in kinds]


def _slices(evaluation: Evaluation) -> list[tuple[str, str, list[Bar]]]:
    """(label, score, bars of its values, best first) for each label and each share."""
    found: dict[tuple[str, str], list[Bar]] = {}
    for label, scores in evaluation.slices.items():
        for name in filter(is_share, scores):
            key = label.partition("=")[0], named(name)[0]
            found.setdefault(key, []).append(_bar(evaluation, name, label=label))
    return [
        (label.replace("_", " "), name, sorted(bars, key=lambda bar: -bar.at))
        for (label, name), bars in found.items()
        if len(bars) > 1
    ]


# Training.


@dataclass(frozen=True, slots=True)
class Curve:
    """A line over steps; points and ticks in per cent of the plot, y from the top."""

    label: str
    last: str
    faint: str
    line: str
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]


def _curves(history: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """A curve for each number in the log, the loss first."""
    keys = dict.fromkeys([*CURVES, *(key for row in history for key in row)])
    keys = [key for key in keys if key not in ("step", "seconds", "time")]
    points = {key: _points(history, key) for key in keys}
    return [_curve(key, points[key]) for key in keys if len(points[key]) > 1]


def _points(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    rows = enumerate(history)
    pairs = [(_number(row.get("step", i)), _number(row.get(key))) for i, row in rows]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _number(value: Any) -> float | None:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_real and math.isfinite(value) else None


def _curve(key: str, points: Sequence[tuple[float, float]]) -> Curve:
    smooth = _smooth(points) if key == "loss" else list(points)
    faint, line = _thin(points), _thin(smooth)
    left, right = points[0][0], max(points[-1][0], points[0][0] + 1)
    values = [y for _, y in faint]
    levels = ticks(min(0.0, *values), max(values) if max(values) > 0 else 1.0)
    bottom, top = levels[0], max(levels[-1], *values)

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - left) / (right - left), (y - bottom) / (top - bottom)
        return round(100 * across, 2), round(100 - 100 * up, 2)

    def path(pairs: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{x},{y}" for x, y in (place(*pair) for pair in pairs))

    across = [x for x in ticks(left, right, count=5) if left <= x <= right]
    return Curve(
        label=CURVES.get(key, key.replace("_", " ").capitalize()),
        last=short(smooth[-1][1]),
        faint=path(faint) if key == "loss" else "",
        line=path(line),
        across=tuple((place(x, bottom)[0], short(x)) for x in across),
        up=tuple((place(left, y)[1], short(y)) for y in levels),
    )


def _smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The mean of each point and its neighbours."""
    reach = len(points) // 40
    found = []
    for i, (x, _) in enumerate(points):
        values = [y for _, y in points[max(0, i - reach) : i + reach + 1]]
        found.append((x, sum(values) / len(values)))
    return found


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MAX_POINTS`, each the mean of its neighbours; first and last stay."""
    size = math.ceil(len(points) / MAX_POINTS)
    if size == 1:
        return list(points)
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    means = [(sum(x for x, _ in p) / len(p), sum(y for _, y in p) / len(p)) for p in parts]
    return [points[0], *means[1:-1], points[-1]]


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def short(value: float) -> str:
    """A number in few characters: 12,000; 0.35; 4e-05."""
    if value and abs(value) < 0.001:
        return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-")
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _duration(history: Sequence[Mapping[str, Any]]) -> str:
    logged = [_number(row.get("seconds")) for row in history]
    seconds = [value for value in logged if value is not None]
    if not seconds:
        return ""
    minutes, rest = divmod(round(seconds[-1]), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


# Pictures.


@dataclass(frozen=True, slots=True)
class Card:
    """One example in the gallery."""

    pictures: tuple[tuple[str, bool], ...]  # data URI, and whether it is small
    question: str
    reasoning: str
    answer: str
    truth: str
    right: bool
    probability: str
    percent: float
    origin: str


def _gallery(records: Sequence[Record], *, limit: int) -> list[tuple[str, list[Card], list[Card]]]:
    """(score, right examples, wrong examples)."""
    found = []
    for name in dict.fromkeys(record.score for record in records):
        own = [record for record in records if record.score == name]
        sides = ([r for r in own if r.right is right][:limit] for right in (True, False))
        right, wrong = ([_card(record) for record in side] for side in sides)
        found.append((named(name)[0], right, wrong))
    return found


def _card(record: Record) -> Card:
    probability, chance = "", 0.0
    if (total := record.log_probability) is not None:
        chance = math.exp(min(0.0, total))
        probability = f"{chance:.2f} (log {round(total, 2) or 0.0:.2f})"
    return Card(
        pictures=tuple(_data_uri(p, where=record.origin) for p in record.images),
        question=record.question,
        reasoning=record.reasoning,
        answer=record.answer,
        truth=record.truth,
        right=record.right,
        probability=probability,
        percent=percent(chance),
        # The folder is the writer's business, not the reader's.
        origin=record.origin.replace("\\", "/").rsplit("/", 1)[-1],
    )


def _data_uri(picture: Picture, *, where: str) -> tuple[str, bool]:
    image = images.load(picture, where=where)
    small = max(image.size) <= SMALL_SIDE
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    encoded = io.BytesIO()
    image.save(encoded, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}", small
