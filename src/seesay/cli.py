"""The command line: command -> "module:function", and what errors look like.

Results go to standard output; progress, logs and errors to standard error. Exit codes: 0 done, 1 an
unexpected failure (for `doctor`, a machine that cannot run; for `compare`, a run that failed), 2 a
mistake the user can mend, 130 stopped by Ctrl-C, 141 the reader of our output went away.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from seesay import __version__
from seesay.errors import SeesayError

# command -> (where its function is, what it does). A module is imported when its command runs, so
# that `seesay --help` stays quick; "data check" is the command `check` of the group `data`.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "seesay.commands.demo:demo",
        "Train a model from nothing on the built-in world, measure it, and show it.",
    ),
    "train": ("seesay.commands.train:train", "Train a model on your own pictures and text."),
    "ask": ("seesay.commands.ask:ask", "Caption a picture, or answer a question about it."),
    "eval": (
        "seesay.commands.eval:evaluate",
        "Score a model on a data set, beside its blind controls.",
    ),
    "compare": (
        "seesay.commands.compare:compare",
        "Train several recipes on the same budget, and compare them on the same examples.",
    ),
    "bootstrap": (
        "seesay.commands.bootstrap:bootstrap",
        "Weed the captions of a data set by a model, and add those it makes and trusts.",
    ),
    "recipes": (
        "seesay.commands.recipes:recipes",
        "List the recipes that come with Seesay: what they are, what they cost and reached.",
    ),
    "describe": (
        "seesay.commands.describe:describe",
        "Draw a recipe's model part by part, with what it costs to train and to ask.",
    ),
    "data check": (
        "seesay.commands.data:check",
        "Count, measure and preview a data set, and name what is broken in it.",
    ),
    "scenes export": (
        "seesay.commands.scenes:export",
        "Write pictures and text of the built-in world to a folder.",
    ),
    "doctor": ("seesay.commands.doctor:doctor", "Say what this machine has and what it lacks."),
}

GROUPS = {"data": "Look at data before training on it.", "scenes": "The built-in world."}

# Long and heavy on memory: worth starting anew with the allocator tuned.
TUNED = ("demo", "train", "eval", "compare")

# Options that take several values of this form after one another.
SEVERAL = ("--map", "--columns")

# The conventional code of a program that a closed pipe has ended: 128 + SIGPIPE.
BROKEN_PIPE = 141


def build() -> App:
    """The command tree of `COMMANDS`, with no command imported yet."""
    app = App(
        name="seesay",
        help="Look at a picture and speak: train, measure, explain, serve vision-language models.",
        help_epilogue="Every command takes `--help`, and `--debug` for the traceback of an error.",
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=_shown),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    groups: dict[str, App] = {}
    for place, (words, (path, text)) in enumerate(COMMANDS.items()):
        *group, name = words.split()
        for new in set(group) - set(groups):
            groups[new] = App(name=new, help=GROUPS[new], sort_key=place)
            app.command(groups[new])
        parent = groups[group[0]] if group else app
        parent.command(path, name=name, help=text, sort_key=place)
    return app


def _shown(default: object) -> str | None:
    """How `--help` shows a default; not at all where there is none and for a flag."""
    return None if default is None or default is False else str(default)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the program on `tokens` (default: the command line's) and return its exit code."""
    started_as_program = tokens is None
    given = list(sys.argv[1:] if tokens is None else tokens)
    given, debug = _take_debug(spread(given))
    if started_as_program:
        _prepare(given, debug=debug)
    try:
        code = build()(given, exit_on_error=False, print_error=False)
        sys.stdout.flush()  # Here, so that a closed pipe is noticed inside this `try`.
        return code if isinstance(code, int) else 0
    except Exception as error:
        if debug and not isinstance(error, BrokenPipeError):
            traceback.print_exc()
        return _report(error, debug=debug)
    except KeyboardInterrupt:
        _say("stopped")
        return 130


def spread(tokens: Sequence[str]) -> list[str]:
    """`--map a=b c=d photos.csv` as `--map a=b --map c=d photos.csv`."""
    found: list[str] = []
    option = ""
    for token in tokens:
        if token in SEVERAL:
            option = token
        elif token.startswith("-") or "=" not in token:
            option = ""
        elif option and found[-1] != option:
            found.append(option)
        found.append(token)
    return found


def _take_debug(tokens: list[str]) -> tuple[list[str], bool]:
    """Remove `--debug` wherever it stands before a `--`."""
    end = tokens.index("--") if "--" in tokens else len(tokens)
    kept = [token for token in tokens[:end] if token != "--debug"]
    return kept + tokens[end:], len(kept) < end


def _prepare(tokens: list[str], *, debug: bool) -> None:
    if tokens[:1] and tokens[0] in TUNED and not {"--help", "-h"} & set(tokens):
        from seesay.machine import reexec_with_tunables

        reexec_with_tunables()
    if not debug:
        warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"


def _report(error: Exception, *, debug: bool) -> int:
    """Tell the user of an error and return the exit code."""
    if isinstance(error, BrokenPipeError):
        _silence_stdout()
        return BROKEN_PIPE
    if isinstance(error, SeesayError):
        _say(str(error))
        return 2
    if isinstance(error, CycloptsError):
        _say(f"{error}\n  see `{_command_of(error)} --help`")
        return 2
    hint = "" if debug else "\n  run again with --debug for the traceback"
    _say(f"unexpected {type(error).__name__}: {error}{hint}")
    return 1


def _command_of(error: CycloptsError) -> str:
    return " ".join(("seesay", *(error.command_chain or ())))


def _say(text: str) -> None:
    print(f"seesay: {text}", file=sys.stderr)


def _silence_stdout() -> None:
    """Python flushes standard output as it ends, which would raise again on a closed pipe."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # Standard output is not a file, as under a test.
        pass
