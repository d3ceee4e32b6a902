"""Describe: a recipe's model as a tree of its parts, and what it costs to train and to ask."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.text import Text
from rich.tree import Tree
from torch import nn

from seesay.data.fit import Fit
from seesay.train import setup
from seesay.train.estimate import Arithmetic, Estimate, Memory, Serving, Speed, size
from seesay.train.rehearsal import Look

# Below this share of the operations a part is said to do none of its own.
LITTLE = 0.005
# (height, width) of pictures whose cost is shown: a square, a camera's, screens, a page of paper.
USUAL = ((336, 336), (480, 640), (1080, 1920), (1920, 1080), (2339, 1654))


@dataclass(frozen=True, slots=True)
class Part:
    """A module, or `times` equal ones that follow each other.

    shape: of what it gives for one example; None where that is no tensor. parameters: its own and
    of all within it, of which `trained` are trained. share: of the operations on one example, those
    of its parts included. Of several equal ones all count, and the shape is the first one's.
    """

    name: str
    kind: str
    times: int
    shape: tuple[int, ...] | None
    own: int
    parameters: int
    trained: int
    share: float
    parts: tuple["Part", ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """What becomes of a picture of one size (height, width): the canvas it is brought to, rows and
    columns that this is cut into, tiles in all, and picture tokens.
    """

    size: tuple[int, int]
    canvas: tuple[int, int]
    grid: tuple[int, int]
    tiles: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Description:
    """What a recipe makes.

    undecided: keys that the data decide: of the vocabulary the most is taken, of the size of
    pictures (height, width) the default. pictures: what some of usual sizes cost.
    """

    recipe: str
    family: str
    device: str
    precision: str
    vocabulary: int
    picture: tuple[int, int]
    pictures: tuple[Picture, ...]
    undecided: tuple[str, ...]
    batch: int
    parameters: int
    trained: int
    arithmetic: Arithmetic
    memory: Memory
    serving: Serving
    speed: Speed
    model: Part

    def as_dict(self) -> dict[str, Any]:
        """For JSON: no empty lists of parts."""

        def plain(part: Part) -> dict[str, Any]:
            held = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
            del held["parts"]
            return held | ({"parts": [plain(p) for p in part.parts]} if part.parts else {})

        held = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return held | {"model": plain(self.model)}

    def render(self, console: Console, *, depth: int) -> None:
        """The tree, down to a depth, and the totals under it."""
        tree, totals = _tree(self.model, depth=depth), _totals(self)
        console.print(Group(tree, Text(), totals, Text(), _costs(self.pictures)))


def describe(
    made: Estimate, *, name: str, sized: bool = True, share: float | None = None
) -> Description:
    """What a recipe makes, from its estimate.

    Args:
        sized: whether the recipe gives the pictures' size, or leaves it to the data.
        share: of the matrix product's rate, where it was measured.
    """
    recipe, rehearsal = made.recipe, made.rehearsal
    model = rehearsal.model
    parameters = list(model.parameters())
    left = {
        "data.vocabulary": not rehearsal.vocabulary_is_known,
        "model.vision.image_size": not sized,
    }
    return Description(
        recipe=name,
        family=recipe.model.family,
        device=str(made.device),
        precision=str(made.dtype).removeprefix("torch."),
        vocabulary=rehearsal.vocabulary,
        picture=recipe.model.vision.size,
        pictures=pictures(setup.fit(recipe, model)),
        undecided=tuple(key for key, is_left in left.items() if is_left),
        batch=recipe.train.batch,
        parameters=sum(p.numel() for p in parameters),
        trained=sum(p.numel() for p in parameters if p.requires_grad),
        arithmetic=made.arithmetic,
        memory=made.memory,
        serving=made.serving,
        speed=made.speed(share=share),
        model=parts(model, made.look),
    )


def pictures(fit: Fit) -> tuple[Picture, ...]:
    """What pictures of usual sizes cost."""
    plans = [fit.plan(size) for size in USUAL]
    return tuple(Picture(p.size, p.canvas, p.grid, p.num_tiles, p.tokens) for p in plans)


def parts(model: nn.Module, look: Look) -> Part:
    """A model's parts, equal neighbours as one; what has no parameters and no operations is not."""
    total, counted = max(1, look.flops.get("", 0)), set()

    def operations(name: str, module: nn.Module) -> int:
        if name in look.flops:
            return look.flops[name]
        # What is never called itself, such as a list of blocks.
        inside = module.named_children()
        return sum(operations(f"{name}.{child}".lstrip("."), part) for child, part in inside)

    def part(name: str, path: str, module: nn.Module) -> Part:
        own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(id(p) for p in own)  # What two parts share is the first one's.
        below = [
            part(child, f"{path}.{child}".lstrip("."), inside)
            for child, inside in module.named_children()
        ]
        held = sum(p.numel() for p in own)
        trained = sum(p.numel() for p in own if p.requires_grad)
        return Part(
            name=name,
            kind=type(module).__name__,
            times=1,
            shape=look.shapes.get(path),
            own=held,
            parameters=held + sum(p.parameters for p in below),
            trained=trained + sum(p.trained for p in below),
            share=operations(path, module) / total,
            parts=_together([p for p in below if p.parameters or p.share]),
        )

    return part("", "", model)


def _together(several: list[Part]) -> tuple[Part, ...]:
    """Equal neighbours as one, named from the first to the last."""
    groups: list[list[Part]] = []
    for part in several:
        if groups and _likeness(groups[-1][-1]) == _likeness(part):
            groups[-1].append(part)
        else:
            groups.append([part])
    return tuple(_one(group) for group in groups)


def _likeness(part: Part) -> tuple[Any, ...]:
    """What equal parts have in common: not their operations, for the last block looks at less."""
    inside = tuple((p.name, _likeness(p)) for p in part.parts)
    return (part.kind, part.times, part.own, part.parameters, part.trained, inside)


def _one(group: list[Part]) -> Part:
    first, last = group[0], group[-1]
    if len(group) == 1:
        return first
    return dataclasses.replace(
        first,
        name=f"{first.name}–{last.name}",
        times=len(group),
        own=sum(p.own for p in group),
        parameters=sum(p.parameters for p in group),
        trained=sum(p.trained for p in group),
        share=sum(p.share for p in group),
        # Each within is shown once, as in one of them.
        parts=tuple(_sum([p.parts[i] for p in group]) for i in range(len(first.parts))),
    )


def _sum(same: list[Part]) -> Part:
    """The parts of one name within equal ones."""
    inside = range(len(same[0].parts))
    return dataclasses.replace(
        same[0],
        own=sum(p.own for p in same),
        parameters=sum(p.parameters for p in same),
        trained=sum(p.trained for p in same),
        share=sum(p.share for p in same),
        parts=tuple(_sum([p.parts[i] for p in same]) for i in inside),
    )


# How it looks.

_GUIDE = 4  # columns a level of the tree takes


def _tree(model: Part, *, depth: int) -> Tree:
    rows: list[tuple[Part, int]] = []

    def gather(part: Part, level: int) -> None:
        rows.append((part, level))
        for inside in part.parts if level < depth else ():
            gather(inside, level + 1)

    gather(model, 0)
    widest = max(level * _GUIDE + len(_called(part)) for part, level in rows)
    cells = [max(len(cell) for cell in column) for column in
             zip(_HEAD, *(_cells(part) for part, _ in rows), strict=True)]  # fmt: skip

    def line(name: str, values: tuple[str, ...], level: int) -> Text:
        columns = (f"  {value:>{wide}}" for value, wide in zip(values, cells, strict=True))
        return Text(f"{name:<{widest - level * _GUIDE}}" + "".join(columns), no_wrap=True)

    def grow(part: Part, level: int, under: Tree) -> None:
        for inside in part.parts if level < depth else ():
            branch = under.add(line(_called(inside), _cells(inside), level + 1))
            grow(inside, level + 1, branch)

    tree = Tree(Group(line("", _HEAD, 0), line(_called(model), _cells(model), 0)))
    grow(model, 0, tree)
    return tree


_HEAD = ("one example", "parameters", "trained", "FLOPs")


def _called(part: Part) -> str:
    times = f" ×{part.times}" if part.times > 1 else ""
    return f"{part.name}{times}  {part.kind}".strip()


def _cells(part: Part) -> tuple[str, ...]:
    trained = "all" if part.trained == part.parameters else f"{part.trained:,}"
    own = part.share - sum(p.share for p in part.parts)
    beside = f" (own {own:.0%})" if part.parts and own > LITTLE else ""
    return (
        "×".join(map(str, part.shape)) if part.shape else "",
        f"{part.parameters:,}",
        trained if part.parameters else "",
        f"{part.share:.1%}{beside}",
    )


def _totals(made: Description) -> Text:
    a, m, s, speed = made.arithmetic, made.memory, made.serving, made.speed
    frozen = made.parameters - made.trained
    height, width = made.picture
    rows: dict[str, str] = {
        "model": f"{made.family}, pictures of {width}×{height}, vocabulary of {made.vocabulary:,}, "
        f"{made.precision} on {made.device}",
        "parameters": f"{made.parameters:,}: {made.trained:,} trained, {frozen:,} frozen",
        "a training step": f"{operations(a.step)} ({made.batch} rows a batch)",
        "an answer": f"{operations(a.answer)}: {operations(a.picture)} a picture, "
        f"{operations(a.position)} a text position",
        "memory to train": f"{size(m.peak)}: program {size(m.program)}, weights {size(m.weights)}, "
        f"gradients {size(m.gradients)}, optimizer {size(m.optimizer)}, "
        f"activations {size(m.activations)}",
        "memory to serve": f"{size(s.weights + s.cache)}: weights {size(s.weights)}, keys and "
        f"values {size(s.cache)} at a context of {s.context:,}",
        "time": _time(speed),
    }
    if made.undecided:
        rows["left to the data"] = f"{', '.join(made.undecided)}: the most, or a default, is taken"
    wide = max(map(len, rows))
    return Text("\n".join(f"{name:<{wide}}  {value}" for name, value in rows.items()))


def _costs(pictures: tuple[Picture, ...]) -> Text:
    """What pictures of usual sizes cost, as a table; width comes first, as people say it."""
    rows = [("a picture of", "is brought to", "tiles", "tokens")]
    for each in pictures:
        (high, wide), (rows_, columns) = each.size, each.grid
        several = f"{rows_} × {columns} and a small one" if each.tiles > 1 else "1"
        canvas = f"{each.canvas[1]}×{each.canvas[0]}"
        rows.append((f"{wide}×{high}", canvas, several, f"{each.tokens:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows)
    return Text("\n".join(line.rstrip() for line in lines), no_wrap=True)


def _time(speed: Speed) -> str:
    each = f"{speed.seconds:.3g} s a step"
    how = (f"{speed.share:.0%} of the {speed.rate / 1e9:,.0f} GFLOP/s that a matrix product was "
           "measured to reach")  # fmt: skip
    end = ""
    if speed.steps is not None and speed.minutes is not None:
        end = f", {speed.steps:,} steps in {speed.minutes:.3g} minutes"
    return f"{each}{end} (at {how})"


def operations(count: float) -> str:
    """Operations as people write them."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if count < 1000:
            return f"{count:.3g} {unit}FLOP"
        count /= 1000
    return f"{count:,.0f} EFLOP"
