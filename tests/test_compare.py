"""Comparing: equal budgets, the same examples; runs are kept, go on, or fail; table and page."""

import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import get_args

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as some
from test_report import ATTACK, Page
from train import runs

from seesay import cli, config
from seesay.commands.compare import Split
from seesay.compare import Comparison, Contender, Outcome, Plan, Yardstick, parse
from seesay.compare import page as pages
from seesay.compare.budget import Budget, parts
from seesay.compare.cost import compute
from seesay.compare.measuring import Measured
from seesay.compare.plan import ended
from seesay.compare.runs import trained
from seesay.compare.summary import Row, counted, spent, spread
from seesay.errors import RecipeError
from seesay.evaluate import Evaluation, Score
from seesay.model import checkpoint
from seesay.scenes import world
from seesay.train import auto, history, rehearsal
from seesay.train.estimate import Estimate

SMALL = f"{tiny.RECIPE}preflight = 0\n"
RECIPES = {
    "teller": SMALL,
    "dual": 'base = "teller"\nmodel = {family = "dual", space = 16}\n'
    "train = {batch = 8, objectives = {contrastive = 1}}",
    # Found out by the run alone: it cannot learn that.
    "wrong": 'base = "teller"\ntrain = {objectives = {contrastive = 1}}',
}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory) -> dict[str, str]:
    """The paths of small recipes, by name."""
    place = tmp_path_factory.mktemp("recipes")
    for name, text in RECIPES.items():
        (place / f"{name}.toml").write_text(text)
    return {name: str(place / f"{name}.toml") for name in RECIPES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(runs.pictures(tmp_path_factory.mktemp("data")))


def asked(*words: object) -> list[str]:
    return ["compare", *map(str, words)]


@pytest.fixture
def told(capsys):
    """A mistake's message."""

    def tell(*words: object) -> str:
        assert cli.main(asked(*words)) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and "Traceback" not in shown.err
        return shown.err

    return tell


# Budgets.


@pytest.mark.parametrize(("text", "kind", "amount"), [
    ("5m", "time", 300), ("90s", "time", 90), ("1h", "time", 3600), ("1.5 hours", "time", 5400),
    ("5 min", "time", 300), ("100k pictures", "pictures", 100_000), ("50000p", "pictures", 50_000),
    ("100kp", "pictures", 100_000), ("1,000 samples", "pictures", 1000),
    ("1e15flops", "flops", 1e15), ("2PFLOP", "flops", 2e15), ("0.5 TFLOPs", "flops", 5e11),
    ("2000 steps", "steps", 2000), ("2k steps", "steps", 2000), ("1step", "steps", 1),
])  # fmt: skip
def test_budgets(text, kind, amount):
    assert parse(text) == Budget(kind, amount)


@pytest.mark.parametrize("text", [
    "", "5", "m", "5M", "2P", "-5m", "0s", "1e999h", "1.5 steps", "5 fortnights", "5 ms", "1.2.3m",
    "0.2p", "5m 30s", "five minutes", "nan s", "2 exa", "1e400 flops",
])  # fmt: skip
def test_budgets_that_are_none(text):
    with pytest.raises(RecipeError) as caught:
        parse(text)
    assert f"'{text}'" in str(caught.value) and "100k pictures" in caught.value.fix


@given(
    some.one_of(
        some.builds(Budget, some.sampled_from(["time", "flops"]),
                    some.floats(1e-6, 1e30, allow_subnormal=False)),
        some.builds(Budget, some.sampled_from(["pictures", "steps"]),
                    some.integers(1, 10**15).map(float)),
    )
)  # fmt: skip
def test_a_budget_is_read_as_it_is_written(budget):
    assert parse(str(budget)) == budget
    assert "/" not in budget.folder and " " not in budget.folder


@given(some.text())
def test_any_text_is_a_budget_or_a_mistake(text):
    try:
        made = parse(text)
    except RecipeError:
        return
    assert 0 < made.amount < math.inf


def test_points_are_halves():
    assert list(map(str, parts(parse("5m"), 3))) == ["75s", "150s", "5m"]
    assert list(map(str, parts(parse("2 PFLOP"), 2))) == ["1 PFLOP", "2 PFLOP"]
    assert list(map(str, parts(parse("3 steps"), 4))) == ["1 steps", "2 steps", "3 steps"]


def test_every_recipe_ends_where_the_budget_does():
    table = config.override(runs.table(batch=8, accumulate=2, steps=7), ["train.minutes=3"])
    small, large = Contender("small", runs.table(batch=4)), Contender("large", table)
    assert ended(large, parse("90s"))["train"] == {
        **{k: v for k, v in table["train"].items() if k != "steps"}, "minutes": 1.5
    }  # fmt: skip
    steps = [ended(each, parse("320 pictures"))["train"]["steps"] for each in (small, large)]
    assert steps == [80, 20]
    assert ended(large, parse("7 steps"))["train"]["steps"] == 7
    with pytest.raises(RecipeError, match="less than one step of 16 pictures"):
        ended(large, parse("15 pictures"))


def test_operations_are_counted_in_steps(monkeypatch):
    monkeypatch.setattr(rehearsal, "SCENES_READ", 10)
    contenders = [Contender(str(batch), runs.table(batch=batch)) for batch in (2, 4)]
    each = [contender.flops for contender in contenders]
    assert each[1] == pytest.approx(2 * each[0], rel=0.2)
    budget = Budget("flops", 10.0 * each[1])
    made = [ended(c, budget)["train"]["steps"] for c in contenders]
    assert made == [round(budget.amount / each[0]), 10] and made[0] > 15


def test_operations_of_what_passed_are_those_of_its_steps():
    estimate = Estimate(runs.recipe(batch=4, accumulate=3))
    step = estimate._learned
    passed = {"pictures": 3 * step.pictures, "positions": 3 * step.positions}
    assert estimate.learning(**passed) == pytest.approx(estimate.arithmetic.step, rel=1e-6)
    assert 0 < estimate.learning(pictures=step.pictures, positions=0) < step.flops


# Means over seeds.


def an_outcome(job, scores, *, controls=None, slices=None, skipped=None, **taken) -> Outcome:
    known = dict(seconds=10.0, steps=5, pictures=20, tokens=9, parameters=1000, trained=1000,
                 flops=1e9 * (1 + job.budget.amount), memory=1e9,
                 before_seconds=0.0, before_flops=0.0)  # fmt: skip
    made = Evaluation(
        scores={k: score(v) for k, v in scores.items()},
        controls={k: score(v) for k, v in (controls or {}).items()},
        slices={k: {"answers": score(v)} for k, v in (slices or {}).items()},
        skipped=skipped or {},
    )
    tasks = {"answers": "vqa", "text_r1": "retrieve", "text_median_rank": "retrieve"}
    return Outcome(job, known | taken, Measured(made, {k: tasks[k] for k in scores}))


def score(value: float) -> Score:
    return Score(value, value - 0.1, value + 0.2, 50)


def a_plan(*names: str, out: Path = Path("nowhere"), **settings) -> Plan:
    contenders = [Contender(name, runs.table()) for name in names]
    return Plan(contenders, parse("8 steps"), out, **settings)


def a_comparison(*, seeds: int = 3, points: int = 2, name: str = "second") -> Comparison:
    """Two recipes; of one nothing is retrieved, and its last run failed."""
    plan = a_plan("first", name, seeds=seeds, points=points)
    outcomes = []
    for job in plan.jobs():
        if job.contender.name == "first":
            kinds = {"kind=count": 0.25, "kind=colour": 0.75}
            outcomes.append(an_outcome(
                job, {"answers": 0.3 + 0.1 * job.seed}, slices=kinds,
                controls={"answers_blank": 0.2, "answers_question": 0.35},
                skipped={"retrieve": "it has no vectors"}))  # fmt: skip
        elif job.seed < 2:
            outcomes.append(
                an_outcome(
                    job,
                    {"answers": 0.6, "text_r1": 0.5, "text_median_rank": 2.0},
                    controls={"text_median_rank_blank": 9.0, "text_median_rank_chance": 7.0},
                )
            )
        else:
            outcomes.append(Outcome(job, failed="the loss is nan\n  lower the rate"))  # fmt: skip
    return Comparison(plan, outcomes, "pictures", "abc", {"vqa": 50}, "seesay compare …")


def test_intervals_over_seeds_are_students():
    made = a_comparison(points=1)
    cells = {row.contender.name: row.cells["answers"] for row in made.rows}
    values = [0.3, 0.4, 0.5]
    half = 4.302653 * stdev(values) / math.sqrt(3)  # t of two degrees of freedom, from tables
    first = cells["first"]
    assert (first.value, first.half) == pytest.approx((fmean(values), half), rel=1e-6)
    assert first.seeds == 3 and spread(first) == f"40.0 ± {100 * half:.1f} %"
    # Two runs that agree leave no width; a single one has the interval of its examples.
    assert (cells["second"].low, cells["second"].high) == (0.6, 0.6)
    alone = a_comparison(seeds=1, points=1).rows[0].cells["answers"]
    assert (alone.low, alone.high) == pytest.approx((0.5, 0.8))


def test_the_best_control_is_the_one_that_comes_nearest():
    rows = {row.contender.name: row for row in a_comparison().rows}
    assert rows["first"].cells["answers"].best == "question"
    assert rows["second"].cells["text_median_rank"].best == "chance"
    assert rows["second"].cells["answers"].best == ""


def test_rows_are_sorted_and_say_what_is_missing():
    made = a_comparison()
    order = [(row.contender.name, str(row.budget)) for row in made.rows]
    assert order == [("second", "8 steps"), ("first", "8 steps"), ("second", "4 steps"),
                     ("first", "4 steps")]  # fmt: skip
    assert made.headlines == ["answers", "text_r1"]
    assert made.why_not(made.rows[1], "text_r1") == "it has no vectors"
    assert made.rows[0].failed == {2: "the loss is nan\n  lower the rate"}
    begun = Comparison(made.plan, made.outcomes[:1])
    last = begun.rows[-1]
    assert not last.done and begun.why_not(last, "answers") == "still to come"
    json.dumps(begun.as_dict(), allow_nan=False)


def test_no_two_runs_share_a_folder():
    jobs = list(a_plan("a", "b", seeds=2, points=2).jobs())
    assert len({job.folder for job in jobs}) == len(jobs) == 8
    assert [job.seed for job in jobs] == [0] * 4 + [1] * 4
    with pytest.raises(RecipeError, match="two recipes are called 'a'"):
        a_plan("a", "b", "a")


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (0, "0"), (960, "960"), (1_527_156, "1.53 M"), (32_000, "32 k"), (2e13, "20 T"),
])  # fmt: skip
def test_counts(value, text):
    assert counted(value) == text


# The page.


def render(tmp_path: Path, made: Comparison) -> tuple[str, Page]:
    environment = {"python": "3.11"}
    text = pages.write(tmp_path / "c.html", made, environment=environment).read_text("utf-8")
    page = Page(text)
    assert page.open == [] and "nan" not in page.text.replace("loss is nan", "")
    assert not {"script", "link", "iframe", "object", "embed", "img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "href", "srcset", "data")]
    assert not re.search(r"https?:|url\(|@import", text)
    for name, value in page.attributes:
        if name in ("x", "y", "cx", "cy", "x1", "x2", "y1", "y2"):
            assert 0 <= float(value.removesuffix("%")) <= 100
    return text, page


def test_the_page_shows_every_recipe(tmp_path):
    text, page = render(tmp_path, a_comparison())
    for part in ("Comparison of 2 recipes", "first", "second", "4 steps, 8 steps", "40.0 ± 24.8 %",
                 "question alone 35.0 %", "10 of 12, 2 failed", "No retrieve: first",
                 "it has no vectors", "Failed: second, 8 steps, seed 2;",
                 "second, 4 steps, seed 2", "the loss is nan", "Answers by kind",
                 "Scores against compute", "10 GFLOP", "row_tokens = 96", "seesay compare …",
                 "2 of 3"):  # fmt: skip
        assert part in page.text, part
    circles = [v for name, v in page.attributes if name == "class"].count("dot")
    assert circles == 2 * (2 + 1 + 1)  # two budgets; both answer, one is asked to retrieve
    assert text == render(tmp_path, a_comparison())[0]


def test_the_page_trusts_no_text(tmp_path):
    text, page = render(tmp_path, a_comparison(name=ATTACK))
    assert "<script" not in text and page.text.count("alert('x')") > 5
    assert not [name for name, _ in page.attributes if name.startswith("on")]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_page_of_what_there_is_so_far(tmp_path, count):
    made = a_comparison(points=3)
    begun = Comparison(made.plan, made.outcomes[:count])
    _, page = render(tmp_path, begun)
    assert "the others are to come" in page.text and "(to come)" in page.text
    assert ("Scores against compute" in page.text) == (count > 0)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.5), (0.2, 900.0), (1e9, 1e17), (3e13, 3.1e13)])
def test_ticks_of_a_logarithmic_axis(low, high):
    made = pages.decades(low, high)
    assert len(made) <= pages.MANY and all(low <= tick <= high for tick in made)
    assert made == sorted(made)


@given(some.dictionaries(some.text(min_size=1), some.floats(0, 100), max_size=14))
def test_names_beside_a_plot_keep_apart(heights):
    places = sorted(pages._spaced(heights).values())
    apart = [b - a for a, b in itertools.pairwise(places)]
    assert all(gap >= pages.APART - 0.02 for gap in apart) and all(p <= 100 for p in places)


# What is measured on.


def test_the_splits_are_the_worlds():
    assert set(get_args(Split)) <= set(world.SPLITS)


def test_examples_are_the_same_whatever_the_seed_and_captions_are_retrieved():
    drawn = [auto.drawn(config.SourceConfig(), seed=0, count=3) for _ in range(2)]
    first, again = (Yardstick(examples, "drawn") for examples in drawn)
    assert first.digest == again.digest
    assert first.digest != Yardstick(drawn[0][1:], "drawn").digest
    assert first.counts == {"vqa": 18, "caption": 3, "match": 6, "retrieve": 3}


# From end to end. Each run is a process of its own, so these are few.


@pytest.fixture(scope="module")
def compared(tmp_path_factory, recipes, folder) -> tuple[Path, list[str], dict]:
    """Three recipes of which one fails: the folder, the command and the JSON printed."""
    out = tmp_path_factory.mktemp("compared")
    command = asked(*recipes.values(), "--budget", "24 pictures", "--seeds", 2, "--data", folder,
                    "--dev", folder, "--out", out, "--quiet", "--json")  # fmt: skip
    ran = program(command)
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.count("failed: ") == 2 and "cannot embed" in ran.stderr
    return out, command, json.loads(ran.stdout, parse_constant=pytest.fail)


def program(command: list[str]) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "seesay", *command]
    return subprocess.run(words, env=runs.environment(), capture_output=True, text=True)


def test_equal_budgets_are_equal(compared):
    out, _, made = compared
    rows = {row["recipe"]: row for row in made["rows"]}
    assert [row["recipe"] for row in made["rows"]] == ["teller", "dual", "wrong"]
    assert rows["teller"]["compute"]["pictures"] == rows["dual"]["compute"]["pictures"] == 24
    assert [rows[name]["compute"]["steps"] for name in ("teller", "dual")] == [6, 3]
    for name in ("teller", "dual"):
        taken = rows[name]["compute"]
        assert taken["flops"] > 1e6 and taken["seconds"] > 0 and taken["memory"] > 1e8
        folders = sorted((out / name / "24-pictures").glob("seed-*"))
        states = [checkpoint.open_tensors(checkpoint.find(f) / "model.safetensors")
                  for f in folders]  # fmt: skip
        assert len(folders) == 2 and taken["parameters"] > 1000
        assert any(not torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_each_is_asked_what_it_can(compared):
    _, _, made = compared
    teller, dual, wrong = made["rows"]
    assert "captions" in teller["scores"] and set(teller["skipped"]) == {"retrieve"}
    assert "text_r1" in dual["scores"] and set(dual["skipped"]) == {"caption"}
    assert "says nothing" in dual["skipped"]["caption"]
    assert not wrong["scores"] and set(wrong["failed"]) == {"0", "1"}
    assert teller["scores"]["captions"]["controls"].keys() >= {"blank", "shuffled"}
    assert made["runs"] == {"done": 4, "failed": 2, "all": 6}
    values = [o["scores"]["text_r1"]["value"] for o in made["outcomes"] if o["recipe"] == "dual"]
    cell = dual["scores"]["text_r1"]
    half = 12.7062047 * stdev(values) / math.sqrt(2)
    assert (cell["value"], cell["high"] - cell["value"]) == pytest.approx((fmean(values), half))


def test_it_leaves_a_page_and_the_same_json(compared, tmp_path):
    out, _, made = compared
    assert json.loads((out / "compare.json").read_text(encoding="utf-8")) == made
    page = Page((out / "compare.html").read_text(encoding="utf-8"))
    for part in ("teller", "dual", "wrong", "cannot embed", "24 pictures", "wrong (failed)"):
        assert part in page.text, part


def test_finished_runs_are_kept_and_a_table_is_shown(compared, recipes, folder, capsys):
    out, command, made = compared
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*/*/seed-*/**/*.*")}
    # One is measured anew, and none trained.
    (out / "dual" / "24-pictures" / "seed-1" / "compared.json").unlink()
    few = [word for word in command if word not in (recipes["wrong"], "--quiet", "--json")]
    assert cli.main(few) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].split()[:3] == ["recipe", "family", "seeds"]
    assert "–" in shown.out and "±" in shown.out
    assert "[4 of 4] dual, 24 pictures, seed 1" in shown.err and "[1 of 4]" not in shown.err
    assert "compare.html" in shown.err
    again = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    assert again["rows"] == made["rows"][:2]
    after = {path: path.stat().st_mtime_ns for path in out.glob("*/*/seed-*/**/*.*")}
    assert {p.name for p in after if after[p] != kept[p]} == {"compared.json"}


def test_other_recipes_do_not_mix_with_those_that_ran(compared, told):
    _, command, _ = compared
    said = told(*command[1:], "--set", "train.batch=2")
    assert "the runs here are of another recipe, data or --set" in said and "--out" in said


def test_a_stopped_comparison_goes_on(tmp_path, recipes, folder):
    """As from a terminal, where the whole group gets Ctrl-C, in the midst of the second run."""
    command = asked(recipes["teller"], recipes["dual"], "--budget", "300 steps", "--seeds", 1,
                    "--data", folder, "--dev", folder, "--out", tmp_path)  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "seesay", *command], env=runs.environment(),
                               stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
    second = tmp_path / "dual" / "300-steps" / "seed-0"
    while process.poll() is None and not history(second):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    said = runs.finished(process, code=130)
    assert "the same command goes on" in said and "Traceback" not in said
    step = int(checkpoint.find(second).name)
    assert 0 < step < 300 and not (second / "compared.json").exists()
    first = tmp_path / "teller" / "300-steps" / "seed-0" / "compared.json"
    before = first.stat().st_mtime_ns

    ran = program(command)
    assert ran.returncode == 0 and "[2 of 2] dual" in ran.stderr and "[1 of 2]" not in ran.stderr
    assert first.stat().st_mtime_ns == before
    steps = [row["step"] for row in history(second) if "loss" in row]
    assert steps == list(range(1, 301)) and compute(second)["steps"] == 300


def test_whether_a_run_is_trained(compared, tmp_path):
    out, _, made = compared
    plan = a_plan("teller", out=out)
    done = next(plan.jobs()).__class__(
        plan.contenders[0], parse("24 pictures"), 0, out / "teller" / "24-pictures" / "seed-0"
    )
    assert trained(done)
    assert not trained(next(plan.jobs()))


def test_what_it_began_with_is_counted_once(tmp_path, folder):
    """Near and far, teachers too; where one is gone, nobody knows."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    runs.train(first, runs.recipe(folder, steps=2))
    runs.train(second, runs.recipe(folder, model={"init": {"vision": str(first)}}, steps=3))
    begun = {"vision": f"{second}:vision", "text": str(first)}
    runs.train(third, runs.recipe(folder, model={"init": begun}, steps=1))
    ones, twos, threes = map(compute, (first, second, third))
    assert (ones["before_seconds"], ones["before_flops"]) == (0, 0)
    for name in ("seconds", "flops"):
        assert twos[f"before_{name}"] == ones[name]
        assert threes[f"before_{name}"] == pytest.approx(ones[name] + twos[name])
    assert threes["flops"] < twos["flops"]
    towers = {"family": "dual", "space": 16}
    runs.train(tmp_path / "master", runs.recipe(
        folder, model=towers, steps=1, objectives={"contrastive": 1}))  # fmt: skip
    runs.train(tmp_path / "pupil", runs.recipe(
        folder, model=towers, steps=1, objectives={"affinity": 1},
        teacher={"run": str(tmp_path / "master")}))  # fmt: skip
    master, pupil = compute(tmp_path / "master"), compute(tmp_path / "pupil")
    assert pupil["before_flops"] == master["flops"] > 0
    shutil.rmtree(first)
    gone = compute(third)
    assert gone["before_seconds"] is None and gone["before_flops"] is None
    assert gone["flops"] == threes["flops"]


def test_what_was_spent_before_stands_beside_and_is_part_of_the_plot():
    job = next(a_plan("first").jobs())

    def row(**taken) -> Row:
        outcome = an_outcome(job, {"answers": 0.5}, flops=2e9, **taken)
        return Comparison(a_plan("first"), [outcome]).rows[0]

    alone, after = row(), row(before_flops=3e9, before_seconds=70)
    assert spent(alone, "flops") == "2 GFLOP" and alone.total("flops") == 2e9
    assert spent(after, "flops") == "2 GFLOP + 3 GFLOP" and after.total("flops") == 5e9
    assert spent(after, "seconds") == "0:10 + 1:10"
    unknown = row(before_flops=None)
    assert spent(unknown, "flops") == "2 GFLOP + ?" and unknown.total("flops") == 2e9


# Mistakes.


def test_mistakes_are_told_before_anything_is_trained(tmp_path, recipes, folder, told):
    out = ["--out", tmp_path / "none"]
    one = [recipes["teller"], *out, "--data", folder]
    assert "write one of these: 5m" in told(*one, "--dev", folder, "--budget", "5")
    assert "0 recipes to compare" in told(*out, "--budget", "5m")
    assert "no recipe 'dmeo'" in told("dmeo", *out, "--budget", "5m")
    assert "--data without --dev" in told(*one, "--budget", "5m")
    assert "nothing to train on" in told(recipes["teller"], *out, "--budget", "5m")
    seeded = told("demo", *out, "--budget", "5m", "--set", "train.steps=3")
    assert "'train.steps' cannot be set here" in seeded
    assert "unknown key" in told("demo", *out, "--budget", "5m", "--set", "train.bach=3")
    assert "two recipes" in told("demo", "demo", *out, "--budget", "5m", "--count", 1)
    assert "less than one step" in told("demo", *out, "--budget", "15 p", "--count", 1)

    files = f'data.sources=[{{path="{folder}"}}]'
    assert "in 0 languages" in told(recipes["teller"], *out, "--budget", "5m", "--set", files)
    other = tmp_path / "other.toml"
    other.write_text(f"{SMALL}[data.video]\nframes = 4\n")
    both = (recipes["teller"], other, *out, "--budget", "5m", "--dev", folder)
    assert "look at the frames of videos in 2 ways" in told(*both, "--set", files)
    assert not (tmp_path / "none").exists()
