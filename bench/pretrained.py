"""Opening a model of Hugging Face's beside transformers: time, and the most memory held.

    python bench/pretrained.py
    python bench/pretrained.py --megabytes 2000 --dtype bfloat16 --json

A Llama of about so many megabytes in fp32 is written to a temporary folder, its weights random.
Each side then opens it in a process of its own, reads every value once and says how much memory it
came to hold above what it held before: as a share of the model as it is asked for (1.0 is the
weights themselves). Only Linux says how much that was.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DTYPES = ("float32", "bfloat16")
SIDES = ("seesay", "transformers")


def write(folder: Path, megabytes: int) -> int:
    """A Llama of about so many megabytes; how many bytes its weights are."""
    import torch
    import transformers
    from safetensors.torch import save_file

    width, inner, words = 1024, 4096, 8192
    layer = (4 * width + 3 * inner) * width * 4
    depth = max(1, (megabytes * 1_000_000 - 2 * words * width * 4) // layer)
    config = transformers.LlamaConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=depth,
        num_attention_heads=16,
    )
    with torch.device("meta"):
        shapes = transformers.LlamaForCausalLM(config).state_dict()
    weights = {name: torch.randn(each.shape) * 0.02 for name, each in shapes.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    return sum(each.nbytes for each in weights.values())


def memory(key: str) -> int:
    """Bytes that the process holds (VmRSS), or has held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def measure(who: str, folder: str, dtype: str) -> dict[str, float]:
    """Open the folder here: seconds, and bytes held above what was held before."""
    import torch

    kind = getattr(torch, dtype)
    if who == "seesay":
        from seesay.model import pretrained

        def opened():
            return pretrained.load(folder, dtype=kind)[0]
    else:
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()

        def opened():
            return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=kind)

    torch.set_num_threads(1)
    Path("/proc/self/clear_refs").write_text("5")  # The most held so far is what is held now.
    before, began = memory("VmRSS"), time.perf_counter()
    model = opened()
    for each in model.parameters():
        each.detach().aminmax()
    return {"seconds": time.perf_counter() - began, "bytes": memory("VmHWM") - before}


def compare(megabytes: int, dtypes: tuple[str, ...], sides: tuple[str, ...]) -> list[dict]:
    """A row for each side and type."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        stored = write(Path(name), megabytes)
        for dtype in dtypes:
            size = stored if dtype == "float32" else stored // 2
            for who in sides:
                program = [sys.executable, __file__, "--measure", who, name, dtype]
                ran = subprocess.run(program, check=True, capture_output=True, text=True)
                found = json.loads(ran.stdout.splitlines()[-1])
                share = found["bytes"] / size
                rows.append({"who": who, "dtype": dtype, "size": size, **found, "share": share})
    return rows


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--dtype", choices=DTYPES, help="only this one")
    parser.add_argument("--only", choices=SIDES, help="only this side")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(*given.measure)))
        return
    dtypes = (given.dtype,) if given.dtype else DTYPES
    rows = compare(given.megabytes, dtypes, (given.only,) if given.only else SIDES)
    if given.json:
        print(json.dumps(rows))
        return
    print(f"{'':14}{'as':>10}{'weights':>12}{'most held':>12}{'share':>8}{'seconds':>9}")
    for row in rows:
        held, size = f"{row['bytes'] / 1e6:,.0f} MB", f"{row['size'] / 1e6:,.0f} MB"
        print(
            f"{row['who']:14}{row['dtype']:>10}{size:>12}{held:>12}"
            f"{row['share']:>8.2f}{row['seconds']:>9.1f}"
        )


if __name__ == "__main__":
    main()
