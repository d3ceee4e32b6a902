"""Large contrastive batches: seconds a step, pictures a second, peak memory; and ranking's cost.

python bench/contrastive.py [--batch 4096] [--chunk 128] [--steps 2] [--device auto] [--json]
python bench/contrastive.py --rank 64,128,256,512

A step is what `seesay train --recipe recipes/clip.toml` does at that batch, in chunks (0: in one
piece): all pictures against all texts, forward, backward, update. `--rank` times how long N texts
take to rank for N pictures, for growing N: towers apart (`dual`), which read each picture and each
text once, beside one encoder that reads every pair together (`single`), of the same sizes. Memory
is the process's peak, or the GPU's.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seesay.records import Batch
    from seesay.train import Run


def main() -> None:
    """Time what is asked for, and print it."""
    from seesay import machine

    machine.reexec_with_tunables()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--chunk", type=int, default=128, help="rows a chunk; 0: in one piece")
    parser.add_argument("--steps", type=int, default=2, help="steps timed, after a small one")
    parser.add_argument("--rank", help="numbers of pictures to rank as many texts for, by commas")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    made = rank(given) if given.rank else [steps(given)]
    if given.json:
        print(json.dumps(made, indent=2))
        return
    for row in made:
        print("  ".join(f"{name} {_said(value)}" for name, value in row.items()))


def _said(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def prepared(
    given: argparse.Namespace, *, batch: int, chunk: int = 0, family: str = "dual"
) -> "Run":
    """The run of the recipe `clip`, with this batch."""
    from seesay import config
    from seesay.train import setup

    table = config.load(config.shipped("clip"))
    table["train"] |= {"batch": batch, "chunk": chunk, "patch_weight": 0.0}
    table["model"] |= {"family": family, "connector": {"kind": "linear"}}
    if family == "single":
        table["train"]["objectives"] = {"matching": 1.0}
    with tempfile.TemporaryDirectory() as out:
        return setup.prepare(config.recipe(table), out=Path(out), device=given.device)


def steps(given: argparse.Namespace) -> dict[str, Any]:
    """Training steps at this batch and chunk."""
    import torch

    from seesay import machine
    from seesay.data.order import Place
    from seesay.train.loop import Loop

    run = prepared(given, batch=given.batch, chunk=given.chunk)
    loop = Loop(run, None, resume=None)
    batch = _batch(run)
    run.model.train()
    seconds, memory = [], machine.peak_memory(run.device)
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.device)
    few = batch.rows(slice(64), width=batch.tokens_BT.shape[1], pictures=slice(64))
    place = Place()
    loop.step(iter([(place, few)]))  # The first asks for memory, and picks kernels.
    for _ in range(given.steps):
        seconds.append(_time(lambda: loop.step(iter([(place, batch)])), run))
    assert loop.pending is not None
    second, peak = min(seconds), machine.peak_memory(run.device)
    return {
        "batch": given.batch,
        "chunk": given.chunk,
        "texts": len(batch.claims_Mt) if batch.claims_Mt is not None else 0,
        "seconds": second,
        "pictures_per_second": given.batch / second,
        "peak_gb": peak / 1e9,
        "before_gb": memory / 1e9,
        "loss": float(loop.pending[0]),
        "device": str(run.device),
        "dtype": str(run.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


def _batch(run: "Run") -> "Batch":
    """A batch of the recipe's last stage."""
    return run.stream.step(0, 1.0)


def _time(act: Callable[[], object], run: "Run") -> float:
    import torch

    def finish() -> None:
        if run.device.type != "cpu":
            torch.accelerator.synchronize(run.device)

    finish()
    start = time.perf_counter()
    act()
    finish()
    return time.perf_counter() - start


def rank(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds to score N pictures with N texts, by towers apart and by one encoder."""
    import torch

    from seesay.train.losses import Step

    numbers = [int(number) for number in given.rank.split(",")]
    made: list[dict[str, Any]] = [{"pictures": n, "texts": n} for n in numbers]
    for family in ("dual", "single"):
        run = prepared(given, batch=max(numbers), family=family)
        run.model.eval()
        whole = _one_text_each(_batch(run)).to(run.device)

        def scores(n: int, run: Any = run, whole: Any = whole, apart: bool = family == "dual"):
            batch = whole.rows(slice(n), width=whole.tokens_BT.shape[1], pictures=slice(n))
            step = Step(run, batch, run.model)
            if apart:
                return step.claims.similarity
            claims, context = step.claims, step.context
            return [
                run.model.match(
                    claims.tokens_Mt, claims.real_Mt, context.take(claims.row_M * 0 + b)
                )
                for b in range(n)
            ]

        with torch.inference_mode(), run.autocast():
            scores(min(numbers))
            for row, n in zip(made, numbers, strict=True):
                row[f"{family}_seconds"] = min(_time(lambda n=n: scores(n), run) for _ in "ab")
    for row in made:
        row["times"] = row["single_seconds"] / row["dual_seconds"]
    return made


def _one_text_each(batch: "Batch") -> "Batch":
    """Only the true text of each row."""
    assert batch.claims_true_M is not None
    keep = batch.claims_true_M == 1
    names = ("claims_Mt", "claims_real_Mt", "claims_true_M", "claims_row_M")
    return replace(batch, **{name: getattr(batch, name)[keep] for name in names})


if __name__ == "__main__":
    sys.exit(main())
