"""Catalogue: every recipe says what it is, what it costs, what it reached; names find them."""

import json
import re
import shlex

import pytest
from test_house import README

from seesay import catalogue, cli, config
from seesay.errors import RecipeError

ENTRIES = catalogue.entries()
HEADER = "# Command: seesay train --recipe mine\n# Cost: a day\n# Score: answers 9 %\n"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_recipe_says_what_it_is(entry):
    """Its command is one, and its figures stand in the README or beside the other families'."""
    assert entry.about[0].isupper() and entry.about[-1] in ".?" and "\n" not in entry.about
    assert re.search(r"\d (seconds|minutes?|hours?) on ", entry.cost)
    words = shlex.split(entry.command)
    if words[0] == "seesay":
        _, bound, _ = cli.build().parse_args(words[1:], exit_on_error=False, print_error=False)[:3]
        assert catalogue.find(bound.arguments["recipe"]) == entry.path
    pages = (README, README.parent / "docs" / "families.md")
    page = "\n\n".join(path.read_text(encoding="utf-8") for path in pages)
    # Paragraphs, list items and rows of tables, a line each.
    lines = re.sub(r"(?<!\n)\n(?![\n|]|- )", " ", page).splitlines()
    named = re.compile(rf"`{entry.name}`|^\| {entry.name}\b", re.IGNORECASE)
    told = [line for line in lines if named.search(line)]
    figures = re.findall(r"\d+\.\d+", entry.score)
    assert figures
    for figure in figures:
        alone = re.compile(rf"(?<![\d.]){re.escape(figure)}(?!\d)")
        assert any(alone.search(line) for line in told), figure


def test_the_recipes_are_those_of_the_folder():
    folder = config.shipped("demo").parent
    assert [entry.path for entry in ENTRIES] == sorted(folder.glob("*.toml"))


def test_the_first_sentence_is_what_it_is(tmp_path):
    path = tmp_path / "mine.toml"
    about = "# Things (Who et al., 2020),\n# seen? Yes: e.g. here.\n# More.\n"
    path.write_text(f"{HEADER}{about}[model]\n")
    read = catalogue.entry(path)
    assert read.about == "Things (Who et al., 2020), seen?"
    assert (read.name, read.cost, read.score) == ("mine", "a day", "answers 9 %")


@pytest.mark.parametrize("text", [
    "[model]\n", "# A recipe.\n", HEADER, HEADER.replace("Cost", "Price") + "# It.\n",
], ids=["none", "other", "not what it is", "another line"])  # fmt: skip
def test_a_recipe_that_does_not_say_it(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="it begins with") as error:
        catalogue.entry(path)
    assert error.value.where == str(path) and "# Score: …" in error.value.fix


def test_a_recipe_is_found_by_path_or_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert catalogue.find("demo") == config.shipped("demo")
    for path in ("demo.toml", "here/demo", str(tmp_path / "demo")):
        assert str(catalogue.find(path)) == path
    with pytest.raises(RecipeError, match="no recipe 'dmo'") as error:
        catalogue.find("dmo")
    assert error.value.fix == "did you mean 'demo'?"
    # A file of that name comes first.
    (tmp_path / "demo").write_text("")
    assert str(catalogue.find("demo")) == "demo"


# The command.


def test_recipes_are_listed(capsys):
    assert cli.main(["recipes"]) == 0
    shown = capsys.readouterr().out
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0].split() == ["recipe", "cost", "score", "what", "it", "is"]
    for line, entry in zip(lines[1:], ENTRIES, strict=True):
        assert line.startswith(entry.name) and line.endswith(entry.about)
        assert entry.cost in line and entry.score in line
    assert cli.main(["recipes", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in made] == [entry.name for entry in ENTRIES]
    assert made[0].keys() == {"name", "path", "about", "command", "cost", "score"}


def test_a_recipe_to_train_may_be_a_name(tmp_path, capsys):
    asked = ["train", "--recipe", "demo", "--out", str(tmp_path / "run")]
    assert cli.main(asked) == 2 and "give --minutes or --steps" in capsys.readouterr().err
    assert cli.main(["train", "--recipe", "dmo", "--minutes", "1"]) == 2
    assert "did you mean 'demo'?" in capsys.readouterr().err
