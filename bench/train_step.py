"""A training step beside a plain one: the demo's model and batch, ours against eager fp32 SDPA.

python bench/train_step.py [--recipe recipes/demo.toml] [--rounds 3] [--steps 8] [--json]

Ours is what `seesay train` does: the precision and attention that suit the machine, its optimisers,
the allocator tuned, the last block and the head only where a word is to be learned. The plain step
is what a first script does: float32, torch's fused attention, every block and the head at every
position, AdamW, the allocator as it comes. Same weights, same batch, same loss; they take turns,
each in a process of its own, for the allocator is tuned only as a process starts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from seesay.model.contract import Model, Said
    from seesay.records import Batch
    from seesay.train import Run

KINDS = ("ours", "plain")
SHORT = {"float32": "fp32", "bfloat16": "bf16"}


def main() -> None:
    """Let both take turns and print what they took; or be one of them (`--kind`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, help="default: the demo's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3, help="turns each takes")
    parser.add_argument("--steps", type=int, default=8, help="steps timed in a turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.kind:
        print(json.dumps(measure(given)))
        return
    made: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for turn in range(given.rounds):
        for kind in KINDS if turn % 2 == 0 else reversed(KINDS):
            made[kind].append(turn_of(kind))
    result = summary(made)
    if given.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


def turn_of(kind: str) -> dict[str, Any]:
    """One kind's turn, in a process of its own."""
    from seesay.machine import TUNABLES, on_glibc

    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    if kind == "ours" and on_glibc():
        environment["GLIBC_TUNABLES"] = TUNABLES
    command = [sys.executable, __file__, *sys.argv[1:], "--kind", kind]
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each step of one kind, and what a step is."""
    import tempfile

    import torch

    from seesay import config, machine
    from seesay.train import optim, setup
    from seesay.train.losses import loss_of

    recipe = config.recipe(config.load(given.recipe or config.shipped("demo")))
    with tempfile.TemporaryDirectory() as out:
        run = setup.prepare(recipe, out=Path(out), device=given.device)
    if given.kind == "plain":
        run.dtype, run.fused = torch.float32, True
        rate = recipe.train.adamw_learning_rate
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(run.model.parameters(), lr=rate)
        ]
    else:
        optimizers = optim.optimizers(run.model, recipe.train)
    # As far into training as the first batch of the last stage: the rows are the fullest there.
    batch = run.stream.step(0, 1.0).to(run.device)
    model: Any = Whole(run.model) if given.kind == "plain" else run.model
    if given.kind == "ours" and recipe.train.compile:
        for part in run.model.children():
            part.compile()
    parameters = [parameter for parameter in run.model.parameters() if parameter.requires_grad]

    def step() -> torch.Tensor:
        loss = loss_of(run, batch, model)
        loss.backward()
        optim.clip([p.grad for p in parameters if p.grad is not None], recipe.train.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def finish() -> None:
        if run.device.type != "cpu":
            torch.accelerator.synchronize(run.device)

    run.model.train()
    flops = count(run, batch, model)
    losses, seconds = [float(step()) for _ in range(2)], []
    for _ in range(given.steps):
        finish()
        start = time.perf_counter()
        loss = step()
        finish()
        seconds.append(time.perf_counter() - start)
        losses.append(float(loss))
    bf16 = machine.measure_matmul(run.device, torch.bfloat16)
    return {
        "seconds": seconds,
        "flops": flops,
        "bf16": bf16,
        "loss": losses,
        "pictures": len(batch.pictures_NCHW),
        "positions": batch.tokens_BT.numel(),
        "tokens": int((batch.documents_BT >= 0).sum()),
        "parameters": sum(parameter.numel() for parameter in parameters),
        "device": str(run.device),
        "dtype": str(run.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


class Whole:
    """A model at every position, of which those to be learned are then picked."""

    def __init__(self, model: "Model") -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, *inputs: Any, select: "Tensor", **more: Any) -> "Said":
        made = self.model(*inputs, **more)
        return made._replace(words=made.words[select])


def count(run: "Run", batch: "Batch", model: Callable[..., Any]) -> int:
    """Arithmetic of matrices and convolutions, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    from seesay.train.losses import loss_of

    # Written out: not every fused kernel is counted.
    fused, run.fused = run.fused, False
    with FlopCounterMode(display=False) as counter:
        loss_of(run, batch, model).backward()
    run.model.zero_grad(set_to_none=True)
    run.fused = fused
    return counter.get_total_flops()


def summary(made: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians, the best, rates and the ratio."""
    first = made["ours"][0]
    bf16 = statistics.median(turn["bf16"] for turns in made.values() for turn in turns)
    result: dict[str, Any] = {
        **{name: first[name] for name in ("device", "threads", "parameters", "pictures", "tokens")},
        "bf16_matmul_gflops": bf16 / 1e9,
    }
    for kind, turns in made.items():
        seconds = [second for turn in turns for second in turn["seconds"]]
        median = statistics.median(seconds)
        result[kind] = {
            "dtype": turns[0]["dtype"],
            "median_seconds": median,
            "min_seconds": min(seconds),
            "gflops": turns[0]["flops"] / median / 1e9,
            "share_of_bf16_matmul": turns[0]["flops"] / median / bf16,
            "pictures_per_second": first["pictures"] / median,
            "tokens_per_second": first["tokens"] / median,
            "loss": turns[0]["loss"],
        }
    ours, plain = result["ours"], result["plain"]
    result["ratio"] = plain["median_seconds"] / ours["median_seconds"]
    result["ratio_of_min"] = plain["min_seconds"] / ours["min_seconds"]
    return result


def show(result: dict[str, Any]) -> None:
    """The result, for people."""
    print(
        f"{result['parameters'] / 1e6:.2f} M parameters, {result['pictures']} pictures and "
        f"{result['tokens']} tokens a step; {result['device']}, {result['threads']} threads, "
        f"bf16 matmul {result['bf16_matmul_gflops']:.0f} GFLOP/s"
    )
    print(f"{'':12}{'median':>10}{'min':>10}{'GFLOP/s':>10}{'of bf16':>9}"
          f"{'pictures/s':>12}{'tokens/s':>10}")  # fmt: skip
    for kind in KINDS:
        row = result[kind]
        print(
            f"{kind:6}{SHORT.get(row['dtype'], row['dtype']):6}"
            f"{row['median_seconds'] * 1e3:7.1f} ms{row['min_seconds'] * 1e3:7.1f} ms"
            f"{row['gflops']:10.0f}{row['share_of_bf16_matmul']:9.0%}"
            f"{row['pictures_per_second']:12.0f}{row['tokens_per_second']:10.0f}"
        )
    print(f"ours is {result['ratio']:.2f} times as fast (median; {result['ratio_of_min']:.2f} by "
          "the best step)")  # fmt: skip


if __name__ == "__main__":
    main()
