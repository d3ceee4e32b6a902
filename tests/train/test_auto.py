"""What is settled from the data: picture size, what is held back, the tokenizer, the model card."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from train import runs

from seesay import config
from seesay.config import SourceConfig
from seesay.data import sources, store
from seesay.errors import DataError, RecipeError
from seesay.model import checkpoint
from seesay.records import Example, Origin, Turn
from seesay.train import auto, card, setup


def silent(text: str) -> None:
    del text


def example(*pictures: int, row: int = 0, folder: str = "/a") -> Example:
    paths = tuple(Path(folder) / f"{picture}.png" for picture in pictures)
    group = "|".join(path.name for path in paths)
    return Example(paths, (Turn("assistant", "x"),), Origin("t", row), group=group)


def plan(*paths: str, seed: int = 0, dev: str | None = None) -> config.Recipe:
    data = {"sources": [{"path": path} for path in paths or ("a",)]}
    data |= {"dev": dev} if dev else {}
    return config.recipe({"data": data, "train": {"steps": 1, "seed": seed}})


# What is held back.

GROUPS = st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=3), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.lists(GROUPS, min_size=1, max_size=3), st.floats(0.01, 0.9), st.integers(0, 99))
def test_no_picture_is_on_both_sides(sources, share, seed):
    """Whatever examples share a picture: in one source or in two, alone or beside another."""
    given = [[example(*each, row=i) for i, each in enumerate(each)] for each in sources]
    recipe = plan(*"abc"[: len(given)], seed=seed)
    try:
        kept, held = auto.hold_back(recipe, given, share=share, say=silent)
    except DataError as error:
        assert "too few" in error.what
        return
    ours = {str(picture) for examples in kept for each in examples for picture in each.images}
    theirs = {str(picture) for each in held for picture in each.images}
    assert not ours & theirs
    # Every example is somewhere, once, in its order.
    where = {id(each) for examples in [*kept, held] for each in examples}
    assert where == {id(each) for examples in given for each in examples}
    assert sum(map(len, kept)) + len(held) == sum(map(len, given))
    assert all(
        rows == sorted(rows)
        for rows in ([e.origin.row or 0 for e in examples] for examples in kept)
    )


def test_a_share_of_the_pictures_is_held_back():
    examples = [example(i // 3, row=i) for i in range(600)]
    (kept,), held = auto.hold_back(plan(), [examples], share=0.05, say=silent)
    assert len({each.group for each in held}) == 10 and len(held) == 30 and len(kept) == 570
    again = auto.hold_back(plan(), [examples], share=0.05, say=silent)[1]
    other = auto.hold_back(plan(seed=1), [examples], share=0.05, say=silent)[1]
    assert held == again != other


def test_at_least_one_picture_is_held_back_and_one_is_not():
    (kept,), held = auto.hold_back(plan(), [[example(0), example(1)]], share=0.01, say=silent)
    assert len(kept) == len(held) == 1
    with pytest.raises(DataError, match="1 picture is too few") as error:
        auto.hold_back(plan(), [[example(0), example(0)]], share=0.5, say=silent)
    assert "--dev" in error.value.fix


def test_the_same_file_by_another_name_is_the_same_picture(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    one = [example(i, folder=str(tmp_path / "real")) for i in range(40)]
    other = [example(i, folder=str(tmp_path / "link")) for i in range(40)]
    _, held = auto.hold_back(plan("a", "b"), [one, other], share=0.2, say=silent)
    names = [each.group for each in held]
    assert len(names) == 16 and len(set(names)) == 8


def test_pictures_in_memory_are_told_apart_by_what_they_are():
    turns = (Turn("assistant", "x"),)
    packed = [
        Example((bytes([i // 2]) * 9,), turns, Origin("t", i), group=str(i // 2)) for i in range(40)
    ]
    drawn = [
        Example((np.zeros((2, 2, 3), np.uint8),), turns, Origin("s", i), group=str(i))
        for i in range(20)
    ]
    kept, held = auto.hold_back(plan("a", "b"), [packed, drawn], share=0.25, say=silent)
    assert [len(examples) for examples in kept] == [30, 15] and len(held) == 15


def test_some_of_a_sorted_set_are_of_all_of_it():
    sorted_by_class = [Example((), (), Origin("table", row)) for row in range(1000)]
    drawn = store.some(sorted_by_class, 100, seed=0)
    rows = [example.origin.row for example in drawn]
    assert len(set(rows)) == 100 and rows == sorted(rows)
    assert sum(row >= 500 for row in rows) == pytest.approx(50, abs=20)
    assert store.some(sorted_by_class, 100, seed=0) == drawn
    assert store.some(sorted_by_class, 100, seed=1) != drawn
    for count in (None, 1000, 2000):
        assert store.some(sorted_by_class, count, seed=0) is sorted_by_class


def test_of_drawn_pictures_the_split_dev_is_measured_on(monkeypatch):
    recipe = plan("scenes", "a")
    monkeypatch.setattr(auto, "drawn", lambda source, seed, resolution: [example(99)])
    kept, held = auto.hold_back(recipe, [[], [example(0), example(1)]], share=0.5, say=silent)
    assert kept[0] == [] and len(kept[1]) == 1 and held[0] == example(99)


def test_drawn_examples_are_of_a_split_and_the_same_again():
    made = auto.drawn(SourceConfig(), seed=3, count=4)
    assert {each.task for each in made} == {"vqa", "caption", "match"}
    assert len({each.group for each in made}) == 4
    assert [e.turns for e in made] == [e.turns for e in auto.drawn(SourceConfig(), seed=3, count=4)]
    others = auto.drawn(SourceConfig(), seed=3, split="test", count=4)
    assert not {each.group for each in made} & {each.group for each in others}


def test_where_only_made_up_names_are_learned_only_these_are_measured():
    named = SourceConfig(shots=(2, 3), bind=1.0)
    assert {e.labels["kind"] for e in auto.drawn(named, seed=3, count=4)} == {"bind"}
    for other in (SourceConfig(shots=(0, 3), bind=1.0), SourceConfig(shots=(2, 3), bind=0.5)):
        tasks = {e.task for e in auto.drawn(other, seed=3, count=4)}
        assert tasks >= {"caption", "vqa", "match"}


def test_data_named_to_measure_on_is_read(tmp_path, folder):
    dev = runs.pictures(tmp_path / "dev", 3)
    given = [[example(0)]]
    told = []
    kept, held = auto.hold_back(plan(dev=str(dev)), given, share=0.5, say=told.append)
    assert kept == given and len(held) == 3
    assert "to measure on" in told[0] and str(dev) in told[0]


# The picture size.


def sized(folder: Path, *sizes: tuple[int, int]) -> list[Example]:
    made = []
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(folder / f"{number}.png")
        made.append(example(number, folder=str(folder)))
    return made


@pytest.mark.parametrize(("sizes", "wanted"), [
    ([(64, 64)], (64, 64)),
    ([(30, 30)], (32, 32)),
    ([(8, 8)], (32, 32)),
    ([(400, 100)], (48, 192)),  # wide stays wide, as (height, width)
    ([(100, 400)], (192, 48)),
    ([(4000, 4000)], (96, 96)),
    ([(64, 64), (64, 64), (640, 32)], (64, 64)),  # the median, not the mean
], ids=str)  # fmt: skip
def test_the_picture_size_is_of_the_data(tmp_path, sizes, wanted):
    assert auto.picture_size(sized(tmp_path, *sizes)) == wanted


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_any_picture_size_fits(width, height):
    made = Example((np.zeros((height, width, 3), np.uint8),), (), Origin("t", 1))
    for side in auto.picture_size([made]):
        assert side % auto.STEP == 0 and 2 * auto.STEP <= side <= 100_000


def test_only_some_pictures_are_looked_at(monkeypatch):
    seen = []
    pixels = np.zeros((32, 32, 3), np.uint8)
    examples = [Example((pixels,), (), Origin("t", i)) for i in range(10_000)]
    plain = auto.images.load
    monkeypatch.setattr(auto.images, "load", lambda p, **o: seen.append(1) or plain(p, **o))
    auto.picture_size(examples)
    assert auto.LOOKED <= len(seen) <= 2 * auto.LOOKED


# A recipe settled.


def test_settling_reads_the_data_and_says_so(folder):
    told = []
    table = {"data": {"sources": [{"path": str(folder)}, {"path": "scenes"}]}}
    recipe, given = auto.settle({**table, "train": {"steps": 3}}, say=told.append)
    assert [len(examples) for examples in given] == [37, 0]
    assert recipe.model.vision.size == (32, 32)
    assert str(folder) in told[0] and "32×32" in told[1]
    fixed = {**table, "train": {"steps": 3}, "model": {"vision": {"image_size": 64}}}
    assert auto.settle(fixed, say=silent)[0].model.vision.size == (64, 64)


def test_a_recipe_without_an_end_is_refused(folder):
    with pytest.raises(RecipeError, match="no end is set") as error:
        auto.settle({"data": {"sources": [{"path": str(folder)}]}}, say=silent)
    assert "--minutes or --steps" in error.value.fix


def test_rows_that_are_broken_are_told(tmp_path):
    runs.pictures(tmp_path, 30)
    (tmp_path / "003.txt").unlink()
    told = []
    table = {"data": {"sources": [{"path": str(tmp_path)}]}, "train": {"steps": 1}}
    auto.settle(table, say=told.append)
    assert "1 broken rows left out" in told[0] and "003.png" in told[1]


# The run set up.


def test_the_tokenizer_knows_the_words_of_all_sources(tmp_path, folder):
    table = runs.table(folder)
    table["data"]["sources"].append(runs.SCENES)
    run = runs.prepare(tmp_path, config.recipe(table))
    for words in ("yellow beside black", "how many"):
        ids = run.text.tokenizer.encode(words).ids
        assert run.text.tokenizer.decode(ids).strip() == words
        assert len(ids) <= 4 * len(words.split())


def test_the_same_seed_gives_the_same_model(tmp_path, folder):
    made = [runs.prepare(tmp_path, runs.recipe(folder, seed=seed)).model for seed in (1, 1, 2)]
    one, same, other = ({k: v.sum().item() for k, v in m.state_dict().items()} for m in made)
    assert one == same != other


@pytest.mark.parametrize(("wish", "kind"), [("float32", "float32"), ("bfloat16", "bfloat16")])
@pytest.mark.filterwarnings("ignore:bf16 is emulated")
def test_precision_and_kernels_are_the_recipes(tmp_path, folder, wish, kind):
    run = runs.prepare(tmp_path, runs.recipe(folder, precision=wish))
    assert str(run.dtype) == f"torch.{kind}" and not run.fused
    assert runs.prepare(tmp_path, runs.recipe(folder, fused=True)).fused
    said = setup.describe(run)
    assert "M parameters" in said and kind in said and "GFLOP/s" in said


def test_sources_are_read_where_they_are_not_given(folder):
    read = setup.read(runs.recipe(folder))
    assert [len(examples) for examples in read] == [37]
    assert setup.read(runs.recipe()) == [[]]


def test_a_source_gives_no_more_than_its_limit(folder):
    plan = runs.recipe(data={"sources": [{"path": str(folder), "limit": 3}, {"path": str(folder)}]})
    few, all_of_them = setup.read(plan)
    assert len(few) == 3 < len(all_of_them) and all(e in all_of_them for e in few)
    assert setup.read(plan)[0] == few
    with pytest.raises(RecipeError, match="limit is 3: scenes are drawn without end"):
        runs.recipe(data={"sources": [{"path": "scenes", "limit": 3}]})


@pytest.mark.parametrize("temperature, shares", [(1.0, (1, 4)), (2.0, (1, 2)), (1e9, (1, 1))])
def test_temperature_weighs_sources_by_their_sizes(tmp_path, folder, temperature, shares):
    few = sources.read(folder).examples[:2]
    more = sources.read(folder).examples[:8]
    data = {"temperature": temperature, "sources": [{"path": "a"}, {"path": "b", "weight": 1.0}]}
    made = setup.prepare(runs.recipe(data=data), out=tmp_path, examples=[few, more], device="cpu")
    one, other = made.stream.mixture(0.0)
    assert other / one == pytest.approx(shares[1] / shares[0])


def test_scenes_have_no_size_to_weigh_them_by():
    with pytest.raises(RecipeError, match="temperature .* scenes have none"):
        runs.recipe(data={"temperature": 2.0})


# The card.


def test_the_card_says_what_was_trained_and_holds_the_recipe(tmp_path, folder):
    settings = runs.recipe(folder, data={"workers": 0}, steps=2)
    run = runs.train(tmp_path, settings)
    text = (checkpoint.find(tmp_path) / "README.md").read_text()
    assert f"{sum(p.numel() for p in run.model.parameters()):,} parameters" in text
    assert str(folder) in text and "steps 2" in text and "Not measured yet" in text
    assert "`seesay train` and `seesay demo` write them here when they end" in text
    toml = text.partition("```toml\n")[2].partition("```")[0]
    assert config.recipe(tomllib.loads(toml)) == settings


def test_scores_take_their_place_in_the_card_again_and_again(tmp_path, folder):
    run = runs.prepare(tmp_path, runs.recipe(folder))
    score = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}
    measured = {"scores": {"answers": score}, "controls": {"answers_blank": score}}
    once = card.with_scores(card.text(run), measured, command="seesay eval a --data b")
    assert "| answers | 0.5000 | 0.2500 to 0.7500 | 8 |" in once
    assert "| control: answers_blank | 0.5000" in once and "Not measured yet" not in once
    assert "seesay eval a --data b" in once and "## Recipe" in once
    other = card.with_scores(once, {"scores": {}}, command="again")
    assert card.with_scores(other, measured, command="seesay eval a --data b") == once


# What can be measured on.


def test_pictures_that_do_not_decode_are_not_measured_on(tmp_path):
    given = sized(tmp_path, (16, 16), (16, 16), (16, 16))
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:50])
    told = []
    assert auto.readable([*given, given[1]], say=told.append) == [given[0], given[2]]
    assert len(told) == 1 and "1.png" in told[0]
    with pytest.raises(DataError, match="none of the 1 examples") as error:
        auto.readable([given[1]], say=silent)
    assert "data check" in error.value.fix


def test_pictures_that_do_not_decode_do_not_count_for_the_size(tmp_path):
    given = sized(tmp_path, (64, 64), (48, 48), (48, 48))
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(b"")
    assert auto.picture_size(given) == (64, 64)
    (tmp_path / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 3 pictures"):
        auto.picture_size(given)
