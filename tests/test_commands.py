"""The commands as a user runs them: train, resume, eval, ask, demo; and every mistake a user makes.

A mistake exits 2, says what, where and what to do, shows no traceback, leaves nothing half-written.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest
import tiny
from quick import quick  # noqa: F401 - used by every test
from train import runs

from seesay import cli
from seesay.model import checkpoint
from seesay.train import history, parallel

RECIPE = f"# The smallest model there is.\n{tiny.RECIPE}steps = 2\npreflight = 1\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return runs.pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "smallest.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, folder, recipe) -> Path:
    """A run made once; tests that spoil it copy it."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    arguments = ["train", "--data", str(folder), "--recipe", str(recipe), "--out", str(out)]
    assert cli.main([*arguments, "--quiet"]) == 0
    return out


@pytest.fixture
def seesay(capsys):
    """Run a command: what it printed. `code` is the exit code it must give."""

    def run(*tokens: object, code: int = 0) -> str:
        capsys.readouterr()
        got = cli.main([str(token) for token in tokens])
        shown = capsys.readouterr()
        assert got == code, shown.err
        assert "Traceback" not in shown.err
        if code == 2:
            before, _, said = f"\n{shown.err}".rpartition("\nseesay: ")
            assert shown.out == "" and said and "seesay: " not in before
            return said
        return shown.out

    return run


def one_object(text: str) -> dict:
    """The one JSON object that scores are printed as."""
    made = json.loads(text)
    assert made.keys() == {"scores", "controls", "slices"}
    for scores in (made["scores"], made["controls"], *made["slices"].values()):
        for score in scores.values():
            assert score.keys() == {"value", "low", "high", "n"}
            assert score["low"] <= score["value"] <= score["high"] and score["n"] > 0
    return made


# Training.


def with_texts(place: Path) -> list[str]:
    return ["--data", str(runs.pictures(place))]


def with_classes(place: Path) -> list[str]:
    for number, path in enumerate(sorted(runs.pictures(place / "all").glob("*.png"))):
        kind = place / "classes" / ("left", "right")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        path.rename(kind / path.name)
    return ["--data", str(place / "classes")]


def with_csv(place: Path) -> list[str]:
    rows = [f"{path.name},which colour?,{'red' if i % 2 else 'green'}" for i, path in
            enumerate(sorted(runs.pictures(place).glob("*.png")))]  # fmt: skip
    (place / "rows.csv").write_text("\n".join(["foto,question,reply", *rows]))
    named = ["--map", "image=foto", "answer=reply"]
    return ["--data", str(place / "rows.csv"), *named]


def with_dialogues(place: Path) -> list[str]:
    """LLaVA's layout: two or three questions a picture."""
    rows = []
    for number, path in enumerate(sorted(runs.pictures(place).glob("*.png"))):
        words = (place / f"{path.stem}.txt").read_text().split()
        asked = [("how many?", str(len(words))), ("left?", words[0]), ("right?", words[-1])]
        turns = [{"from": who, "value": text} for pair in asked[number % 2 :] for who, text in
                 zip(("human", "gpt"), pair, strict=True)]  # fmt: skip
        turns[0]["value"] = f"<image>\n{turns[0]['value']}"
        rows.append({"id": path.stem, "image": path.name, "conversations": turns})
    (place / "llava_train.json").write_text(json.dumps(rows))
    return ["--data", str(place / "llava_train.json")]


def with_boxes(place: Path) -> list[str]:
    """COCO's detection layout: a box of one of two things, of pictures in a folder beside."""
    folder = place / "train2017"
    paths = sorted(runs.pictures(folder).glob("*.png"))
    images = [{"id": i, "file_name": path.name} for i, path in enumerate(paths)]
    boxes = [{"image_id": i, "category_id": i % 2, "bbox": [8 * (i % 2), i % 8, 7, 6]}
             for i in range(len(paths))]  # fmt: skip
    named = [{"id": 0, "name": "bird"}, {"id": 1, "name": "fish"}]
    value = {"images": images, "annotations": boxes, "categories": named}
    (place / "annotations").mkdir()
    (place / "annotations" / "instances_train2017.json").write_text(json.dumps(value))
    return ["--data", str(place)]


@pytest.mark.parametrize(("layout", "score"), [
    (with_texts, "captions"), (with_classes, "classes"), (with_csv, "answers"),
    (with_dialogues, "replies"), (with_boxes, "boxes"),
])  # fmt: skip
def test_training_on_a_layout(tmp_path, seesay, recipe, layout, score):
    data, out = layout(tmp_path / "data"), tmp_path / "runs" / "mine"
    printed = seesay("train", *data, "--recipe", recipe, "--steps", 3, "--out", out, "--json")
    made = one_object(printed)
    assert score in made["scores"], made["scores"].keys()
    assert any(name.startswith(f"{score}_") for name in made["controls"])
    assert json.loads((out / "eval.json").read_text()) == made
    assert checkpoint.find(out).name == "00000003"
    assert [row["step"] for row in history(out)] == [1, 2, 3]
    card = (checkpoint.find(out) / "README.md").read_text()
    assert f"| {score} |" in card and "Not measured yet" not in card
    assert "<html" in (out / "report.html").read_text()
    left = {path.name for path in out.iterdir()}
    assert left == {"checkpoints", "log.jsonl", "eval.json", "report.html"}
    # The same data, measured again by its own command: other examples, the same scores.
    again = one_object(seesay("eval", out, *data, "--limit", 9, "--json"))
    assert again["scores"].keys() == made["scores"].keys()


def test_training_says_where_it_is_and_shows_a_table(tmp_path, folder, recipe, capsys):
    out = tmp_path / "run"
    asked = ["train", "--data", folder, "--recipe", recipe, "--out", out, "--dev", folder]
    assert cli.main([str(word) for word in asked]) == 0
    shown = capsys.readouterr()
    assert "captions" in shown.out and "95 % interval" in shown.out
    for word in (str(folder), "to measure on", "M parameters", "step 2", "report: "):
        assert word in shown.err


def test_of_several_processes_the_first_alone_talks(tmp_path, folder, recipe, capsys, monkeypatch):
    """What torchrun sets; that there is a second process does not matter to what is said."""
    monkeypatch.setattr(parallel, "join", lambda: parallel.Ranks(1, 2))
    monkeypatch.setenv("RANK", "1")
    asked = ["train", "--data", folder, "--recipe", recipe, "--out", tmp_path / "run"]
    assert cli.main([str(word) for word in asked]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "") and not (tmp_path / "run").exists()


def test_runs_are_numbered_where_no_folder_is_given(tmp_path, folder, recipe, seesay, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "001").mkdir(parents=True)
    seesay("train", "--data", folder, "--recipe", recipe, "--quiet")
    assert checkpoint.find("runs/002").name == "00000002"


def test_a_run_need_not_be_measured(tmp_path, folder, recipe, seesay):
    out = tmp_path / "run"
    asked = ("train", "--data", folder, "--recipe", recipe, "--out", out, "--no-eval")
    assert seesay(*asked, "--quiet") == ""
    assert checkpoint.find(out) and not (out / "eval.json").exists()
    assert seesay("train", "--resume", "--out", out, "--quiet", "--json")
    assert (out / "eval.json").exists()


def test_minutes_that_are_asked_for_go_before_steps_of_the_recipe(tmp_path, folder, recipe, seesay):
    out = tmp_path / "run"
    asked = ("train", "--data", folder, "--recipe", recipe, "--out", out, "--no-eval", "--quiet")
    seesay(*asked, "--minutes", "0.0001")
    stored = checkpoint.open_config(checkpoint.find(out))["recipe"]["train"]
    assert stored["minutes"] == 0.0001 and "steps" not in stored


def test_a_folder_with_a_run_is_not_overwritten(trained, folder, recipe, seesay):
    before = runs.state(trained)
    said = seesay("train", "--data", folder, "--recipe", recipe, "--out", trained, code=2)
    assert f"{trained}: this folder holds a run already" in said and "--resume" in said
    assert runs.differing(before, runs.state(trained)) == []


def test_a_checkpoint_is_no_run_to_go_on_with(tmp_path, trained, seesay):
    """Copied elsewhere under a name of its own, or where it lies."""
    lies, copied = checkpoint.find(trained), tmp_path / "best"
    shutil.copytree(lies, copied)
    for place, mend in ((copied, "copy it to RUN/checkpoints/00000002"), (lies, f"out {trained}")):
        said = seesay("train", "--resume", "--out", place, "--steps", 3, code=2)
        assert f"{place}: this is a checkpoint, not the folder of a run" in said and mend in said
        assert not (place / "checkpoints").exists() and not (place / "log.jsonl").exists()
    # What it says to do works.
    shutil.copytree(tmp_path / "best", tmp_path / "run" / "checkpoints" / "00000002")
    seesay("train", "--resume", "--out", tmp_path / "run", "--steps", 3, "--quiet")
    assert checkpoint.find(tmp_path / "run").name == "00000003"


def test_a_run_begins_with_another(tmp_path, trained, folder, seesay):
    """Its weights, its words and its architecture, and what LoRA adds; and it goes on alone."""
    source, out = tmp_path / "it's" / "光", tmp_path / "tuned"
    shutil.copytree(trained, source)
    made = ["--data", folder, "--steps", 2, "--set", "train.batch=4", "--set", "data.workers=0"]
    seesay("train", *made, "--from", source, "--set", "train.tune.method=lora",
           "--set", "train.tune.rank=2", "--out", out, "--quiet")  # fmt: skip
    recipes = [checkpoint.open_config(checkpoint.find(run))["recipe"] for run in (trained, out)]
    before, after = recipes
    assert after["model"]["init"] == {"all": str(source)}
    assert {**after["model"], "init": {}} == before["model"]
    shutil.rmtree(source)
    seesay("train", "--resume", "--out", out, "--steps", 3, "--quiet")
    assert checkpoint.find(out).name == "00000003"
    card = (checkpoint.find(out) / "README.md").read_text()
    assert "(`lora`, merged)" in card and str(source) in card
    seesay("ask", out, folder / "000.png")


def test_ctrl_c_saves_and_resume_goes_on(tmp_path, folder, recipe, seesay):
    """In a process of its own, as from a terminal: the whole group gets the signal."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "seesay", "train", "--data", str(folder), "--recipe",
               str(recipe), "--steps", "100000", "--out", str(out),
               "--set", "data.workers=2"]  # fmt: skip
    process = subprocess.Popen(
        command, env=runs.environment(), stderr=subprocess.PIPE, start_new_session=True
    )
    while not history(out) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    said = runs.finished(process, code=130)
    assert f"go on with: seesay train --resume --out {out}" in said and "Traceback" not in said
    step = int(checkpoint.find(out).name)
    assert step >= 1 and not (out / "eval.json").exists()

    seesay("train", "--resume", "--out", out, "--steps", step + 2, "--quiet")
    assert int(checkpoint.find(out).name) == step + 2
    assert [row["step"] for row in history(out)] == list(range(1, step + 3))
    assert (out / "eval.json").exists()


def test_pictures_that_do_not_decode_are_skipped_where_few(tmp_path, recipe, capsys):
    """Cut short, empty: training and measuring go on without them, and say so."""
    place = runs.pictures(tmp_path / "data")
    for name in ("003.png", "020.png"):
        (place / name).write_bytes((place / name).read_bytes()[:50])
    settings = ["--set", "data.limit_broken=0.1", "--steps", "12"]
    text = recipe.read_text().replace("image_size = 16\n", "")
    (tmp_path / "recipe.toml").write_text(text)
    asked = ["train", "--data", str(place), "--recipe", str(tmp_path / "recipe.toml"), *settings]
    assert cli.main([*asked, "--out", str(tmp_path / "run"), "--dev", str(place)]) == 0
    said = capsys.readouterr().err
    assert "skipped: " in said and "not measured on: " in said and "003.png" in said
    (place / "003.png").write_bytes(b"")
    assert cli.main([*asked, "--out", str(tmp_path / "again")]) == 0
    said = capsys.readouterr().err
    assert "1 broken rows left out" in said and "003.png" in said


def test_one_broken_picture_does_not_stop_batches_of_one(tmp_path, recipe, capsys):
    place = runs.pictures(tmp_path / "data", 12)
    (place / "003.png").write_bytes((place / "003.png").read_bytes()[:50])
    asked = ["train", "--data", str(place), "--recipe", str(recipe), "--set", "train.batch=1"]
    asked += ["--steps", "24", "--out", str(tmp_path / "run"), "--dev", str(place)]
    assert cli.main(asked) == 0
    assert "skipped: " in capsys.readouterr().err
    assert len(history(tmp_path / "run")) == 24


# Measuring and asking.


def test_eval_writes_a_report_and_changes_nothing_else(trained, folder, seesay, tmp_path):
    before = sorted(path for path in trained.rglob("*"))
    printed = seesay("eval", trained, "--data", folder, "--report", tmp_path / "r.html", "--quiet")
    assert "captions" in printed
    assert "<html" in (tmp_path / "r.html").read_text()
    assert sorted(path for path in trained.rglob("*")) == before
    once = seesay("eval", trained, "--data", folder, "--limit", 8, "--seed", 1, "--json")
    assert once == seesay("eval", trained, "--data", folder, "--limit", 8, "--seed", 1, "--json")
    assert one_object(once)["scores"]["captions"]["n"] == 8


def test_eval_on_drawn_pictures(trained, seesay):
    made = one_object(seesay("eval", trained, "--data", "scenes", "--limit", 20, "--json"))
    assert {"answers", "captions"} <= made["scores"].keys()
    boxed = one_object(seesay("eval", trained, "--data", "scenes:panels", "--limit", 9, "--json"))
    assert boxed["scores"].keys() == {"answers"} and boxed["scores"]["answers"]["n"] == 9
    assert {"boxes=towers", "boxes=strewn"} & boxed["slices"].keys()


def test_eval_asks_for_boxes_of_drawn_things(trained, seesay):
    asked = ["eval", trained, "--data", "scenes", "--task", "ground", "--limit", 6, "--json"]
    scores = one_object(seesay(*asked))["scores"]
    assert scores.keys() == {"boxes", "boxes_iou"} and scores["boxes"]["n"] == 6


def test_eval_behind_shots(tmp_path, trained, folder, seesay):
    """Made-up names, then a file's captions behind other ones."""
    asked = ["eval", trained, "--data", "scenes:bind", "--limit", 6, "--json", "--shots"]
    made = one_object(seesay(*asked, 1))
    assert made["scores"]["answers"]["n"] == 6 and "kind=bind" in made["slices"]
    assert {"answers_no_shots", "answers_shuffled_shots"} <= made["controls"].keys()
    assert "answers_no_shots" not in one_object(seesay(*asked, 0))["controls"]
    dev = runs.pictures(tmp_path / "dev", 6)
    shown = ["--data", folder, "--dev", dev, "--shots", 1, "--limit", 4, "--json"]
    made = one_object(seesay("eval", trained, *shown))
    assert "captions_no_shots" in made["controls"]
    named = ["--data", "scenes:named", "--dev", "scenes:named", "--shots", 1, "--limit", 4]
    made = one_object(seesay("eval", trained, *named, "--json"))
    assert made["scores"]["answers"]["n"] == 4 and "answers_no_shots" in made["controls"]
    told = seesay("eval", trained, *shown, "--retrieve", trained, code=2)
    assert "no common space" in told


def test_eval_as_another_task(tmp_path, trained, folder, capsys, seesay):
    """A model without vectors ranks pair by pair; it can tell no classes by templates."""
    assert cli.main(["eval", str(trained), "--data", str(folder), "--task", "retrieve"]) == 0
    shown = capsys.readouterr()
    rows = [line.split()[0] for line in shown.out.splitlines()]
    assert rows[:3] == ["score", "text_r1", "text_r5"] and "image_median_rank" in rows
    told = seesay("eval", trained, "--data", folder, "--task", "classify", code=2)
    assert "can be asked as 'classify'" in told and "--map label=NAME" in told
    told = seesay("eval", trained, "--data", folder, "--task", "retreive", code=2)
    assert "retrieve" in told
    classes = runs.pictures(tmp_path / "classes", 12)
    table = written(
        classes, "image,caption,label\n" + "".join(f"{i:03d}.png,x,{i % 2}\n" for i in range(12))
    )
    made = one_object(seesay("eval", trained, "--data", table, "--task", "classify", "--json"))
    assert made["scores"].keys() == {"classes"}
    told = seesay("eval", trained, "--data", table, "--task", "classify", "--templates", "a {}",
                  code=2)  # fmt: skip
    assert "embed" in told
    told = seesay("eval", trained, "--data", table, "--templates", tmp_path / "none", code=2)
    assert "has no {} for the class" in told


def test_eval_flags_by_a_threshold_from_other_data(tmp_path, trained, capsys):
    parts = []
    for name in ("test", "dev"):
        place = runs.pictures(tmp_path / name, 8)
        labels = "".join(f"{i:03d}.png,{('none', 'red')[i % 2]}\n" for i in range(8))
        parts.append(str(written(place, f"image,label\n{labels}")))
    asked = ["eval", str(trained), "--data", parts[0], "--task", "moderate", "--json"]
    assert cli.main(asked) == 0
    shown = capsys.readouterr()
    assert "moderate: flagged at 0.5: give other data (--dev)" in shown.err
    assert {"categories", "flag_ap"} <= one_object(shown.out)["scores"].keys()
    assert cli.main([*asked, "--dev", parts[1]]) == 0
    assert "the best F1 on 8 other examples" in capsys.readouterr().err


def test_eval_knows_every_task():
    from seesay.commands import eval as command
    from seesay.tasks import TASKS

    assert list(get_args(command.Task)) == list(TASKS)


def test_eval_leaves_out_what_is_broken_where_it_is_told_to(tmp_path, trained, capsys, seesay):
    place = runs.pictures(tmp_path / "data", 10)
    (place / "003.txt").write_text("")
    (place / "004.png").write_bytes((place / "004.png").read_bytes()[:50])
    told = seesay("eval", trained, "--data", place, code=2)
    assert "1 of 10 rows are broken" in told and "eval: --limit-broken 0.2" in told
    (place / "003.txt").write_text("red")
    told = seesay("eval", trained, "--data", place, "--quiet", code=2)
    assert "1 of 10 examples have pictures that cannot be read" in told and "data check" in told
    (place / "003.txt").write_text("")
    asked = ["eval", str(trained), "--data", str(place), "--limit-broken", "0.2", "--json"]
    assert cli.main(asked) == 0
    shown = capsys.readouterr()
    assert one_object(shown.out)["scores"]["captions"]["n"] == 8
    assert "left out: " in shown.err and "003" in shown.err and "004.png" in shown.err
    assert cli.main([*asked, "--quiet"]) == 0 and capsys.readouterr().err == ""
    told = seesay("eval", trained, "--data", place, "--limit-broken", "1.2", code=2)
    assert "--limit-broken" in told


def test_what_is_piped_has_no_broken_lines(tmp_path, trained, folder, seesay, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    long = "images/" + "picture" * 20 + ".png"
    source = written(tmp_path, f"image,caption\nimages/000.png,red\n{long},red\n")
    printed = seesay("data", "check", source)
    assert f"  {source}:3: no picture '{long}'\n" in printed
    scores = seesay("eval", trained, "--data", folder, "--quiet").splitlines()
    assert [line.split()[0] for line in scores] == [
        "score", "captions", "cider", "bleu4", "rouge_l"]  # fmt: skip


def test_exported_scenes_are_data(tmp_path, recipe, seesay):
    world, out = tmp_path / "world", tmp_path / "run"
    splits = ["--split", "train", "--split", "test"]
    seesay("scenes", "export", world, "--count", 12, *splits, "--resolution", 16)
    report = json.loads(seesay("data", "check", world / "train.jsonl", "--json"))
    assert report["broken"] == [] and report["tasks"] == {"vqa": 72, "caption": 12}
    data = ["--data", world / "train.jsonl", "--dev", world / "test.jsonl"]
    settings = ["--set", "data.row_tokens=96", "--set", "data.limit_broken=0.0"]
    seesay("train", *data, "--recipe", recipe, "--out", out, *settings, "--quiet")
    made = one_object(seesay("eval", out, "--data", world / "test.jsonl", "--json"))
    assert {"answers", "captions"} <= made["scores"].keys()
    assert made["scores"]["answers"]["n"] == 72 and made["scores"]["captions"]["n"] == 12


def test_a_model_says_its_reasoning_before_the_answer(tmp_path, recipe, capsys):
    picture, out = tmp_path / "images" / "000.png", tmp_path / "run"
    row = {"image": "images/000.png", "question": "same?", "reasoning": "red blue", "answer": "no"}
    source = written(tmp_path, json.dumps(row), "rows.jsonl")
    settings = ["--steps", 150, "--set", "train.learning_rate=0.01", "--quiet"]
    made = ["--data", source, "--dev", source, "--recipe", recipe, "--out", out, *settings]
    assert cli.main([str(each) for each in ["train", *made]]) == 0
    capsys.readouterr()
    assert cli.main(["ask", str(out), str(picture), "same?"]) == 0
    assert capsys.readouterr() == ("no\n", "reasoning: red blue\n")
    assert cli.main(["ask", str(out), str(picture), "same?", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reasoning"] == "red blue"


def test_ask_captions_and_answers(trained, folder, seesay):
    picture = folder / "001.png"
    caption = seesay("ask", trained, picture, "--max-tokens", 8)
    assert caption.endswith("\n") and caption.count("\n") == 1
    made = json.loads(seesay("ask", trained, picture, "which?", "--max-tokens", 8, "--json"))
    assert made["question"] == "which?" and 0 < made["probability"] <= 1
    assert made["reasoning"] == ""
    assert 1 <= len(made["token_log_probabilities"]) <= 8
    assert all(value <= 0 for value in made["token_log_probabilities"])
    made = json.loads(seesay("ask", trained, picture, "--max-tokens", 8, "--json"))
    assert made["question"] is None and made["answer"] == caption.strip()
    # A checkpoint's own folder is as good, and other ways of decoding answer too.
    again = seesay("ask", checkpoint.find(trained), picture, "--max-tokens", 8)
    assert again == caption
    seesay("ask", trained, picture, "--beams", 2, "--max-tokens", 4)
    drawn = ["ask", trained, picture, "--temperature", 1, "--top-p", 0.9, "--max-tokens", 4]
    assert seesay(*drawn, "--seed", 3) == seesay(*drawn, "--seed", 3)


def test_demo(tmp_path, seesay, monkeypatch):
    from seesay.commands import demo

    monkeypatch.setattr(demo, "SEEN", 3)
    monkeypatch.setattr(demo, "HELD_OUT", 2)
    monkeypatch.chdir(tmp_path)
    small = [
        "model.vision.image_size=16", "model.vision.width=16", "model.vision.depth=1",
        "model.vision.num_heads=2", "model.vision.stem_widths=[8, 8]",
        "model.vision.stem_residuals=[0, 0]", "model.text.width=16", "model.text.depth=1",
        "model.text.num_heads=2", "data.workers=0", "train.steps=2", "train.batch=2",
        "train.preflight=1", "train.check_memory=false",
    ]  # fmt: skip
    settings = [word for value in small for word in ("--set", value)]
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "notes.txt").write_text("mine")
    made = one_object(seesay("demo", *settings, "--json"))
    out = Path("runs/demo")
    assert json.loads((out / "eval.json").read_text()) == made
    left = {path.name for path in (out / "pictures").iterdir()}
    assert left == {"0.png", "1.png", "2.png"}  # also where nothing is said of them
    for name in ("answers", "captions", "matching", "answers_held_out"):
        assert name in made["scores"]
        assert any(control.startswith(f"{name}_") for control in made["controls"])
    # Again: the old one makes room, what is not its own stays, and there are pictures to ask about.
    assert "answers_held_out" in seesay("demo", *settings)
    assert (out / "notes.txt").exists()
    assert seesay("ask", out, out / "pictures" / "0.png", "--max-tokens", 3)
    wrong = seesay("demo", *settings, "--set", "model.text.widht=3", code=2)
    assert "did you mean 'width'?" in wrong and (out / "eval.json").exists()
    absurd = ("model.text.width=8192", "model.text.depth=200", "train.check_memory=true")
    large = [word for value in absurd for word in ("--set", value)]
    told = seesay("demo", *settings, *large, code=2)
    assert "TB of memory" in told and "width or depth" in told and (out / "eval.json").exists()


# Mistakes in the data.


def written(place: Path, text: str | bytes, name: str = "rows.csv") -> Path:
    place.mkdir(exist_ok=True)
    runs.pictures(place / "images", 3)
    for path in (place / "images").glob("*.txt"):
        path.unlink()
    data = text if isinstance(text, bytes) else text.encode()
    (place / name).write_bytes(data)
    return place / name


def cut_pictures(place: Path) -> Path:
    for path in runs.pictures(place).glob("*.png"):
        path.write_bytes(path.read_bytes()[:50])
    return place


def empty_pictures(place: Path) -> Path:
    for path in runs.pictures(place).glob("*.png"):
        path.write_bytes(b"")
    return place


def one_picture(place: Path) -> Path:
    return runs.pictures(place, 1)


ROW = {"image": "images/000.png", "caption": "red"}
DATA = {
    "missing": (lambda place: place / "none.csv", "none.csv: no such file", "no folder"),
    "mistyped": (
        lambda place: written(place, "image,caption\n").with_name("row.csv"),
        "row.csv: no such file", "did you mean 'rows.csv'?",
    ),
    "empty": (lambda place: written(place, ""), "rows.csv: empty: 0 bytes", "write"),
    "only a header": (lambda place: written(place, "image,caption\n"), "no rows", "write some"),
    "an empty folder": (
        lambda place: (place / "in").mkdir(parents=True) or place / "in",
        "no pictures and no tables", "needed: ",
    ),
    "wrong columns": (
        lambda place: written(place, "imgae,captoin\nimages/000.png,red\n"),
        "rows.csv: no picture column among 'imgae', 'captoin'", "image",
    ),
    "no text": (
        lambda place: written(place, "image,caption\nimages/000.png,\n"),
        "rows.csv:2: no caption", "mend",
    ),
    "wrong encoding": (
        lambda place: written(place, "image,caption\nimages/000.png,café\n".encode("latin-1")),
        "rows.csv:2: not UTF-8: byte 0xe9", "iconv",
    ),
    "outside": (
        lambda place: written(place, "image,caption\n../secret.png,red\n"),
        "rows.csv:2: '../secret.png' is outside of the data folder", "mend",
    ),
    "no such picture": (
        lambda place: written(place, "image,caption\nimages/999.png,red\n"),
        "rows.csv:2: no picture 'images/999.png'", "pictures are looked for in",
    ),
    "not json": (
        lambda place: written(place, f'{json.dumps(ROW)}\n{{"image"', "rows.jsonl"),
        "rows.jsonl:2: not JSON", "mend",
    ),
    "cut pictures": (cut_pictures, "none of 37 pictures looked at can be read", "data check"),
    "empty pictures": (empty_pictures, "000.png: an empty picture: 0 bytes", "mend"),
    "one picture": (one_picture, "1 picture is too few to train and to measure on", "--dev"),
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_trained_on(tmp_path, seesay, recipe, name):
    make, said, mend = DATA[name]
    source, out = make(tmp_path / "data"), tmp_path / "run"
    table = tmp_path / "recipe.toml"
    table.write_text(recipe.read_text().replace("image_size = 16\n", ""))
    told = seesay("train", "--data", source, "--recipe", table, "--out", out, code=2)
    assert said in told and str(source) in told
    assert mend in told.split("\n", 1)[1]
    assert not out.exists()


@pytest.mark.parametrize(("options", "said"), [
    (["--columns", "image=foto"], "no column 'foto' (for image)\n  known: image, caption"),
    (["--columns", "imag=image"], "'imag' is not what a column can be\n  did you mean 'image'?"),
    (["--columns", "image"], "--map: 'image' is not key=value"),
    (["--set", "train.step=3"], "unknown key 'train.step'\n  did you mean 'steps'?"),
    (["--set", "train.batch=many"], "'train.batch' is 'many'"),
    (["--set", "model.text.num_heads=3"], "which num_heads, 3, does not divide"),
    (["--set", "trian.steps=3"], "unknown key 'trian'\n  did you mean 'train'?"),
    (["--recipe", "none.toml"], "none.toml: no such recipe"),
    (["--dev", "none.csv"], "none.csv: no such file or folder"),
    (["--from", "none"], "none: this folder does not exist"),
    (["--set", "model.init=3"], "'model.init' is 3"),
    (["--from", "none", "--set", "model.init=3"], "'model.init' is 3"),
    (["--set", "train.parts=[{match='vison', rate=0}]"], "did you mean 'vision'?"),
    (["--set", "train.tune.method=lara"], "'train.tune.method' is 'lara'"),
    (["--set", "train.tune.rnk=4"], "unknown key 'train.tune.rnk'\n  did you mean 'rank'?"),
], ids=str)  # fmt: skip
def test_options_that_cannot_be(tmp_path, seesay, recipe, options, said):
    source = written(tmp_path, "image,caption\nimages/000.png,red\nimages/001.png,green\n")
    given = ["--recipe", recipe] if "--recipe" not in options else []
    out = tmp_path / "run"
    told = seesay("train", "--data", source, *given, *options, "--out", out, code=2)
    assert said in told and not out.exists()


def test_a_run_without_data_or_an_end(tmp_path, seesay, folder):
    assert "give --data or --recipe" in seesay("train", "--steps", 2, code=2)
    out = tmp_path / "run"
    assert "give --minutes or --steps" in seesay("train", "--data", folder, "--out", out, code=2)
    assert "does not exist" in seesay("train", "--resume", "--out", out, code=2)
    unnamed = seesay("train", "--resume", "--steps", 1, code=2)
    assert "--resume without --out" in unnamed and "say which run" in unnamed
    both = seesay("train", "--resume", "--from", "a", "--out", out, code=2)
    assert "--resume with --from" in both
    alone = seesay("train", "--columns", "image=a", "--steps", 1, "--out", out, code=2)
    assert "--map without --data" in alone and not out.exists()


def test_a_learning_rate_that_is_far_too_high_is_told(tmp_path, seesay, folder, recipe):
    out = tmp_path / "run"
    rates = ["--set", "train.adamw_learning_rate=1e30", "--set", "train.warmup=0.0"]
    asked = ["train", "--data", folder, "--recipe", recipe, "--steps", 9, "--out", out, *rates]
    told = seesay(*asked, "--set", "train.preflight=0", code=2)
    assert "bad_batch.safetensors: the loss is nan at step" in told and "learning_rate" in told
    assert (out / "bad_batch.safetensors").exists() and not (out / "eval.json").exists()
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.find(out)


# Mistakes with a model.


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def version(path: Path) -> None:
    path.write_text(path.read_text().replace('"seesay": 1,', '"seesay": 99,'))


CHECKPOINTS = {
    "half-written": (lambda made: (made / "config.json").unlink(), "holds no finished checkpoint"),
    "tampered": (lambda made: cut(made / "model.safetensors"), "is not what was saved"),
    "other version": (lambda made: version(made / "config.json"), "version 99, this Seesay reads"),
    "no tokenizer": (lambda made: (made / "tokenizer.json").unlink(), "tokenizer.json is missing"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_that_are_not_whole(tmp_path, trained, folder, seesay, name):
    spoil, said = CHECKPOINTS[name]
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    spoil(checkpoint.find(out))
    for asked in (
        ["ask", out, folder / "000.png"],
        ["eval", out, "--data", folder],
        ["train", "--resume", "--out", out, "--steps", 9],
    ):
        told = seesay(*asked, code=2)
        assert said in told and str(out) in told and "\n  " in told


def test_a_resume_state_that_is_cut_short(tmp_path, trained, seesay):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    cut(checkpoint.find(out) / "resume" / "state.safetensors")
    told = seesay("train", "--resume", "--out", out, "--steps", 9, code=2)
    assert "state.safetensors: not a whole safetensors file" in told
    assert checkpoint.find(out).name == "00000002"


@pytest.mark.parametrize(("name", "data", "said"), [
    ("none.png", None, "No such file"),
    ("empty.png", b"", "empty"),
    ("page.png", b"<html>404</html>", "web page"),
    ("cut.png", "cut", "truncated"),
    ("folder.png", "folder", "folder"),
])  # fmt: skip
def test_pictures_that_cannot_be_asked_about(tmp_path, trained, folder, seesay, name, data, said):
    path = tmp_path / name
    if data == "folder":
        path.mkdir()
    elif data is not None:
        path.write_bytes((folder / "000.png").read_bytes()[:50] if data == "cut" else data)
    told = seesay("ask", trained, path, code=2)
    assert str(path) in told and said in told


def test_a_question_longer_than_the_context(trained, folder, seesay):
    told = seesay("ask", trained, folder / "000.png", "why " * 500, code=2)
    assert "more than the 96 of the model's context" in told and "shorten the question" in told


def test_eval_of_data_that_is_not_there(trained, seesay, tmp_path):
    told = seesay("eval", trained, "--data", tmp_path / "no.csv", "--report", tmp_path / "r.html",
                  code=2)  # fmt: skip
    assert "no.csv: no such file" in told and not (tmp_path / "r.html").exists()
