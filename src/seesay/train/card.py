"""The model card: what a checkpoint was made of and what it scores, for its README.md."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seesay import __version__, config
from seesay.model import adapt

if TYPE_CHECKING:
    from seesay.train.loop import Run

_MARK = "<!-- scores -->"


def text(run: "Run") -> str:
    """The card of a run as it stands, without scores."""
    recipe, clock = run.recipe, run.clock
    sources = ", ".join(f"`{source.path}`" for source in recipe.data.sources)
    return f"""---
library_name: seesay
pipeline_tag: image-text-to-text
tags: [seesay, {recipe.model.family}]
---
# A Seesay model

Family `{recipe.model.family}`, {_origin(run)} with Seesay {__version__} on {sources}.

- steps {clock.step:,}, pictures {clock.pictures:,}, token positions {clock.tokens:,}
- {clock.seconds / 60:.1f} minutes on {run.facts.get("machine", "this machine")}, \
{str(run.dtype).removeprefix("torch.")}
- pictures skipped because they could not be read: {clock.skipped}

## Use

    seesay ask FOLDER picture.png "question"

## Scores

{_MARK}
Not measured yet: `seesay train` and `seesay demo` write them here when they end. To measure at any
time, and on any data: `seesay eval FOLDER --data YOUR_TEST_DATA`, which prints them.
{_MARK}

## Recipe

```toml
{config.dump(recipe)}```
"""


def _origin(run: "Run") -> str:
    """How many parameters it has, how many of them were trained, and what they were before."""
    init, method = run.recipe.model.init, run.recipe.train.tune.method
    total, trained = run.facts["parameters"], run.facts["trained"]
    begun = ", ".join(f"{part} of `{source}`" for part, source in init.items())
    how = f"trained from {begun or 'nothing'}"
    if method == "lora":
        total -= sum(p.numel() for _, p in adapt.added(run.model))
        return f"{total:,} parameters, {how} by {trained:,} (`lora`, merged),"
    if trained < total:
        return f"{total:,} parameters, {trained:,} of them {how} (`{method}`),"
    return f"{total:,} parameters, {how}"


def with_scores(card: str, measured: Mapping[str, Any], *, command: str) -> str:
    """The card with a table of scores (as `evaluate` gives them) in its place."""
    lines = [f"Measured by `{command}`.", "", "| score | value | 95 % | n |", "|---|---|---|---|"]
    for title in ("scores", "controls"):
        for name, score in measured.get(title, {}).items():
            label = name if title == "scores" else f"control: {name}"
            lines.append(
                f"| {label} | {score['value']:.4f} | {score['low']:.4f} to {score['high']:.4f} "
                f"| {score['n']} |"
            )
    before, _, rest = card.partition(_MARK)
    _, _, after = rest.partition(_MARK)
    return f"{before}{_MARK}\n" + "\n".join(lines) + f"\n{_MARK}{after}"
