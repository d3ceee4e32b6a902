"""Config: what a recipe says is what is built, and what it cannot mean is said with a remedy."""

import dataclasses
import json
import tomllib
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from seesay import config
from seesay.config import Recipe
from seesay.errors import RecipeError
from seesay.model import families
from seesay.train import losses

RECIPES = sorted(config.shipped("demo").parent.glob("*.toml"))


def checked(*assignments: str, **table: Any) -> Recipe:
    return config.recipe(config.override(table, assignments))


def refused(*assignments: str, **table: Any) -> RecipeError:
    with pytest.raises(RecipeError) as error:
        checked(*assignments, **table)
    assert error.value.fix and error.value.where
    return error.value


# The recipes that come with Seesay.


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_its_model_fits_its_data(path):
    assert config.shipped(path.stem) == path
    recipe = config.recipe(config.load(path))
    assert families.picture_tokens(recipe.model) + 2 <= recipe.data.row_tokens
    assert path.read_text(encoding="utf-8").startswith("# ")  # the command, its cost, its score
    with torch.device("meta"):
        model = families.build(recipe.model, vocabulary=500, picture_token=1)
    losses.check(recipe.train.objectives, model.can, family=recipe.model.family)


def test_a_recipe_nobody_ships_is_an_error_with_the_nearest():
    with pytest.raises(RecipeError, match="no recipe 'dmo'") as error:
        config.shipped("dmo")
    assert error.value.fix == "did you mean 'demo'?"


# Loading.


def test_a_file_is_read_as_it_is_written(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('[data]\ndev = "图片"\n[[data.sources]]\npath = "a"\nweight = 2\n', "utf-8")
    table = {"data": {"dev": "图片", "sources": [{"path": "a", "weight": 2}]}}
    assert config.load(path) == config.load(str(path)) == table
    assert config.recipe(table).data.sources[0].weight == 2


@pytest.mark.parametrize(("content", "said"), [
    (None, "no such recipe"), (b"[data", "not TOML"), (b"a = \xff", "not TOML"),
    (b"a = " + b"[" * 5000, "not TOML"), (b"[train]\nseed = " + b"9" * 5000, "not TOML"),
    (b"a = 1\na = 2", "not TOML"), ("folder", "cannot be read"),
], ids=["none", "half", "bytes", "deep", "endless", "twice", "folder"])  # fmt: skip
def test_a_file_that_is_no_recipe_is_an_error(tmp_path, content, said):
    path = tmp_path / "a.toml"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=said) as error:
        config.load(path)
    assert error.value.where == str(path) and error.value.fix


# Unknown keys.


@pytest.mark.parametrize(("key", "near"), [
    ("modle.x=1", "model"), ("trian=1", "train"), ("model.visoin.width=1", "vision"),
    ("model.vision.imagesize=32", "image_size"), ("model.connector.factr=2", "factor"),
    ("model.text.num_head=4", "num_heads"), ("data.row_token=9", "row_tokens"),
    ("train.learningrate=0.1", "learning_rate"), ("train.minute=3", "minutes"),
    ("data.sources=[{pth='a'}]", "path"), ("data.sources=[{path='a'},{path='b',wieght=1}]",
    "weight"), ("data.stages=[{until=0.5,kind={}}]", "kinds"),
])  # fmt: skip
def test_an_unknown_key_is_an_error_with_the_nearest(key, near):
    error = refused(key)
    assert error.what.startswith("unknown key '") and error.fix == f"did you mean '{near}'?"
    assert error.what.removeprefix("unknown key '").rstrip("'").split(".")[0] in key


def test_an_unknown_key_is_named_by_its_place():
    assert "'data.sources.1.wieght'" in refused("data.sources=[{}, {wieght=1}]").what
    assert "'model.text.num_head'" in refused("model.text.num_head=4").what


def test_where_no_name_is_near_all_are_listed():
    assert refused("zzz=1").fix == "known: model, data, train"
    known = refused("model.connector.zzz=1").fix
    assert known.startswith("known: kind, factor, queries, depth, cross_every, width")


# Values.

SIZES = ("model.vision.width", "model.text.width", "model.connector.factor", "train.batch",
         "train.accumulate", "train.log_every", "model.vision.patch")  # fmt: skip


@pytest.mark.parametrize("assignment", [
    *(f"{key}={value}" for key in SIZES for value in ("0", "-1", "1.5", "'8'", "true", "100001")),
    "train.learning_rate=0", "train.learning_rate=nan", "train.learning_rate=inf",
    "train.learning_rate=fast", "train.minutes=0", "train.minutes=-1", "train.steps=0",
    "train.momentum=1.0", "train.momentum=-0.1", "train.warmup=1.01", "train.ema=1",
    "train.seed=-1", f"train.seed={2**62}", f"train.seed={'9' * 5000}", "train.seed=1.0",
    "train.betas=[0.9]", "train.betas=[0.9,0.95,0.99]", "train.precision=float16",
    "train.optimizer=sgd", "train.tensorboard=1", "train.compile='true'",
    "model.fusion=late", "model.vision.kind=cnn", "model.vision.image_size=0",
    "model.vision.image_size=[32]", "model.vision.image_size=[32,32,3]",
    "model.vision.image_size=[32,0]", "model.vision.deviation=[0.5,0.5,0]",
    "model.vision.mean=0.5", "model.vision.stem_widths=[]", "model.vision.depth=1001",
    "model.text.context=1", "model.text.dropout=1", "model.text.head_norm=nothing",
    "model.text.norms=none", "data.row_tokens=1", "data.vocabulary=299", "data.fit=squash",
    "data.limit_broken=1.1", "data.limit_broken=-0.1", "data.flip=yes", "data.shift=-1",
    "data.workers=-1", "data.workers=1025", "data.sources=[]", "data.sources=3",
    "data.sources=[3]", "data.sources=[{weight=-1}]", "data.sources=[{language='fr'}]",
    "data.sources=[{columns={image=3}}]", "data.sources=[{kinds={count=-1}}]",
    "data.sources=[{objects=[0,3]}]", "data.sources=[{objects=[3]}]",
    "data.stages=[{until=0}]", "data.stages=[{until=1.5}]", "data.stages=[{objects=[1,2]}]",
    "data.dev=3", "model=3", "train=[]",
], ids=lambda each: each[:40])  # fmt: skip
def test_a_value_of_the_wrong_kind_or_out_of_range_is_an_error_at_its_key(assignment):
    error = refused(assignment)
    key = assignment.partition("=")[0]
    assert f"'{key}" in error.what and len(error.what) < 200


@pytest.mark.parametrize(("assignments", "said"), [
    (["model.vision.width=10", "model.vision.num_heads=4"],
     "recipe: model.vision: width is 10, which num_heads, 4, does not divide"),
    (["model.text.num_kv_heads=3"], "num_heads is 4, which num_kv_heads, 3, does not divide"),
    (["model.text.width=12"], "rotary positions turn pairs, but a head is 3 wide"),
    (["model.vision.stem_widths=[8,16]"], "2 stem_widths but 3 stem_residuals: give one each"),
    (["model.vision.kind=regions", "model.vision.stem=patch", "model.vision.crop=4",
      "model.vision.patch=8"], "crop is 4, but a patch is 8 wide"),
    (["model.vision.kind=resnet", "model.vision.stem_residuals=[1,0,1]"],
     "only the first may be 0"),
    (["data.sources=[{objects=[4,3]}]"], "data.sources.0: objects must not fall: 4, 3"),
    (["data.stages=[{until=0.5,objects=[2,1]}]"], "data.stages.0: objects must not fall: 2, 1"),
    (["data.sources=[{path='a.csv',panels=3}]"], "panels is 3: they are only drawn"),
    (["data.sources=[{grid=2,shots=[0,2]}]"], "grid is 2: they are only drawn"),
    (["data.sources=[{panels=3,language='zh'}]"], "what is said of them is said in English"),
    (["data.sources=[{panels=3,grid=3}]"], "panels is 3 and grid is 3: give each a source"),
    (["data.reorder=[[0,0.5]]"], "give two parts or more, from left to right"),
    (["data.reorder=[[0,0.5],[0.4,0.9]]"], "give two parts or more, from left to right"),
    (["data.reorder=[[0,0.5],[0.5,0.7]]"], "parts of 0.200 and 0.500 of the width"),
    (["data.reorder=[[0,0.5],[0.5,1]]", "data.fit=pad"], "reorder is of pictures shown whole"),
    (["data.stages=[{until=0.5},{until=0.4}]"], "until of the stages must not fall: 0.5, 0.4"),
    (["data.sources=[{weight=0},{weight=0}]"], "the weights of all sources are 0"),
    (["data.stages=[{until=0.5},{until=0.6,weights=[1,2]}]"],
     "stages.1 has 2 weights for 1 sources: give one for each"),
    (["data.stages=[{until=0.5,weights=[0]}]"], "the weights of stages.0 are all 0"),
    (["data.row_tokens=2000"], "data.row_tokens is 2000, more than the 1024 of model.text.context"),
])  # fmt: skip
def test_values_that_do_not_go_together_are_an_error_with_both(assignments, said):
    assert said in str(refused(*assignments))


def test_the_least_and_the_most_are_in_range():
    recipe = checked(
        "train.ema=0", "train.momentum=0", "train.warmup=1.0", f"train.seed={2**62 - 1}",
        "data.limit_broken=1.0", "data.vocabulary=300", "data.stages=[{until=1.0}]",
        "data.sources=[{weight=0},{objects=[1,1]}]", "model.connector.factor=1",
        "model.vision.depth=0",
    )  # fmt: skip
    assert recipe.train.seed == 2**62 - 1 and recipe.data.stages[0].until == 1


def test_whole_numbers_do_where_fractions_are_asked_for():
    assert checked("train.minutes=3", "train.clip=1").train.minutes == 3.0


def test_a_picture_size_is_a_side_or_height_and_width():
    assert checked("model.vision.image_size=48").model.vision.size == (48, 48)
    assert checked("model.vision.image_size=[32,64]").model.vision.size == (32, 64)


def test_a_recipe_cannot_be_changed_behind_its_check():
    with pytest.raises(dataclasses.FrozenInstanceError):
        checked().train.batch = 0  # type: ignore[misc]


# Overrides.

TABLE = {"train": {"batch": 4}, "data": {"sources": [{"path": "a"}, {"path": "b"}]}, "n": [1, 2]}


@pytest.mark.parametrize(("assignment", "place", "value"), [
    ("train.batch=8", ("train", "batch"), 8),
    (" train . batch = 8 ", ("train", "batch"), 8),
    ("train.new=1", ("train", "new"), 1),
    ("a.b.c=1", ("a", "b", "c"), 1),
    ("data.sources.1.path=c", ("data", "sources", 1, "path"), "c"),
    ("data.sources.0.columns.image=foto", ("data", "sources", 0, "columns", "image"), "foto"),
    ("data.sources.0={path='z'}", ("data", "sources", 0), {"path": "z"}),
    ("n.1=5", ("n", 1), 5),
    ("train=plain", ("train",), "plain"),
    ("x=a=b", ("x",), "a=b"),
    ("x=", ("x",), ""),
    ("x='8'", ("x",), "8"),
    ("x=1e-3", ("x",), 0.001),
    ("x=true", ("x",), True),
    ("x=True", ("x",), "True"),
    ("x=[1, 2]", ("x",), [1, 2]),
    ("x={a = {b = 1}}", ("x",), {"a": {"b": 1}}),
    ("x=photos/2024 spring", ("x",), "photos/2024 spring"),
    ("x=2024-01-01", ("x",), "2024-01-01"),
    ("x=07:30:00", ("x",), "07:30:00"),
    ("x=1\ny = 2", ("x",), "1\ny = 2"),
    ("x=[1, 2", ("x",), "[1, 2"),
    ("x=" + "9" * 5000, ("x",), "9" * 5000),
    ("x=" + "[" * 5000, ("x",), "[" * 5000),
], ids=lambda each: str(each)[:20])  # fmt: skip
def test_an_assignment_is_laid_over_a_table(assignment, place, value):
    before = json.dumps(TABLE)
    changed: Any = config.override(TABLE, [assignment])
    for name in place:
        changed = changed[name]
    assert changed == value and type(changed) is type(value)
    assert json.dumps(TABLE) == before


def test_what_is_not_named_stays_and_the_last_assignment_counts():
    changed = config.override(TABLE, ["train.batch=8", "train.batch=9", "data.sources.0.weight=2"])
    assert changed == {
        "train": {"batch": 9},
        "data": {"sources": [{"path": "a", "weight": 2}, {"path": "b"}]},
        "n": [1, 2],
    }
    assert config.override(TABLE, []) == TABLE


@pytest.mark.parametrize(("assignment", "said"), [
    ("train.batch", "not an assignment"), ("=3", "not an assignment"), ("", "not an assignment"),
    ("a..b=3", "not an assignment"), (".=3", "not an assignment"), ("train.=3", "not an assign"),
    ("train.batch.size=3", "'batch' is not a table"), ("train.batch.a.b=3", "'batch' is not a"),
    ("data.sources.2.path=c", "'2' is no place in a list of 2"),
    ("data.sources.-1.path=c", "'-1' is no place in a list of 2"),
    ("data.sources.path=c", "'path' is no place in a list of 2"),
    ("data.sources.9=c", "'9' is no place in a list of 2"),
    ("n.0.a=3", "'a' has no table around it"), ("n.0.a.b=3", "'a' is not a table"),
])  # fmt: skip
def test_an_assignment_that_cannot_be_made_is_an_error(assignment, said):
    with pytest.raises(RecipeError, match=said) as error:
        config.override(TABLE, [assignment])
    assert error.value.where == assignment.partition("=")[0] or error.value.where == assignment
    assert error.value.fix


def test_overrides_reach_the_recipe():
    table = config.load(config.shipped("demo"))
    recipe = config.recipe(
        config.override(table, ["train.steps=7", "data.sources.0.objects=[2,3]"])
    )
    assert recipe.train.steps == 7 and recipe.data.sources[0].objects == (2, 3)
    assert recipe.data.sources[0].questions == config.recipe(table).data.sources[0].questions


# Round trips.


def dumped_and_loaded(recipe: Recipe) -> Recipe:
    return config.recipe(tomllib.loads(config.dump(recipe)))


def stored_and_opened(recipe: Recipe) -> Recipe:
    """As config.json of a checkpoint holds it."""
    return config.recipe(json.loads(json.dumps(config.as_table(recipe))))


BOTH_WAYS = pytest.mark.parametrize("way", [dumped_and_loaded, stored_and_opened])


@BOTH_WAYS
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_come_back_whole(path, way):
    recipe = config.recipe(config.load(path))
    assert way(recipe) == recipe


shares = st.floats(0, 1).map(lambda x: round(x, 6))
sources = st.fixed_dictionaries(
    {"path": st.sampled_from(["scenes", "a b", '"quoted"', "图片", "C:\\a\n"])},
    optional={
        "weight": st.floats(1e-6, 1e6),
        "columns": st.dictionaries(st.sampled_from(["image", "a.b", "问 题"]), st.just("x")),
        "objects": st.tuples(st.integers(1, 3), st.integers(3, 9)).map(list),
        "language": st.sampled_from(["en", "zh"]),
        "kinds": st.dictionaries(st.sampled_from(["count", "exist"]), st.floats(0, 9)),
        "caption_styles": st.lists(st.sampled_from(["list", "count"])),
    },
)
stages = st.lists(shares.filter(bool), max_size=3).map(
    lambda ends: [{"until": end, "questions": 3} for end in sorted(ends)]
)
norms = st.sampled_from(["none", "plain", "layer", "rms"])
tables = st.fixed_dictionaries(
    {},
    optional={
        "model": st.fixed_dictionaries(
            {},
            optional={
                "vision": st.fixed_dictionaries(
                    {},
                    optional={
                        "head_norm": norms,
                        "image_size": st.sampled_from([32, [16, 48]]),
                        "mlp_ratio": st.floats(1e-3, 1e3),
                    },
                ),
                "text": st.fixed_dictionaries(
                    {}, optional={"head_norm": norms, "num_kv_heads": st.sampled_from([1, 2])}
                ),
            },
        ),
        "data": st.fixed_dictionaries(
            {},
            optional={
                "sources": st.lists(sources, min_size=1, max_size=3),
                "stages": stages,
                "dev": st.text(st.characters(codec="utf-8"), max_size=9),
                "flip": st.booleans(),
            },
        ),
        "train": st.fixed_dictionaries(
            {},
            optional={
                "minutes": st.floats(1e-9, 1e9),
                "steps": st.integers(1, 10**9),
                "seed": st.integers(0, 2**62 - 1),
                "fused": st.booleans(),
                "betas": st.tuples(shares, shares).map(lambda two: [x * 0.99 for x in two]),
            },
        ),
    },
)


@BOTH_WAYS
@given(tables)
def test_any_recipe_comes_back_whole(way, table):
    recipe = config.recipe(table)
    assert way(recipe) == recipe


@BOTH_WAYS
def test_no_norm_of_heads_stays_none(way):
    """The default is a norm, so that leaving it out would say something else."""
    recipe = checked("model.vision.head_norm=none", "model.text.head_norm=none")
    assert recipe.model.vision.head_norm is None and recipe.model.text.head_norm is None
    assert way(recipe).model == recipe.model
    assert config.recipe({"model": {"text": {"head_norm": None}}}).model.text.head_norm is None


def test_a_dump_writes_every_default_out():
    """A run is repeated from its dump even where defaults have changed since."""
    dumped = tomllib.loads(config.dump(config.recipe({})))
    for part in ("vision", "connector", "text"):
        given_there = dumped["model"][part]
        kind = type(getattr(config.ModelConfig(), part))
        named = {f.name for f in dataclasses.fields(kind) if f.default is not None}
        assert set(given_there) == named
    assert dumped["train"]["batch"] == 64 and dumped["data"]["sources"][0]["path"] == "scenes"


def test_the_tiny_recipe_of_the_tests_comes_back():
    assert dumped_and_loaded(tiny.recipe()) == tiny.recipe()
