"""The command line: what goes where, exit codes, no traceback unasked, nothing heavy imported."""

import dataclasses
import json
import os
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from cyclopts import App

from seesay import __version__, cli
from seesay.commands.options import pairs, plain, print_json, span
from seesay.errors import DataError, RecipeError

HEAVY = ("torch", "numpy", "pydantic", "pyarrow", "PIL", "matplotlib", "tokenizers", "transformers")


@pytest.fixture
def command(monkeypatch):
    """Make `seesay try` run the given function."""

    def install(function) -> None:
        app = App(name="seesay", result_action="return_value", suppress_keyboard_interrupt=False)
        app.command(function, name="try")
        monkeypatch.setattr(cli, "build", lambda: app)

    return install


def raising(error: BaseException):
    def function() -> None:
        raise error

    return function


def python(*arguments: str) -> str:
    """What a fresh interpreter prints."""
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return ran.stdout


# What comes out.


def test_help_lists_every_command_and_version_says_it(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert all(words.split()[0] in shown.out for words in cli.COMMANDS)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_no_command_shows_the_help(capsys):
    assert cli.main([]) == 0
    assert "doctor" in capsys.readouterr().out


@pytest.mark.parametrize("tokens", ["['--help']", "['--version']", "['train', '--help']"])
def test_help_imports_nothing_heavy(tokens):
    program = f"""
import sys
from seesay.cli import main
assert main({tokens}) == 0
print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr.split()) == (0, [])


def test_importing_seesay_imports_nothing_heavy():
    program = f"import sys, seesay; print(*(n for n in {HEAVY} if n in sys.modules))"
    assert python("-c", program).split() == []


def test_python_m_seesay_is_the_program():
    assert python("-m", "seesay", "--version").strip() == __version__


def test_a_command_gives_the_exit_code(command):
    command(lambda: 1)
    assert cli.main(["try"]) == 1
    command(lambda: None)
    assert cli.main(["try"]) == 0


# Errors.


def test_a_users_mistake_is_told_without_traceback(command, capsys):
    command(raising(DataError("no rows", where="a.csv:3", fix="write some")))
    assert cli.main(["try"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "seesay: a.csv:3: no rows\n  write some\n")


@pytest.mark.parametrize("error", [DataError("no rows"), ValueError("what")])
def test_debug_shows_the_traceback(command, capsys, error):
    command(raising(error))
    plain_code = cli.main(["try"])
    assert "Traceback" not in capsys.readouterr().err
    assert cli.main(["try", "--debug"]) == plain_code
    assert "Traceback" in capsys.readouterr().err
    assert cli.main(["--debug", "try"]) == plain_code
    assert "Traceback" in capsys.readouterr().err


def test_debug_after_two_dashes_is_an_argument(command):
    given: list[str] = []

    def function(text: str) -> None:
        given.append(text)

    command(function)
    assert cli.main(["try", "--", "--debug"]) == 0
    assert given == ["--debug"]


def test_the_unexpected_is_short_and_points_to_debug(command, capsys):
    command(raising(ZeroDivisionError("by zero")))
    assert cli.main(["try"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("seesay: unexpected ZeroDivisionError: by zero\n")
    assert "--debug" in shown.err


def test_ctrl_c_is_130(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert cli.main(["try"]) == 130
    assert capsys.readouterr().err == "seesay: stopped\n"


def test_a_closed_pipe_is_quiet(command, capsys):
    command(raising(BrokenPipeError()))
    assert cli.main(["try", "--debug"]) == cli.BROKEN_PIPE
    assert capsys.readouterr().err == ""


PRINTING = """
import sys
from cyclopts import App
from seesay import cli
cli.build = lambda: App(default_command=lambda: print("result"), result_action="return_value")
sys.exit(cli.main([]))
"""


def test_a_closed_pipe_is_quiet_to_the_end():
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-c", PRINTING]
    ran = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (cli.BROKEN_PIPE, "")


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        (["trian"], 'Did you mean "train"'),
        (["train", "--mintues", "3"], "--mintues"),
        (["train", "--minutes", "soon"], "soon"),
        (["train", "--minutes", "-1"], "-1"),
        (["data", "chek", "x"], 'Did you mean "check"'),
        (["data", "check"], "SOURCE"),
        (["scenes", "export", "x", "--split", "trane"], "trane"),
    ],
)
def test_mistyped_commands_exit_2(tokens, named, capsys):
    assert cli.main(tokens) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert named in shown.err and "--help" in shown.err and "Traceback" not in shown.err


def test_warnings_are_one_line(monkeypatch, capsys):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    cli._prepare(["doctor"], debug=False)
    assert warnings.formatwarning("slow", UserWarning, "f.py", 1) == "warning: slow\n"


def test_long_commands_start_anew_with_tunables_but_not_for_help(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    called: list[bool] = []
    monkeypatch.setattr("seesay.machine.reexec_with_tunables", lambda: called.append(True))
    cli._prepare(["train", "--help"], debug=False)
    cli._prepare(["doctor"], debug=False)
    cli._prepare([], debug=False)
    assert called == []
    cli._prepare(["train", "--data", "x"], debug=False)
    assert called == [True]


def test_tuned_commands_exist():
    assert set(cli.TUNED) <= set(cli.COMMANDS)


# Commands that are only options and printing.


def test_data_check_prints_json_on_stdout(tmp_path, capsys):
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("foto,question,answer\na.png,which colour?,red\n")
    table = str(tmp_path / "t.csv")
    assert cli.main(["data", "check", table, "--columns", "image=foto", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["examples"] == 1
    assert cli.main(["data", "check", table, "--columns", "image=foto"]) == 0
    assert "t.csv" in capsys.readouterr().out
    assert cli.main(["data", "check", table, "--columns", "foto"]) == 2
    assert "--map" in capsys.readouterr().err


def test_map_takes_several_after_one_another(tmp_path, capsys):
    from seesay.commands import options

    assert get_args(options.Columns)[1].name == cli.SEVERAL
    assert cli.spread("x --map a=b c=d --set z=1 q=2 --map e=f y".split()) == (
        "x --map a=b --map c=d --set z=1 q=2 --map e=f y".split()
    )
    assert cli.spread("--columns a=b x c=d --map".split()) == "--columns a=b x c=d --map".split()
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("foto,frage,antwort\na.png,which colour?,red\n")
    table, pairs = str(tmp_path / "t.csv"), ["image=foto", "question=frage", "answer=antwort"]
    assert cli.main(["data", "check", "--map", *pairs, table, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == {"vqa": 1}


def test_scenes_export_writes_what_it_says(tmp_path, capsys):
    folder = tmp_path / "world"
    asked = ["--count", "3", "--split", "dev", "--split", "test", "--objects", "2", "--json"]
    assert cli.main(["scenes", "export", str(folder), *asked]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 6
    assert {path.name for path in folder.iterdir()} == {"images", "dev.jsonl", "test.jsonl"}
    assert cli.main(["scenes", "export", str(folder)]) == 2
    assert "empty" in capsys.readouterr().err


def test_the_options_of_scenes_are_the_worlds():
    from seesay.commands import scenes
    from seesay.scenes import world

    assert get_args(scenes.Split) == world.SPLITS
    assert get_args(scenes.Language) == world.LANGUAGES


# Options.


def test_pairs():
    assert pairs(["a.b=c", "d=e=f", " g = "], option="--set") == {"a.b": "c", "d": "e=f", "g": " "}
    assert pairs(None, option="--set") == {}


@pytest.mark.parametrize("values", [["a"], ["=b"], ["a=1", "a=2"]])
def test_pairs_that_are_none(values):
    with pytest.raises(RecipeError, match="--set"):
        pairs(values, option="--set")


def test_span():
    assert span("1-6", option="--objects") == (1, 6)
    assert span("3", option="--objects") == (3, 3)


@pytest.mark.parametrize("text", ["", "6-1", "a-b", "1-", "-3", "1.5"])
def test_spans_that_are_none(text):
    with pytest.raises(RecipeError, match="--objects"):
        span(text, option="--objects")


@dataclasses.dataclass
class Shape:
    name: str
    sizes: tuple[float, ...]


def test_json_of_what_results_are_made_of(capsys):
    result = {
        "shape": Shape("红", (1.5, float("nan"), float("inf"))),
        Path("a/b"): Path("c/d"),
        "numbers": [np.float32(0.5), np.arange(2), None, True],
        "read_only": types.MappingProxyType({"a": {1}}),
    }
    print_json(result)
    text = capsys.readouterr().out
    assert "红" in text
    assert json.loads(text) == {
        "shape": {"name": "红", "sizes": [1.5, None, None]},
        "a/b": "c/d",
        "numbers": [0.5, [0, 1], None, True],
        "read_only": {"a": [1]},
    }
    assert plain(True) is True
