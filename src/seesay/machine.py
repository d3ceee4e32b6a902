"""What this machine is and how fast: cores, memory, accelerators, native bf16, matmul rate."""

import math
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import RecipeError, nearest

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "bf16", "fp32")

# Big blocks stay in the heap instead of going back to the kernel after each step, and the heap asks
# for huge pages: a training step otherwise pays for the same page faults over and over.
TUNABLES = ":".join(
    (
        "glibc.malloc.mmap_threshold=4000000000",
        "glibc.malloc.trim_threshold=16000000000",
        "glibc.malloc.hugetlb=1",
    )
)

_REEXEC_GUARD = "SEESAY_TUNABLES_SET"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One accelerator torch can use; `memory` in bytes, 0 where it shares the machine's."""

    device: str  # "cuda:0", "mps"
    name: str
    memory: int
    native_bf16: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use; memory in bytes."""

    system: str
    cpu: str
    cores: int  # physical, after affinity and container limits
    memory_total: int  # after container limits; 0 where the system does not say
    memory_available: int
    native_bf16: bool  # of the CPU
    accelerators: tuple[Accelerator, ...]


def describe() -> Machine:
    """This machine, as this process sees it."""
    total, available = _memory()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu_name(),
        cores=cores(),
        memory_total=total,
        memory_available=available,
        native_bf16=_cpu_native_bf16(),
        accelerators=_accelerators(),
    )


def device(name: str = "auto") -> "torch.device":
    """The device to compute on: `auto` is CUDA, else MPS, else the CPU.

    Raises:
        RecipeError: the name is not a device, or torch does not see that device here.
    """
    import torch

    here = [found.device for found in _accelerators()] + ["cpu"]
    if name == "auto":
        return torch.device(here[0])
    if name == "cuda" and "cuda:0" in here:
        return torch.device("cuda", torch.cuda.current_device())
    if name not in here:
        what = f"device '{name}' asked for, but torch {torch.__version__} sees {', '.join(here)}"
        raise RecipeError(what, where="device", fix="use 'auto', or see `seesay doctor`")
    return torch.device(name)


def native_bf16(device: "torch.device") -> bool:
    """Whether `device` multiplies bf16 in hardware (emulated, it is slower than fp32)."""
    if device.type == "cpu":
        return _cpu_native_bf16()
    if device.type == "mps":
        return _mps_native_bf16()
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return False


def precision(device: "torch.device", *, wish: str = "auto") -> "torch.dtype":
    """The type to multiply matrices in: bf16 where native, else fp32.

    A wish for bf16 where it is emulated is granted with a warning: the results are right but slow.

    Raises:
        RecipeError: the wish is none of `PRECISIONS`.
    """
    import torch

    if wish not in PRECISIONS:
        fix = nearest(wish, PRECISIONS)
        raise RecipeError(f"unknown precision '{wish}'", where="precision", fix=fix)
    if wish == "bf16" and not native_bf16(device):
        slow = f"bf16 is emulated on {device}, so it is slower than fp32; 'auto' would choose fp32"
        warnings.warn(slow, stacklevel=2)
    bf16 = wish == "bf16" or (wish == "auto" and native_bf16(device))
    return torch.bfloat16 if bf16 else torch.float32


def measure_matmul(device: "torch.device", dtype: "torch.dtype", *, seconds: float = 0.5) -> float:
    """Measured rate of a square matmul in FLOP/s: the median of the calls that fit in `seconds`."""
    import torch

    side = {"cuda": 8192, "mps": 4096}.get(device.type, 1024)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in "ab")
    out = torch.empty_like(a)
    times: list[float] = []
    end = time.perf_counter() + seconds
    with torch.inference_mode():
        torch.mm(a, b, out=out)  # The first call compiles, packs or allocates.
        _wait(device)
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            _wait(device)
            times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times)


def _wait(device: "torch.device") -> None:
    import torch

    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def free_memory(device: "torch.device") -> int:
    """Bytes still free: of a CUDA device its own, else the machine's; 0 where it does not say."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    return _memory()[1]


def peak_memory(device: "torch.device | None" = None) -> int:
    """Most bytes this process has held: allocated by torch on a CUDA device, else resident."""
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    # A child started by a large process inherits that one's ru_maxrss, but not its VmHWM.
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reexec_with_tunables() -> None:
    """Start this program again with `TUNABLES` set, for glibc reads them only as a process starts.

    Training frees and asks again for the same large blocks at each step; by default glibc returns
    them to the kernel in between, and on a CPU the page faults cost a good part of a step
    (`bench/train_step.py` measures it). Standard input, terminal and process id stay the same.

    Does nothing where it would not help or not be safe: outside Linux with glibc, once torch is
    loaded, when GLIBC_TUNABLES is already set, or when SEESAY_NO_TUNABLES=1. Call it only as a
    program's first act: what it has read from standard input by then is lost.
    """
    if not _tunables_apply():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, "GLIBC_TUNABLES": TUNABLES, _REEXEC_GUARD: "1"}
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    except OSError:
        return  # Slower, not wrong.


def _tunables_apply() -> bool:
    unwanted = os.environ.get("SEESAY_NO_TUNABLES", "") not in ("", "0")
    already = "GLIBC_TUNABLES" in os.environ or _REEXEC_GUARD in os.environ
    early = bool(sys.executable) and "torch" not in sys.modules
    return on_glibc() and early and not (unwanted or already)


def on_glibc() -> bool:
    """Whether the C library is glibc."""
    if sys.platform != "linux":
        return False
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):  # musl
        return False


# Processor.


@cache
def cores() -> int:
    """Physical cores this process may keep busy, after affinity and container limits."""
    allowed = _allowed_cpus()
    physical = len({_physical_core(cpu) for cpu in allowed})
    quota = _cgroup_cpu_quota()
    return max(1, min(physical, math.ceil(quota)) if quota else physical)


def _allowed_cpus() -> list[int]:
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _physical_core(cpu: int) -> tuple[str, ...]:
    """What the hardware threads of one core have in common."""
    topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
    ids = tuple("".join(_lines(topology / part)) for part in ("physical_package_id", "core_id"))
    return ids if all(ids) else (str(cpu),)


def _cgroup_cpu_quota() -> float:
    """Cores' worth of time a container may use; 0 where unlimited."""
    quotas: list[float] = []
    for folder in _cgroup_folders("cpu"):
        # v2 writes "quota period" in one file, v1 in two.
        words = " ".join(_lines(folder / "cpu.max")).split() or [
            "".join(_lines(folder / "cpu.cfs_quota_us")),
            "".join(_lines(folder / "cpu.cfs_period_us")),
        ]
        if all(word.isdigit() for word in words) and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=0.0)


@cache
def _cpu_name() -> str:
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string")
    named = (line for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    name = next(named, ":").split(":", 1)[1].strip()
    return name or platform.processor() or platform.machine()


@cache
def _cpu_flags() -> frozenset[str]:
    lines = _lines("/proc/cpuinfo")
    named = (line for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(named, ":").split(":", 1)[1].split())


@cache
def _cpu_native_bf16() -> bool:
    import torch

    # bf16 reaches these instructions only through oneDNN, which macOS builds do not have.
    wide = {"avx512_bf16", "amx_bf16", "bf16"} & _cpu_flags()
    return bool(wide) and torch.backends.mkldnn.is_available()


# Memory.


def _memory() -> tuple[int, int]:
    """Total and available bytes after container limits; zeros where the system does not say."""
    total, available = _system_memory()
    for folder in _cgroup_folders("memory"):
        limit, used = (_cgroup_bytes(folder, name) for name in ("limit", "used"))
        if 0 < limit < total:
            total, available = limit, min(available, max(0, limit - used))
    return total, available


def _cgroup_bytes(folder: Path, which: str) -> int:
    names = {
        "limit": ("memory.max", "memory.limit_in_bytes"),
        "used": ("memory.current", "memory.usage_in_bytes"),
    }[which]
    for name in names:
        text = "".join(_lines(folder / name))
        if text.isdigit():
            return int(text)
    return 0


def _system_memory() -> tuple[int, int]:
    sizes = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in _lines("/proc/meminfo")
        if len(line.split()) > 1
    }
    if "MemTotal" in sizes:
        return sizes["MemTotal"], sizes.get("MemAvailable", sizes["MemTotal"])
    if hasattr(os, "sysconf"):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total, total
    return 0, 0


def _cgroup_folders(controller: str) -> Iterator[Path]:
    """This process's cgroup folder and those above it: a limit anywhere on the way up binds."""
    for line in _lines("/proc/self/cgroup"):
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        root = Path("/sys/fs/cgroup") / (controller if names else "")
        here = root / path.lstrip("/")
        yield here
        yield from (folder for folder in here.parents if folder.is_relative_to(root))


# Accelerators.


@cache
def _accelerators() -> tuple[Accelerator, ...]:
    import torch

    if torch.cuda.is_available():
        return tuple(_cuda(index) for index in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        return (Accelerator("mps", _cpu_name(), 0, _mps_native_bf16()),)
    return ()


def _cuda(index: int) -> Accelerator:
    import torch

    properties = torch.cuda.get_device_properties(index)
    bf16 = native_bf16(torch.device("cuda", index))
    return Accelerator(f"cuda:{index}", properties.name, properties.total_memory, bf16)


def _mps_native_bf16() -> bool:
    """M1 and M2 emulate bf16; torch itself needs macOS 14 for it."""
    words = _cpu_name().split()
    chip = next((word[1:] for word in words if word[:1] == "M" and word[1:].isdigit()), "0")
    release = platform.mac_ver()[0].split(".")[0]
    return int(chip) >= 3 and int(release or 0) >= 14


def _sysctl(key: str) -> str:
    try:
        asked = subprocess.run(["sysctl", "-n", key], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return platform.processor()
    return asked.stdout.strip()


def _lines(path: str | Path) -> list[str]:
    """A system file's lines; none where it is absent or closed to us."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
