"""The pages say what is so: every command parses, every key, kind and column name stands there."""

import dataclasses
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from seesay import cli, config, footage, tuning, views
from seesay.data import columns, decode, folders, video
from seesay.errors import SeesayError
from seesay.model import checkpoint
from seesay.scenes import SPLITS, language, questions, watching

ROOT = Path(__file__).parents[1]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
SECTIONS = {
    "[model]": config.ModelConfig,
    "[model.vision]": config.VisionConfig,
    "[model.connector]": config.ConnectorConfig,
    "[model.time]": footage.TimeConfig,
    "[model.text]": config.TextConfig,
    "[model.head]": views.HeadConfig,
    "[data]": config.DataConfig,
    "[data.video]": footage.VideoConfig,
    "[[data.sources]]": config.SourceConfig,
    "[[data.stages]]": config.StageConfig,
    "[train]": config.TrainConfig,
    "[[train.parts]]": tuning.PartConfig,
    "[train.tune]": tuning.TuneConfig,
    "[train.teacher]": tuning.TeacherConfig,
    "[train.self_distill]": views.SelfDistillConfig,
}
PARTS = tuple(SECTIONS.values())


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


# Recipes.


def keys(heading: str) -> dict[str, str]:
    """Key -> default, of the table under a heading."""
    _, _, rest = page("recipes.md").partition(f"## {heading}\n")
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.M)[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section, flags=re.M)
    assert len(rows) == len(dict(rows)), f"a key stands twice under {heading}"
    return dict(rows)


def written(default: object) -> str:
    """A default as the page writes it."""
    if default is dataclasses.MISSING:
        return "required"
    if default == (config.SourceConfig(),):
        return '`[{path = "scenes"}]`'
    return "–" if default is None else f"`{toml(default)}`"


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict) and value:
        return f"{{{', '.join(f'{key} = {toml(each)}' for key, each in value.items())}}}"
    return str(value)


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_of_a_recipe_has_its_default(heading):
    expected = {}
    for field in dataclasses.fields(SECTIONS[heading]):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if type(default) not in PARTS:  # those have sections of their own
            expected[field.name] = written(default)
    assert keys(heading) == expected


def blocks(text: str, *kinds: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(kinds)})\n(.*?)^```", text, flags=re.M | re.S)


def test_the_recipes_shown_are_recipes():
    shown = blocks(page("recipes.md"), "toml")
    assert shown
    for text in shown:
        config.recipe(tomllib.loads(text))


# Commands.


def shown_commands() -> list[str]:
    """Every `seesay …` of the pages' shell blocks, alone or under another program."""
    found = []
    for path in PAGES:
        for block in blocks(path.read_text(encoding="utf-8"), "bash", "console"):
            lines = (line.removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines())
            found += [f"{path.name}: {line}" for line in lines if re.search(r"\bseesay\b", line)]
    return sorted(set(found))


@pytest.mark.parametrize("shown", shown_commands())
def test_a_command_shown_is_one(shown):
    words = shlex.split(shown.partition(": ")[2], comments=True)
    tokens = words[next(i for i, word in enumerate(words) if Path(word).name == "seesay") + 1 :]
    tokens, app = cli.spread(tokens), cli.build()
    command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)[:3]
    if "--help" in tokens:
        return
    assert f"{command.__module__}:{command.__name__}" in {path for path, _ in cli.COMMANDS.values()}
    config.recipe(config.override(SKELETON, bound.arguments.get("set_") or ()))


SKELETON = {"data": {"sources": [{"path": "scenes"}]}}


def test_a_key_that_is_none_is_noticed():
    with pytest.raises(SeesayError, match="unknown key"):
        config.recipe(config.override(SKELETON, ["train.minuts=1"]))


def test_both_readmes_show_the_same_commands():
    english, chinese = (ROOT / "README.md", ROOT / "README.zh.md")
    lines = [
        [line.partition("#")[0].strip() for block in blocks(text, "bash")
         for line in block.splitlines()]
        for text in (path.read_text(encoding="utf-8") for path in (english, chinese))
    ]  # fmt: skip
    assert lines[0] == lines[1]


# What else the pages list.


def test_data_lists_every_column_name_and_ending():
    text = page("data.md")
    for role, names in columns.ROLES.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{role}` |"))
        assert re.findall(r"`([^`]+)`", row) == [role, *names]
    for ending in folders.READERS:
        assert f"`{ending}`" in text
    for format in (*decode.FORMATS, *(ending[1:].upper() for ending in video.EXTENSIONS)):
        assert format.replace("WEBM", "WebM").replace("M4V", "MP4") in text


def test_scenes_lists_every_kind_style_and_split():
    text = page("scenes.md")
    for name in (*questions.KINDS, *language.STYLES, *watching.FILM_KINDS):
        assert f"\n| `{name}` |" in text, name
    for split in SPLITS:
        assert f"`{split}`" in text


def test_checkpoint_lists_every_file():
    text = page("checkpoint.md")
    for name in checkpoint.SEALED:
        assert f"| `{name}` ✓ |" in text
    assert f"reads: {checkpoint.VERSION}." in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    """Pictures aside: they are made by hand, after everything else."""
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_anchors_are_headings(path):
    text = path.read_text("utf-8")
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
        there = (path.parent / target).read_text("utf-8") if target else text
        headings = re.findall(r"^#+ (.+)$", there, flags=re.M)
        made = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
        assert anchor in made, anchor
