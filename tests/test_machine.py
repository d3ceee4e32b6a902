"""Machine: what it finds is what the system says, under limits too."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from seesay import machine
from seesay.errors import RecipeError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh():
    """No answer kept from, or for, another test's pretended machine."""
    caches = (
        machine.cores,
        machine._cpu_name,
        machine._cpu_flags,
        machine._cpu_native_bf16,
        machine._accelerators,
    )
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def files(monkeypatch):
    """Pretend system files: path -> text; every other is absent."""

    def pretend(texts: dict[str, str]) -> None:
        monkeypatch.setattr(machine, "_lines", lambda path: texts.get(str(path), "").splitlines())
        for cached in (machine.cores, machine._cpu_flags, machine._cpu_native_bf16):
            cached.cache_clear()
        machine._cpu_name.cache_clear()

    return pretend


def test_describe_says_something_of_everything():
    here = machine.describe()
    assert here.cpu and here.system
    assert 1 <= here.cores <= (os.cpu_count() or 1)
    assert 0 <= here.memory_available <= here.memory_total


def test_device_auto_is_the_first_accelerator_else_cpu(monkeypatch):
    assert machine.device("cpu") == CPU
    monkeypatch.setattr(machine, "_accelerators", lambda: ())
    assert machine.device() == CPU
    mps = machine.Accelerator("mps", "Apple M3", 0, True)
    monkeypatch.setattr(machine, "_accelerators", lambda: (mps,))
    assert machine.device().type == "mps"


@pytest.mark.parametrize("name", ["cuda:7", "gpu", ""])
def test_device_that_is_not_here_is_named_beside_those_that_are(name):
    with pytest.raises(RecipeError, match="sees .*cpu"):
        machine.device(name)


def test_precision_is_bf16_only_where_native(monkeypatch):
    monkeypatch.setattr(machine, "native_bf16", lambda device: True)
    assert machine.precision(CPU) == torch.bfloat16
    assert machine.precision(CPU, wish="fp32") == torch.float32
    monkeypatch.setattr(machine, "native_bf16", lambda device: False)
    assert machine.precision(CPU) == torch.float32


def test_precision_warns_of_emulated_bf16(monkeypatch):
    monkeypatch.setattr(machine, "native_bf16", lambda device: False)
    with pytest.warns(UserWarning, match="emulated on cpu"):
        assert machine.precision(CPU, wish="bf16") == torch.bfloat16


def test_precision_suggests_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'bf16'"):
        machine.precision(CPU, wish="bf61")


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("flags\t\t: fpu avx2 avx512f", False),
        ("flags\t\t: fpu avx512f avx512_bf16", True),
        ("flags\t\t: fpu amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("Features\t: fp asimd", False),
        ("", False),
    ],
)
def test_native_bf16_of_a_cpu_is_read_from_its_flags(files, flags, native):
    files({"/proc/cpuinfo": flags})
    assert machine._cpu_native_bf16() == (native and torch.backends.mkldnn.is_available())


@pytest.mark.parametrize(
    ("chip", "macos", "native"),
    [
        ("Apple M1", "14.5", False),
        ("Apple M2 Max", "15.0", False),
        ("Apple M3 Pro", "14.0", True),
        ("Apple M10", "16.1", True),
        ("Apple M4", "13.6", False),
        ("Intel(R) Core(TM) i7", "14.0", False),
        ("", "", False),
    ],
)
def test_native_bf16_of_apple_chips(monkeypatch, chip, macos, native):
    monkeypatch.setattr(machine, "_cpu_name", lambda: chip)
    monkeypatch.setattr(machine.platform, "mac_ver", lambda: (macos, ("", "", ""), ""))
    assert machine._mps_native_bf16() == native


def topology(*ids: tuple[int, int]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for cpu, (package, core) in enumerate(ids):
        folder = f"/sys/devices/system/cpu/cpu{cpu}/topology"
        texts |= {f"{folder}/physical_package_id": f"{package}", f"{folder}/core_id": f"{core}"}
    return texts


def test_cores_are_physical(files, monkeypatch):
    monkeypatch.setattr(machine, "_allowed_cpus", lambda: [0, 1, 2, 3])
    files(topology((0, 0), (0, 0), (0, 1), (1, 0)))
    assert machine.cores() == 3


def test_cores_follow_affinity(files, monkeypatch):
    monkeypatch.setattr(machine, "_allowed_cpus", lambda: [1])
    files(topology((0, 0), (0, 1), (0, 2)))
    assert machine.cores() == 1


def test_cores_without_topology_are_the_allowed_ones(files, monkeypatch):
    monkeypatch.setattr(machine, "_allowed_cpus", lambda: [0, 1, 5])
    files({})
    assert machine.cores() == 3


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"/sys/fs/cgroup/a/cpu.max": "150000 100000"}, 2),
        ({"/sys/fs/cgroup/a/cpu.max": "max 100000"}, 4),
        # A limit further up binds as well.
        ({"/sys/fs/cgroup/a/cpu.max": "max 100000", "/sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
    ],
)
def test_cores_follow_a_container_quota(files, monkeypatch, texts, expected):
    monkeypatch.setattr(machine, "_allowed_cpus", lambda: [0, 1, 2, 3])
    files({"/proc/self/cgroup": "0::/a", **texts})
    assert machine.cores() == expected


def test_cores_follow_a_quota_of_the_first_cgroups(files, monkeypatch):
    monkeypatch.setattr(machine, "_allowed_cpus", lambda: [0, 1, 2, 3])
    folder = "/sys/fs/cgroup/cpu/docker/b"
    files(
        {
            "/proc/self/cgroup": "4:cpu,cpuacct:/docker/b",
            f"{folder}/cpu.cfs_quota_us": "200000",
            f"{folder}/cpu.cfs_period_us": "100000",
        }
    )
    assert machine.cores() == 2


def test_memory_is_the_containers_where_that_is_less(files):
    system = {"/proc/meminfo": "MemTotal: 8000 kB\nMemAvailable: 6000 kB"}
    files(system)
    assert machine._memory() == (8000 * 1024, 6000 * 1024)
    limits = {
        "/proc/self/cgroup": "0::/a",
        "/sys/fs/cgroup/a/memory.max": str(4000 * 1024),
        "/sys/fs/cgroup/a/memory.current": str(1000 * 1024),
    }
    files(system | limits)
    assert machine._memory() == (4000 * 1024, 3000 * 1024)
    files(system | limits | {"/sys/fs/cgroup/a/memory.max": "max"})
    assert machine._memory() == (8000 * 1024, 6000 * 1024)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_matmul_rate_is_a_rate(dtype):
    assert 1e6 < machine.measure_matmul(CPU, dtype, seconds=0.01) < 1e16


def test_peak_memory_grows_with_what_is_held():
    before = machine.peak_memory()
    held = torch.ones(before // 4 + 50_000_000)
    grown = machine.peak_memory() - before
    assert grown > 0.8 * held.numel() * 4 - before


PROGRAM = """
import os, sys
from seesay.machine import reexec_with_tunables
reexec_with_tunables()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES", ""), sys.argv[1:], sys.stdin.read(), sep="|")
"""


def program(tmp_path: Path, **environment: str) -> tuple[int, list[str]]:
    """Run PROGRAM from a file; its first process id and the fields it prints."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("SEESAY_NO_TUNABLES", "GLIBC_TUNABLES", "SEESAY_TUNABLES_SET")
    }
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    started = subprocess.Popen(
        [sys.executable, "-X", "utf8", str(file), "a b", "--c"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=kept | environment,
        text=True,
    )
    out, _ = started.communicate("typed", timeout=60)
    assert started.returncode == 0
    return started.pid, out.strip().split("|")


@pytest.mark.skipif(not machine.on_glibc(), reason="tunables are glibc's")
def test_reexec_sets_tunables_and_keeps_the_rest(tmp_path):
    pid, fields = program(tmp_path)
    assert fields == [str(pid), machine.TUNABLES, "['a b', '--c']", "typed"]


def test_reexec_keeps_out_where_told_or_already_done(tmp_path):
    assert program(tmp_path, SEESAY_NO_TUNABLES="1")[1][1] == ""
    assert program(tmp_path, SEESAY_TUNABLES_SET="1")[1][1] == ""
    own = "glibc.malloc.arena_max=2"
    assert program(tmp_path, GLIBC_TUNABLES=own)[1][1] == own


def test_reexec_does_nothing_once_torch_is_here(monkeypatch):
    for name in ("SEESAY_NO_TUNABLES", "GLIBC_TUNABLES", "SEESAY_TUNABLES_SET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("started anew"))
    machine.reexec_with_tunables()


def test_nothing_warns_on_this_machine():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine.precision(machine.device())
