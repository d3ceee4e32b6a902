"""Overlay: a recipe laid over another, however deep; errors name the files."""

import pytest

from seesay import config, overlay
from seesay.errors import RecipeError


def written(folder, name: str, text: str):
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_laid_over_the_one_it_is_based_on(tmp_path):
    written(tmp_path, "below", "[model.text]\nwidth = 64\ndepth = 3\n[train]\nsteps = 5\n")
    written(tmp_path, "middle", 'base = "below"\n[model.text]\ndepth = 2\n')
    text = 'base = "middle.toml"\n[train]\nsteps = 9\n[data]\nfit = "pad"\n'
    top = written(tmp_path, "top", text)
    assert overlay.load(top) == {
        "model": {"text": {"width": 64, "depth": 2}},
        "train": {"steps": 9},
        "data": {"fit": "pad"},
    }
    # The files themselves stay as they are, whoever is laid over them.
    assert overlay.load(tmp_path / "middle.toml")["train"] == {"steps": 5}


def test_lists_are_taken_whole():
    below = {"data": {"sources": [{"path": "a"}, {"path": "b"}], "fit": "pad"}}
    above = {"data": {"sources": [{"path": "c"}]}}
    assert overlay.laid_over(below, above)["data"] == {"sources": [{"path": "c"}], "fit": "pad"}
    assert len(below["data"]["sources"]) == 2


def test_a_recipe_beside_it_comes_before_one_that_is_shipped(tmp_path):
    top = written(tmp_path, "top", 'base = "demo"\n')
    assert overlay.load(top) == config.load(config.shipped("demo"))
    written(tmp_path, "demo", "[train]\nsteps = 3\n")
    assert overlay.load(top) == {"train": {"steps": 3}}


def test_recipes_based_on_each_other_are_an_error(tmp_path):
    one = written(tmp_path, "one", 'base = "two"\n')
    written(tmp_path, "two", 'base = "one"\n')
    with pytest.raises(RecipeError, match=r"one.toml → two.toml → one.toml"):
        overlay.load(one)


@pytest.mark.parametrize(("base", "said"), [("3", "base is 3"), ('""', "base is ''"),
                                            ('"dmo"', "no recipe 'dmo'")])  # fmt: skip
def test_a_base_that_is_none_is_an_error(tmp_path, base, said):
    with pytest.raises(RecipeError, match=said):
        overlay.load(written(tmp_path, "top", f"base = {base}\n"))
