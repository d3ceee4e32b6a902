"""Doctor: what this machine has for Seesay, what it lacks, and what to do about it."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seesay import machine

GIGABYTE = 10**9

# What the main job (`seesay demo`) holds at most, and leaves on disk.
MEMORY_WANTED = 3 * GIGABYTE
DISK_WANTED = 1 * GIGABYTE

# extra -> what it is for; a test holds the names against pyproject.toml.
EXTRAS = {
    "data": "read data sets of Hugging Face's hub, and files at addresses",
    "hf": "read and write Hugging Face models",
    "tensorboard": "follow training in TensorBoard",
    "video": "read video files",
    "dev": "test and check Seesay itself",
}

# Parts of the file names of fonts that have Chinese characters.
CHINESE_FONTS = ("cjk", "notosanssc", "sourcehan", "wqy", "pingfang", "heiti", "simhei", "msyh")

State = Literal["ok", "missing", "warn"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `needed`: without it the main job cannot run."""

    name: str
    state: State
    detail: str
    fix: str = ""
    needed: bool = False


def examine(*, seconds: float = 0.5) -> list[Finding]:
    """Look at everything; `seconds` goes to each measured rate. Never raises."""
    checks: tuple[tuple[str, Callable[[], Sequence[Finding]]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("torch", _torch),
        ("torchvision", _torchvision),
        ("machine", _machine),
        ("arithmetic", lambda: _arithmetic(seconds)),
        ("allocator", _allocator),
        ("compiler", _compiler),
        ("folder", _folder),
        ("fonts", _fonts),
        ("extras", _extras),
    )
    return [finding for name, check in checks for finding in _guarded(name, check)]


def can_run(findings: Sequence[Finding]) -> bool:
    """Whether the main job can run."""
    return not _lacking(findings)


def render(findings: Sequence[Finding]) -> str:
    """The findings as lines to read, the verdict last."""
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.state:<7}  {finding.name:<{width}}  {finding.detail}")
        if finding.fix and finding.state != "ok":
            lines.append(f"{'':<7}  {'':<{width}}  -> {finding.fix}")
    return "\n".join([*lines, "", _verdict(findings)])


def _verdict(findings: Sequence[Finding]) -> str:
    lacking = _lacking(findings)
    if lacking:
        return f"Not ready: {', '.join(finding.name for finding in lacking)} missing."
    return "Ready: `seesay demo` can run here."


def _lacking(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.needed and finding.state == "missing"]


def _guarded(name: str, check: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    try:
        return check()
    except Exception as error:  # A broken part of the machine is a finding, not an end.
        return [Finding(name, "warn", f"could not be examined: {type(error).__name__}: {error}")]


# Software.


def _python() -> list[Finding]:
    detail = f"{platform.python_version()} at {sys.executable}"
    return [Finding("python", "ok", detail, needed=True)]


def _packages() -> list[Finding]:
    """The packages pyproject.toml requires."""
    names = [name for name, extra in _requirements() if not extra]
    absent = [name for name in names if not _version(name)]
    if absent:
        fix = f"{_pip()} install {' '.join(absent)}"
        return [Finding("packages", "missing", ", ".join(absent), fix, needed=True)]
    return [Finding("packages", "ok", f"all {len(names)} installed", needed=True)]


def _torch() -> list[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        detail = f"does not import: {error}"
        return [Finding("torch", "missing", detail, f"{_pip()} install torch", needed=True)]
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA in this build"
    return [Finding("torch", "ok", f"{torch.__version__}, {build}", needed=True)]


def _torchvision() -> list[Finding]:
    found = _version("torchvision")
    if not found:
        return [Finding("torchvision", "ok", "absent, as it should be")]
    detail = f"{found} is here: its wheel breaks beside CPU torch, and breaks transformers with it"
    return [Finding("torchvision", "warn", detail, f"{_pip()} uninstall torchvision")]


def _extras() -> list[Finding]:
    return [_extra(extra, purpose) for extra, purpose in EXTRAS.items()]


def _extra(extra: str, purpose: str) -> Finding:
    names = [name for name, wanted in _requirements() if wanted == extra]
    absent = [name for name in names if not _version(name)]
    if absent:
        detail = f"to {purpose}: {', '.join(absent)} not installed (optional)"
        return Finding(f"extra {extra}", "missing", detail, f"{_pip()} install 'seesay[{extra}]'")
    return Finding(f"extra {extra}", "ok", f"to {purpose}: {', '.join(names)}")


def _requirements() -> list[tuple[str, str]]:
    """(package, extra it belongs to or "") of everything pyproject.toml names."""
    found: list[tuple[str, str]] = []
    for line in importlib.metadata.requires("seesay") or ():
        name = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if name and name.group() != "seesay":
            found.append((name.group(), extra.group(1) if extra else ""))
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _pip() -> str:
    return f"{Path(sys.executable).name} -m pip"


# Machine.


def _machine() -> list[Finding]:
    here = machine.describe()
    free, total = (size / GIGABYTE for size in (here.memory_available, here.memory_total))
    tight = 0 < here.memory_available < MEMORY_WANTED
    memory = f"{free:.1f} of {total:.1f} GB free" if total else "the system does not say"
    wanted = f"`seesay demo` may need {MEMORY_WANTED / GIGABYTE:.0f} GB: close other programs"
    found = [
        Finding("processor", "ok", f"{here.cpu}, {_count(here.cores, 'core')} ({here.system})"),
        Finding("memory", "warn" if tight else "ok", memory, wanted),
    ]
    accelerators = [
        Finding("accelerator", "ok", f"{part.device}: {part.name}, {_size(part.memory)}")
        for part in here.accelerators
    ]
    return found + (accelerators or [Finding("accelerator", "ok", "none: the CPU does the work")])


def _size(memory: int) -> str:
    return f"{memory / GIGABYTE:.1f} GB" if memory else "memory shared with the machine"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _arithmetic(seconds: float) -> list[Finding]:
    """Native bf16, and measured rates on the device that `auto` takes."""
    import torch

    device = machine.device()
    native = machine.native_bf16(device)
    chosen = machine.precision(device)
    verdict = "native" if native else "emulated, so fp32 is used,"
    types = (torch.float32, torch.bfloat16) if native else (torch.float32,)
    rates = {kind: machine.measure_matmul(device, kind, seconds=seconds) for kind in types}
    shown = ", ".join(f"{_short(kind)} {rate / 1e9:,.0f} GFLOP/s" for kind, rate in rates.items())
    return [
        Finding("bf16", "ok", f"{verdict} on {device}"),
        Finding("matmul", "ok", f"{shown} measured on {device}; training uses {_short(chosen)}"),
    ]


def _short(dtype: object) -> str:
    return {"torch.float32": "fp32", "torch.bfloat16": "bf16"}[str(dtype)]


def _allocator() -> list[Finding]:
    if "GLIBC_TUNABLES" in os.environ:
        detail = f"GLIBC_TUNABLES already set: {os.environ['GLIBC_TUNABLES']}"
    elif machine.on_glibc():
        detail = "glibc: long commands start anew with it tuned (SEESAY_NO_TUNABLES=1 forbids)"
    else:
        detail = "not glibc: nothing to tune"
    return [Finding("allocator", "ok", detail)]


def _compiler() -> list[Finding]:
    """What torch.compile needs on a CPU."""
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"]
    compiler = next((path for name in names if name and (path := shutil.which(name))), "")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    lacking = [
        *([] if compiler else ["a C++ compiler"]),
        *([] if header.exists() else ["Python.h"]),
    ]
    if not lacking:
        return [Finding("compiler", "ok", f"{compiler}, for torch.compile")]
    detail = f"{' and '.join(lacking)} not found: training runs without torch.compile"
    fix = "install g++ and the Python development files of your system"
    return [Finding("compiler", "missing", f"{detail} (optional)", fix)]


# The folder runs are written to, and the fonts labels are drawn in.


def _folder() -> list[Finding]:
    here = Path.cwd()
    try:
        with tempfile.TemporaryFile(dir=here):
            pass
    except OSError as error:
        fix = "go to a folder of your own, or write elsewhere with --out"
        return [Finding("folder", "missing", f"{here}: {error.strerror}", fix, needed=True)]
    free = shutil.disk_usage(here).free
    detail = f"{here}: writable, {free / GIGABYTE:.1f} GB free"
    wanted = f"a run wants {DISK_WANTED / GIGABYTE:.0f} GB: make room, or use --out elsewhere"
    return [Finding("folder", "warn" if free < DISK_WANTED else "ok", detail, wanted)]


def _fonts() -> list[Finding]:
    from PIL import features

    if not features.check("freetype2"):
        detail = "Pillow without FreeType: labels on contact sheets are tiny"
        return [Finding("fonts", "warn", detail, f"{_pip()} install --force-reinstall pillow")]
    chinese = next((path for path in _font_files() if _is_chinese(path)), None)
    if chinese:
        return [Finding("fonts", "ok", f"Chinese labels in {chinese.name}")]
    detail = "no Chinese font: Chinese labels on contact sheets and plots show as boxes"
    return [Finding("fonts", "warn", detail, "install a CJK font, such as Noto Sans CJK")]


def _font_files() -> list[Path]:
    home = Path.home()
    folders = (
        home / ".fonts",
        home / ".local/share/fonts",
        home / "Library/Fonts",
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        Path("/Library/Fonts"),
        Path("/System/Library/Fonts"),
        Path(os.environ.get("WINDIR", "/nonexistent")) / "Fonts",
    )
    kinds = {".ttf", ".ttc", ".otf"}
    found = (path for folder in folders if folder.is_dir() for path in folder.rglob("*"))
    return sorted(path for path in found if path.suffix.lower() in kinds)


def _is_chinese(path: Path) -> bool:
    plain = path.name.lower().replace("-", "").replace(" ", "")
    return any(part in plain for part in CHINESE_FONTS)
