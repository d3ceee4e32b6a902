"""Plan: which recipes are trained, on which budgets, from which seeds; and each run's recipe."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli_w

from seesay import config
from seesay.compare.budget import Budget, parts
from seesay.errors import RecipeError
from seesay.train import auto
from seesay.train.estimate import UNKNOWABLE, Estimate


@dataclass(frozen=True, eq=False)
class Contender:
    """A recipe by its name; its table is without an end and without a seed."""

    name: str
    table: dict[str, Any]

    @property
    def recipe(self) -> config.Recipe:
        """The table, checked."""
        return config.recipe(self.table, where=self.name)

    @property
    def text(self) -> str:
        """The table as TOML."""
        return tomli_w.dumps(self.table)

    @cached_property
    def flops(self) -> int:
        """Operations of a step, on pictures of the size that its data have.

        Raises:
            RecipeError: they cannot be counted.
        """
        recipe, _ = auto.settle(_ending(self.table, "steps", 1), say=lambda line: None)
        try:
            return Estimate(recipe).arithmetic.step
        except UNKNOWABLE as error:
            fix = "give --budget in time, pictures or steps"
            what = f"its operations cannot be counted: {error}"
            raise RecipeError(what, where=self.name, fix=fix) from None


@dataclass(frozen=True)
class Job:
    """One run: a recipe on a budget, from a seed, in a folder of its own."""

    contender: Contender
    budget: Budget
    seed: int
    folder: Path

    @property
    def recipe(self) -> Path:
        """The file of its recipe, which all seeds share."""
        return self.folder.parent / "recipe.toml"


@dataclass(frozen=True)
class Plan:
    """What is compared: every recipe on every budget, from every seed.

    Args:
        budget: the largest; with more `points` also halves of it, each a run of its own.
        out: the folder of all runs: NAME/BUDGET/seed-N.
    """

    contenders: Sequence[Contender]
    budget: Budget
    out: Path
    seeds: int = 1
    points: int = 1

    def __post_init__(self) -> None:
        """Check that no two runs share a folder."""
        names = [contender.name for contender in self.contenders]
        if twice := [name for name in names if names.count(name) > 1]:
            fix = "give a recipe once; rename the file of another"
            raise RecipeError(f"two recipes are called '{twice[0]}'", where="recipes", fix=fix)

    @property
    def budgets(self) -> list[Budget]:
        """The smallest first."""
        return parts(self.budget, self.points)

    def jobs(self) -> Iterator[Job]:
        """In an order in which much can be seen soon: all recipes from one seed come first."""
        for seed in range(self.seeds):
            for budget in self.budgets:
                for contender in self.contenders:
                    place = self.out / contender.name / budget.folder / f"seed-{seed}"
                    yield Job(contender, budget, seed, place)

    def write(self) -> None:
        """Leave each run's recipe beside its folder, all or none.

        Raises:
            RecipeError: a recipe is wrong, or is not the one whose runs are there already.
        """
        made = {job.recipe: ended(job.contender, job.budget) for job in self.jobs()}
        for path, table in made.items():
            config.recipe(table, where=path.parts[-3])
            _check_same(path, table)
        for path, table in made.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(tomli_w.dumps(table), encoding="utf-8")


def ended(contender: Contender, budget: Budget) -> dict[str, Any]:
    """A recipe's table that ends where its budget does.

    Raises:
        RecipeError: the budget is less than one step.
    """
    if budget.kind == "time":
        return _ending(contender.table, "minutes", budget.amount / 60)
    train = contender.recipe.train
    each = {"steps": 1, "pictures": train.batch * train.accumulate, "flops": 0}[budget.kind]
    each = each or contender.flops
    if budget.amount < each:
        raise RecipeError(
            f"a budget of {budget} is less than one step of {each:,} {budget.kind}",
            where=contender.name,
            fix="give a larger --budget or fewer --points, or lower train.batch",
        )
    return _ending(contender.table, "steps", round(budget.amount / each))


def _ending(table: dict[str, Any], key: str, value: float | int) -> dict[str, Any]:
    settings = {k: v for k, v in table.get("train", {}).items() if k not in ("minutes", "steps")}
    return {**table, "train": {**settings, key: value}}


def _check_same(path: Path, table: dict[str, Any]) -> None:
    begun = path.exists() and any(path.parent.glob("seed-*"))
    if not begun or tomllib.loads(path.read_text(encoding="utf-8")) == table:
        return
    raise RecipeError(
        "the runs here are of another recipe, data or --set",
        where=str(path.parent),
        fix="compare in another --out folder, or remove this one",
    )
