"""`seesay data …` as a user runs them: what they print, write and refuse."""

import io
import json
import random
import sys
import time
from pathlib import Path
from typing import get_args

import pytest
import tiny
import torch
from data.layouts import as_csv, as_shards, pictures
from data.test_coco import ref, refcoco
from data.test_vqa import vqa
from train import runs

from seesay import cli
from seesay.commands import convert, options
from seesay.data import convert as layouts
from seesay.data import store
from seesay.data.sources import read
from seesay.train import setup

RECIPE = f"{tiny.RECIPE}steps = 2\npreflight = 1\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(setup, "SCENES_READ", 20)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "smallest.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def seesay(capsys):
    """Run a command: what it printed, on standard output, or of a mistake on standard error."""

    def run(*tokens: object, code: int = 0) -> str:
        capsys.readouterr()
        got = cli.main(["data", *[str(token) for token in tokens]])
        shown = capsys.readouterr()
        assert got == code, shown.err
        assert "Traceback" not in shown.err
        return shown.err if code else shown.out

    return run


def test_the_command_knows_every_layout():
    assert set(get_args(convert.Layout)) == set(layouts.LAYOUTS)


@pytest.mark.parametrize("to", layouts.LAYOUTS)
def test_convert(seesay, tmp_path, to):
    source = as_shards(tmp_path, [{"caption": str(i)} for i in range(4)])
    said = seesay("convert", source, "--to", to, "--out", tmp_path / "out")
    assert "4 rows, 4 pictures, in " in said
    assert [e.answer for e in read(tmp_path / "out").examples] == ["0", "1", "2", "3"]


def test_convert_says_what_it_leaves_out(seesay, tmp_path, capsys):
    source = as_csv(tmp_path / "a", [{"words": "a cat", "caption": "x"} for _ in range(8)])
    source.write_text(source.read_text() + "gone.png,b,c\n")
    told = json.loads(
        seesay("convert", source, "--to", "jsonl", "--out", tmp_path / "out", "--columns",
               "caption=words", "--limit-broken", 0.5, "--json")
    )  # fmt: skip
    assert told["rows"] == 8 and told["lost"] == ["caption"] and len(told["broken"]) == 1
    assert told["files"] == ["data.jsonl"]
    arguments = ["convert", str(source), "--to", "tar", "--out", str(tmp_path / "b")]
    assert cli.main(["data", *arguments, "--columns", "caption=words", "--limit-broken=1"]) == 0
    shown = capsys.readouterr().err
    assert "left out: " in shown and "no picture 'gone.png'" in shown and "columns caption" in shown


def test_shard_size_is_in_megabytes(seesay, tmp_path):
    source = as_csv(tmp_path / "a", [{"caption": str(i)} for i in range(6)])
    out = tmp_path / "out"
    said = seesay("convert", source, "--to", "tar", "--out", out, "--shard-size", 0.003)
    assert "data-00000.tar to data-00002.tar" in said
    seesay("convert", source, "--to", "tar", "--out", tmp_path / "b", "--shard-size", 0, code=2)


def test_split(seesay, tmp_path):
    source = as_csv(tmp_path / "a", [{"caption": str(i)} for i in range(20)])
    out = tmp_path / "out"
    said = seesay("split", source, "--out", out, "--dev", 0.1, "--test", 0.2, "--seed", 3)
    assert "20 rows, 20 pictures in " in said
    assert f"{out}/train.jsonl" in said and f"{out}/test.jsonl" in said
    told = json.loads(seesay("split", source, "--out", tmp_path / "b", "--near", 0, "--json"))
    assert [part["name"] for part in told["parts"]] == ["train", "dev"]
    assert sum(part["rows"] for part in told["parts"]) == 20
    assert "is not an empty folder" in seesay("split", source, "--out", out, code=2)
    assert "together they must be" in seesay(
        "split", source, "--out", tmp_path / "c", "--dev", 0, code=2
    )


def test_split_names_classes_that_a_part_lacks(seesay, tmp_path):
    for name, count in (("cat", 9), ("owl", 1)):
        pictures(tmp_path / "a" / name, count)
    said = seesay("split", tmp_path / "a", "--out", tmp_path / "out", "--dev", 0.3)
    assert "without 1 classes: owl" in said


def test_show(seesay, tmp_path, recipe):
    folder, out = runs.pictures(tmp_path / "a", 9), tmp_path / "page.html"
    assert seesay("show", folder, "--recipe", recipe, "--out", out).strip() == str(out)
    assert "What the model sees" in out.read_text()
    told = json.loads(
        seesay("show", folder, "--recipe", recipe, "--out", out, "--count", 2, "--json",
               "--set", "model.vision.image_size=32", "--seed", 4)
    )  # fmt: skip
    assert len(told["rows"]) == 2 and told["rows"][0]["pictures"][0]["tiles"] == [[32, 32]]
    assert told["page"] == str(out)


def test_show_scenes_and_runs(seesay, tmp_path, recipe):
    out, folder = tmp_path / "page.html", runs.pictures(tmp_path / "a", 9)
    assert seesay("show", "scenes", "--recipe", recipe, "--out", out, "--count", 3, "--quiet")
    run = tmp_path / "run"
    arguments = ["train", "--data", folder, "--recipe", recipe, "--out", run, "--quiet"]
    assert cli.main([*map(str, arguments), "--no-eval"]) == 0
    told = json.loads(seesay("show", folder, "--run", run, "--out", out, "--json"))
    # Three batches of four, in which all nine pictures come.
    assert sum(row["groups"] for row in told["rows"]) == 12 and told["rows"][0]["documents"]
    said = seesay("show", folder, "--run", run, "--recipe", recipe, "--out", out, code=2)
    assert "a run has its own: give one" in said
    assert "no such file or folder" in seesay("show", tmp_path / "none", "--out", out, code=2)


def test_show_with_a_recipe_of_several_sources(seesay, tmp_path, recipe):
    """Its drawn scenes give words and labels; the rows are those of the data that is asked for."""
    path = tmp_path / "mixed.toml"
    path.write_text(
        RECIPE.replace("[data]\n", '[data]\nsources = [{path = "scenes"}, {path = "x.csv", '
                       'weight = 3, columns = {caption = "words"}}]\n'
                       "stages = [{until = 1.0, weights = [0, 1]}]\n")
    )  # fmt: skip
    source = as_csv(tmp_path / "a", [{"words": f"thing {i}"} for i in range(5)])
    out = tmp_path / "p.html"
    told = json.loads(seesay("show", source, "--recipe", path, "--out", out, "--json", "--count=4"))
    assert all("thing" in row["documents"][1]["said"] for row in told["rows"])
    told = json.loads(seesay("show", "scenes", "--recipe", path, "--out", out, "--json"))
    assert all(row["origin"].startswith("scenes:") for row in told["rows"])


def test_stats(seesay, tmp_path, recipe):
    folder = runs.pictures(tmp_path / "a", 9)
    said = seesay("stats", folder, "--recipe", recipe, "--steps", 1)
    assert "9; caption 9" in said and "positions in use" in said and "width" not in said
    told = json.loads(seesay("stats", folder, "--recipe", recipe, "--decode", "--json"))
    assert told["width"] == {"least": 16, "middle": 16, "most": 16} and told["formats"]
    assert told["tokens"]["pictures"]["most"] == told["tokens"]["pictures"]["least"]
    drawn = json.loads(seesay("stats", "scenes", "--recipe", recipe, "--steps", 2, "--json"))
    assert drawn["packing"]["rows"] == 8 and drawn["examples"] > 8


def test_stats_decodes_nothing_unless_asked(seesay, tmp_path, recipe, monkeypatch):
    folder = runs.pictures(tmp_path / "a", 9)
    monkeypatch.setattr("seesay.data.images._image", lambda *_, **__: 1 / 0)
    assert seesay("stats", folder, "--recipe", recipe, "--steps", 1)


def test_check_with_a_recipe_and_against(seesay, tmp_path, recipe):
    long = "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=400))
    texts = [long if i == 3 else str(i) for i in range(6)]
    here = as_csv(tmp_path / "a", [{"caption": text} for text in texts])
    there = as_csv(tmp_path / "b", [{"caption": str(i)} for i in range(2)])
    said = seesay("check", here, "--recipe", recipe, "--against", there)
    assert "too long for the recipe (1)" in said and "in both: pictures (2)" in said
    told = json.loads(seesay("check", here, "--json"))
    assert told["against"] is None and told["long"] == []


# Data of every kind that training takes.


@pytest.mark.parametrize("command", ["check", "stats", "show"])
def test_examples_that_are_kept_on_disk_are_the_same(
    seesay, tmp_path, recipe, monkeypatch, command
):
    """As many as a hundred thousand are kept on disk; here a few are."""
    folder, out = runs.pictures(tmp_path / "a", 13), tmp_path / "page.html"
    more = {"show": ["--out", out], "stats": ["--steps", 2, "--decode"], "check": []}[command]
    given = [command, folder, "--recipe", recipe, "--json", *more]
    expected = seesay(*given)
    monkeypatch.setattr(store, "MOST", 5)
    stored = read(folder).examples
    assert isinstance(stored, store.Stored) and len(stored) == 13
    assert seesay(*given) == expected


@pytest.mark.parametrize("command", ["check", "stats", "show"])
def test_boxes_splits_and_votes(seesay, tmp_path, recipe, command):
    """RefCOCO's, of one split; VQA's with what ten people answered."""
    refs = refcoco(tmp_path / "r", [ref(0, ["the lady"]), ref(1, ["b"], split="testA")])
    questions, _ = vqa(tmp_path / "v")
    out = tmp_path / "page.html"
    for source, count in ((f"{refs}:train", 1), (questions, 3)):
        # Where all else is measured on, no picture is held back.
        more = ["--out", out, "--set", "data.pack=false", "--set", f"data.dev={source}"]
        more = more if command == "show" else []
        told = json.loads(seesay(command, source, "--recipe", recipe, "--json", *more))
        if command != "show":
            assert told["examples"] == count
            continue
        texts = " ".join(d["text"] for row in told["rows"] for d in row["documents"])
        if source == questions:
            assert texts.count("how many cats?") == 1 and "2<end>" in texts.replace(" ", "")
            continue
        (row,) = told["rows"]
        (shown,) = row["pictures"]
        assert "where is the lady?" in texts and "(100,100),(600,600)" in texts.replace(" ", "")
        assert shown["boxes"] == [[pytest.approx([0.1, 0.1, 0.6, 0.6])]]
    assert "say which, such as" in seesay(command, refs, "--recipe", recipe, code=2)


def test_boxes_are_said_and_drawn_as_they_are_shown(seesay, tmp_path, recipe):
    """What a model reads of a padded picture is of what it sees, and drawn there."""
    refs = refcoco(tmp_path / "r", [ref(0, ["the lady"])])
    told = json.loads(
        seesay("show", refs, "--recipe", recipe, "--json", "--out", tmp_path / "page.html",
               "--set", "data.pack=false", "--set", "data.fit=pad",
               "--set", "model.vision.image_size=40")
    )  # fmt: skip
    (row,) = told["rows"]
    # 40×30 stands in 40×40 with 5 rows of margin above.
    text = "".join(d["text"] for d in row["documents"]).replace(" ", "")
    assert "(100,200),(600,575)" in text
    assert row["pictures"][0]["boxes"] == [[pytest.approx([0.1, 0.2, 0.6, 0.575])]]


def test_captions_that_take_turns(seesay, tmp_path, recipe):
    """Of five captions of a picture, a row shows the one whose turn it is."""
    names = pictures(tmp_path, 3)
    rows = [{"image": name, "captions": [f"{n}{i}" for i in range(5)]} for n, name in
            enumerate(names)]  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    how = ["show", path, "--recipe", recipe, "--json", "--out", tmp_path / "p.html",
           "--set", "data.pack=false"]  # fmt: skip
    documents = [
        [sum(d["number"] > 0 for d in row["documents"]) for row in json.loads(told)["rows"]]
        for told in (seesay(*how), seesay(*how, "--set", "data.captions=one"))
    ]
    assert set(documents[1]) == {1} and max(documents[0]) > 1


def test_addresses(seesay, tmp_path, recipe, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("SEESAY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a").mkdir()
    as_shards(tmp_path / "a", [{"caption": f"thing {i}"} for i in range(4)])
    for path in (tmp_path / "a").glob("*.tar"):
        name = f"memory://commands/{path.name}"
        fsspec.filesystem("memory").pipe_file(name, path.read_bytes())
    source = "memory://commands/*.tar"
    assert json.loads(seesay("check", source, "--json"))["pictures"] == 4
    assert json.loads(seesay("stats", source, "--recipe", recipe, "--json"))["examples"] == 4
    page = tmp_path / "page.html"
    told = json.loads(seesay("show", source, "--recipe", recipe, "--out", page, "--json"))
    assert "memory:///commands/train-00" in told["rows"][0]["origin"]
    assert seesay("convert", source, "--to", "jsonl", "--out", tmp_path / "out")
    assert seesay("split", source, "--out", tmp_path / "parts", "--dev", 0.25)
    assert sorted(p.name for p in (tmp_path / "parts").glob("*.tar")) == [
        "dev-00000.tar", "train-00000.tar"
    ]  # fmt: skip


# A bar on a terminal.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_and_none_elsewhere(monkeypatch):
    terminal, now = Terminal(), [100.0]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    seen = options.counting()
    for done in range(1, 11):
        now[0] += 1.0
        seen("pictures", done, 10)
    seen("rows", 1, None)
    lines = terminal.getvalue().replace("\x1b[K", "").replace("\n", "\r").split("\r")
    assert lines[5] == "████████████············ 5 of 10 pictures, 0:04 left"
    assert lines[10].startswith("█" * 24) and lines[-1] == "1 rows"
    monkeypatch.setattr(sys, "stderr", Terminal())
    options.counting(quiet=True)("pictures", 1, 2)
    assert sys.stderr.getvalue() == ""  # pyright: ignore
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    options.counting()("pictures", 1, 2)
    assert sys.stderr.getvalue() == ""  # pyright: ignore
