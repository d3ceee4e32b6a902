"""Videos from end to end: trained on, measured with controls of motion, asked about, exported."""

import json
from pathlib import Path

import pytest
import tiny
from data import films
from quick import quick  # noqa: F401 - used by every test

from seesay import cli

RECIPE = f"# Small.\n{tiny.RECIPE}steps = 3\npreflight = 1\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A table of films, folders of frames and a picture."""
    folder = tmp_path_factory.mktemp("films")
    rows = []
    for number in range(8):
        name = f"{number}.mkv" if number % 2 else f"frames{number}"
        if number % 2:
            films.film(folder / name, frames=6 + number)
        else:
            films.folder(folder / name, frames=6 + number)
        rows.append({"video": name, "question": "what grows?", "answer": "a bar"})
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "small.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def trained(data, recipe, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "trained"
    sets = ["data.video.frames=4", "model.time.kind=learned", "model.time.pool=2"]
    more = [token for one in sets for token in ("--set", one)]
    told = ["train", "--data", data, "--recipe", recipe, "--out", out, "--quiet", *more]
    assert cli.main([str(token) for token in told]) == 0
    return out


@pytest.fixture
def seesay(capsys):
    """Run a command: what it printed, or what it said where it must fail."""

    def run(*tokens: object, code: int = 0) -> str:
        capsys.readouterr()
        assert cli.main([str(token) for token in tokens]) == code
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return shown.err if code else shown.out

    return run


def test_a_run_on_videos_has_controls_of_motion(trained, data, seesay):
    stored = json.loads((trained / "eval.json").read_text())
    kinds = {"answers_one_frame", "answers_shuffled_frames", "answers_blank"}
    assert kinds <= stored["controls"].keys()
    assert (trained / "report.html").stat().st_size > 1000
    made = json.loads(seesay("eval", trained, "--data", data, "--limit", 4, "--json", "--quiet"))
    assert made["scores"]["answers"]["n"] == 4
    assert {name for name in kinds} <= made["controls"].keys()


def test_a_model_is_asked_about_a_video(trained, data, tmp_path, seesay):
    for path in ("1.mkv", "frames0"):
        made = json.loads(seesay("ask", trained, data / path, "what grows?", "--json"))
        assert made["question"] == "what grows?"
    (tmp_path / "empty").mkdir()
    assert "no video: 0 frames in it" in seesay("ask", trained, tmp_path / "empty", code=2)
    (tmp_path / "cut.mkv").write_bytes((data / "1.mkv").read_bytes()[:400])
    assert "cut.mkv: " in seesay("ask", trained, tmp_path / "cut.mkv", code=2)


def test_rows_that_are_no_videos_stop_a_run_with_numbers(data, recipe, tmp_path, seesay):
    """Cut short, without a frame, and no video at all."""
    (tmp_path / "cut.mkv").write_bytes((data / "1.mkv").read_bytes()[:400])
    films.film(tmp_path / "none.avi", frames=0)
    (tmp_path / "web.mp4").write_text("<html>404</html>")
    rows = [{"video": name, "caption": "x"} for name in ("cut.mkv", "none.avi", "web.mp4")]
    table = tmp_path / "rows.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "run"
    said = seesay("train", "--data", table, "--recipe", recipe, "--out", out, "--quiet", code=2)
    assert "3 of 3 rows are broken (100.0%); the limit is 5.0%" in said
    assert "rows.jsonl:1: a video that cannot be read: " in said
    assert "0 frames in it; 1 is the least" in said and "looks like a web page" in said
    assert not out.exists()


def test_films_are_trained_on_measured_and_exported(recipe, tmp_path, seesay):
    out = tmp_path / "run"
    sets = ["data.sources.0.path=scenes", "data.sources.0.frames=6", "data.row_tokens=256",
            "model.text.context=256", "model.time.kind=sines"]  # fmt: skip
    path = tmp_path / "films.toml"
    path.write_text(recipe.read_text() + '[[data.sources]]\npath = "scenes"\n')
    more = [token for one in sets for token in ("--set", one)]
    seesay("train", "--recipe", path, "--out", out, "--quiet", "--no-eval", *more)
    made = json.loads(
        seesay("eval", out, "--data", "scenes:motion", "--limit", 12, "--json", "--quiet")
    )
    assert {"answers", "captions"} <= made["scores"].keys()
    assert "answers_one_frame" in made["controls"]
    told = seesay("scenes", "export", tmp_path / "films", "--count", 2, "--frames", 6,
                  "--objects", "1-3", "--json")  # fmt: skip
    assert json.loads(told) == {"videos": 2, "captions": 2, "questions": 12}
    assert len(list((tmp_path / "films" / "videos" / "000001").iterdir())) == 6
    said = seesay("scenes", "export", tmp_path / "few", "--frames", 3, code=2)
    assert "a film of 3 frames cannot be drawn: 6 is the least" in said
    assert not (tmp_path / "few").exists()
