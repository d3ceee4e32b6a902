"""Compare: several recipes trained on equal terms, measured on the same examples, side by side."""

import json
from collections.abc import Callable
from pathlib import Path

from seesay import report, writing
from seesay.compare import page
from seesay.compare.budget import Budget, parse
from seesay.compare.measuring import Yardstick
from seesay.compare.plan import Contender, Job, Plan
from seesay.compare.runs import Outcome, known, run
from seesay.compare.summary import Comparison
from seesay.tasks import TASKS
from seesay.train.progress import duration

__all__ = ["Budget", "Comparison", "Contender", "Outcome", "Plan", "Yardstick", "compare", "parse"]


def compare(
    plan: Plan,
    yardstick: Yardstick,
    *,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Train and measure every run of a plan, one after another; what came of them.

    Finished runs are kept, and one that was stopped goes on. After each, `compare.json` and
    `compare.html` in the plan's folder say how it stands.

    Args:
        command: what to type for it, for the page.
        say: is told of each run.

    Raises:
        RecipeError: a recipe is wrong, or the folder holds runs of another.
        KeyboardInterrupt: it was stopped; the run that was under way has saved.
    """
    plan.write()
    jobs = list(plan.jobs())
    there = {job: known(job, yardstick) for job in jobs}
    done = {job: outcome for job, outcome in there.items() if outcome is not None}
    environment = report.surroundings()

    def gathered() -> Comparison:
        outcomes = [done[job] for job in jobs if job in done]
        return Comparison(
            plan, outcomes, yardstick.name, yardstick.digest, yardstick.counts, command
        )

    for number, job in enumerate(jobs, start=1):
        if job not in done:
            say(f"[{number} of {len(jobs)}] {_called(job)}")
            done[job] = run(job, yardstick)
            say(f"  {_told(done[job])}")
            write(gathered(), plan.out, environment=environment)
    made = gathered()
    write(made, plan.out, environment=environment)
    return made


def write(made: Comparison, out: Path, *, environment: dict[str, str]) -> None:
    """Leave `compare.json` and `compare.html`, each whole."""
    text = json.dumps(made.as_dict(), ensure_ascii=False, indent=2, allow_nan=False)
    writing.replace(out / "compare.json", text)
    page.write(out / "compare.html", made, environment=environment)


def _called(job: Job) -> str:
    return f"{job.contender.name}, {job.budget}, seed {job.seed}"


def _told(outcome: Outcome) -> str:
    """A run's end in one line."""
    if outcome.failed:
        return f"failed: {outcome.failed}"
    seconds = duration(outcome.compute["seconds"] or 0)
    scores = outcome.measured.evaluation.scores
    shares = (f"{name} {100 * scores[name].value:.1f} %" for name in _headlines(outcome))
    return f"{', '.join(shares) or 'can do none of the tasks'} after {seconds} of training"


def _headlines(outcome: Outcome) -> list[str]:
    return [name for name, task in outcome.measured.tasks.items() if name == TASKS[task].SCORE]
