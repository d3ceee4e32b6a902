"""Write docs/commands.md: what `--help` says, for every command (`make docs`)."""

import io
from pathlib import Path

from rich.console import Console

from seesay.cli import COMMANDS, build

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 100

HEAD = """# Commands

Written by `make docs` from each command's `--help`; a test holds it current. Results go to standard
output, progress and errors to standard error. Exit codes: 0 done, 1 an unexpected failure (of
`compare`: a run that failed), 2 a mistake you can mend, 130 stopped by Ctrl-C.
"""


def page() -> str:
    """The whole page as Markdown."""
    sections = [_section("seesay", []), *(_section(f"seesay {c}", c.split()) for c in COMMANDS)]
    return "\n".join([HEAD, *sections])


def _section(title: str, tokens: list[str]) -> str:
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, force_terminal=False)
    build().help_print(tokens, console=console)
    lines = "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip()
    return f"## {title}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
