"""What `train`, `eval` and `demo` do once there is a model: ask it, score it, write the report."""

import json as json_format
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from seesay import config, predict
from seesay import evaluate as evaluation
from seesay import report as reports
from seesay.commands.options import console, print_json, say, silent
from seesay.errors import DataError
from seesay.evaluate import Evaluation
from seesay.model import checkpoint
from seesay.model.contract import Model
from seesay.predict import Prompt, SeesayPredictor
from seesay.records import Example
from seesay.train import Run, auto, card, history


def command() -> str:
    """The command that is running, as it can be typed again."""
    return shlex.join(["seesay", *sys.argv[1:]])


def sampler(run: Run, examples: Sequence[Example]) -> Callable[[Model], Mapping[str, str]] | None:
    """What asks the model one of the examples now and then, another each time."""
    if not examples or "answer" not in run.model.can:
        return None
    step = max(1, len(examples) // 97)
    turn = iter(range(0, 10**9, step))

    def sample(model: Model) -> Mapping[str, str]:
        example = examples[next(turn) % len(examples)]
        prompt = Prompt(example.images, _before_truth(example))
        answer = predictor_of(run).answer([prompt])[0]
        return {"question": example.question, "answer": answer.text, "truth": example.answer}

    return sample


def _before_truth(example: Example):
    last = max(i for i, turn in enumerate(example.turns) if turn.role == "assistant")
    return example.turns[:last]


def predictor_of(run: Run) -> SeesayPredictor:
    """The run's model, as it stands in memory, ready to be asked."""
    return predict.predictor(
        run.model, run.text, recipe=run.recipe, dtype=run.dtype, name=str(run.out)
    )


def measure(
    predictor: SeesayPredictor,
    parts: Mapping[str, Sequence[Example]],
    *,
    seed: int = 0,
    quiet: bool = False,
) -> Evaluation:
    """Scores of several sets of examples, each with its suffix, as one."""
    made = [
        evaluation.evaluate(
            predictor,
            examples,
            seed=seed,
            suffix=suffix,
            command=command(),
            progress=None if quiet else _progress,
        )
        for suffix, examples in parts.items()
    ]
    return evaluation.merge(made) if len(made) > 1 else made[0]


def examples(
    data: str,
    *,
    columns: Mapping[str, str],
    limit: int | None,
    limit_broken: float,
    seed: int,
    quiet: bool = False,
) -> Sequence[Example]:
    """The examples of a data set, or `limit` of them; `scenes` draws some never trained on.

    Raises:
        DataError: more than `limit_broken` of the rows, or of the examples, cannot be read.
    """
    if data == "scenes":
        from seesay.config import SourceConfig

        return auto.drawn(SourceConfig(), seed=seed, split="test")[:limit]
    from seesay.data import sources

    tell = silent if quiet else say
    read = sources.read(data, columns=columns or None, limit_broken=limit_broken)
    for broken in read.broken[: sources.SHOWN]:
        tell(f"  left out: {broken.origin}: {broken.why}")
    if len(read.broken) > sources.SHOWN:
        tell(f"  left out: {len(read.broken) - sources.SHOWN} more broken rows")
    found = auto.some(read.examples, limit, seed=seed)
    kept = auto.readable(found, say=tell)
    if len(found) - len(kept) > limit_broken * len(found):
        raise DataError(
            f"{len(found) - len(kept)} of {len(found)} examples have pictures that cannot be read; "
            f"the limit is {limit_broken:.1%}",
            where=data,
            fix=f"run `seesay data check` on it, or {sources.MORE_BROKEN}",
        )
    return kept


def report(
    run: Run, parts: Mapping[str, Sequence[Example]], *, json: bool, quiet: bool
) -> Evaluation:
    """Measure a run's saved model; leave eval.json, report.html and the model card's scores."""
    predictor = predict.load(run.out, device=run.device.type, precision="auto")
    made = measure(predictor, parts, quiet=quiet)
    write_report(made, run.out, path=run.out / "report.html")
    _replace(run.out / "eval.json", json_format.dumps(made.as_dict(), indent=2))
    page = checkpoint.find(run.out) / "README.md"
    text = page.read_text(encoding="utf-8")
    _replace(page, card.with_scores(text, made.as_dict(), command=command()))
    show(made, json=json)
    if not quiet:
        say(f"report: {run.out / 'report.html'}")
    return made


def write_report(made: Evaluation, run: Path, *, path: Path) -> None:
    """One HTML file of scores, curves and pictures."""
    stored = checkpoint.open_config(checkpoint.find(run))
    reports.write(
        path,
        title=run.name,
        evaluation=made,
        history=[row for row in history(run) if "loss" in row],
        recipe=config.dump(config.recipe(stored["recipe"])),
    )


def _replace(path: Path, text: str) -> None:
    making = path.with_name(f".{path.name}.tmp")
    making.write_text(text, encoding="utf-8")
    making.replace(path)


def show(made: Evaluation, *, json: bool) -> None:
    """The scores, on standard output."""
    if json:
        print_json(made.as_dict())
    else:
        console().print(made.table())


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rmeasuring {done} of {total}", end=end, file=sys.stderr, flush=True)
