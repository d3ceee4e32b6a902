"""The house: layers, sizes, names, commands and pages are what the README and the docs say."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import seesay
from seesay import cli

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "seesay"
FILES = sorted(SOURCE.rglob("*.py"))
README = ROOT / "README.md"
LONGEST = 500
TARGETS = ("install", "demo", "test", "check", "test-slow", "bench", "docs", "clean", "help")


def relative(file: Path) -> str:
    return file.relative_to(SOURCE).as_posix()


def test_imports_go_down_only():
    program = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 kept, 0 broken" in ran.stdout


def test_torchvision_is_not_installed():
    assert importlib.util.find_spec("torchvision") is None


def imported(file: Path) -> set[str]:
    """The packages a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_a_source_file(file):
    """It says what it is, is not too long, and keeps off torchvision and what brings it."""
    text = file.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{relative(file)} has no docstring"
    assert len(text.splitlines()) <= LONGEST
    assert not imported(file) & {"torchvision", "timm", "open_clip", "pickle"}


def test_exported_names_are_there():
    for name in getattr(seesay, "__all__", ()):
        assert getattr(seesay, name) is not None


def test_the_version_is_the_packages():
    assert seesay.__version__ == importlib.metadata.version("seesay")


@pytest.mark.parametrize("words", cli.COMMANDS)
def test_a_command_resolves_and_explains_itself(words, capsys):
    assert cli.main([*words.split(), "--help"]) == 0
    shown = capsys.readouterr()
    assert f"seesay {words}" in shown.out and shown.err == ""


@pytest.mark.parametrize("words", cli.COMMANDS)
def test_every_option_of_a_command_is_explained(words):
    app = cli.build()
    for word in words.split():
        app = app[word]
    for argument in app.assemble_argument_collection(parse_docstring=True):
        assert argument.parameter.help, f"{words}: {argument.name} has no help"


def test_the_makefile_has_its_targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(TARGETS) <= set(re.findall(r"^([a-z-]+):.*## ", text, flags=re.M))


def test_ci_is_make_check_test():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make check test" in script.read_text(encoding="utf-8")


def test_no_path_or_registry_of_a_machine():
    """Nothing committed points at the machine it was written on."""
    found = re.compile(r"/(?:home|media|mnt|opt|root|srv|work)/|index-url\s*=")
    kept = [*ROOT.glob("*.toml"), *ROOT.glob("*.md"), ROOT / "Makefile", ROOT / ".ci" / "run"]
    for file in [*kept, *FILES]:
        text = file.read_text(encoding="utf-8")
        assert not found.search(text) and str(ROOT) not in text, file


@pytest.mark.skipif(README.stat().st_size == 0, reason="README is not written yet")
@pytest.mark.parametrize(
    "file", [file for file in FILES if relative(file).count("/") == 0 or file.stem[0] != "_"],
    ids=relative,
)  # fmt: skip
def test_the_readme_lists_a_file(file):
    """As `folder/name.py`, in backquotes, on a line that says more."""
    lines = [line for line in README.read_text(encoding="utf-8").splitlines()
             if f"`{relative(file)}`" in line]  # fmt: skip
    assert any(len(line) > len(relative(file)) + 10 for line in lines), relative(file)


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda r: r.name)
def test_a_recipe_begins_with_a_comment(recipe):
    assert recipe.read_text(encoding="utf-8").startswith("#")


def test_the_commands_page_is_current():
    page = ROOT / "docs" / "commands.md"
    if not page.exists():
        pytest.skip("docs/commands.md is not made yet")
    spec = importlib.util.spec_from_file_location("commands_page", ROOT / "docs" / "commands.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert page.read_text(encoding="utf-8") == module.page(), "run `make docs`"
