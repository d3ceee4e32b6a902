"""Doctor: a healthy machine passes, a lack is found with its mend, nothing it meets stops it."""

import importlib.metadata
import json

import pytest

from seesay import cli, doctor
from seesay.doctor import Finding


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return doctor.examine(seconds=0.01)


@pytest.fixture
def quick(monkeypatch, findings):
    """`seesay doctor` without measuring again."""
    monkeypatch.setattr(doctor, "examine", lambda: findings)


def named(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_this_machine_can_run(findings):
    assert doctor.can_run(findings), doctor.render(findings)
    assert "could not be examined" not in doctor.render(findings)


def test_everything_promised_is_looked_at(findings):
    names = {finding.name for finding in findings}
    assert names >= {"python", "packages", "torch", "torchvision", "processor", "memory"}
    assert names >= {"accelerator", "bf16", "matmul", "allocator", "compiler", "folder", "fonts"}


def test_every_lack_comes_with_its_mend(findings):
    assert all(finding.fix for finding in findings if finding.state == "missing")


def test_the_extras_are_those_of_the_package():
    extras = importlib.metadata.metadata("seesay").get_all("Provides-Extra")
    assert set(doctor.EXTRAS) == set(extras or ())
    assert {extra for _, extra in doctor._requirements()} == {"", *doctor.EXTRAS}


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "" if name == "einops" else "1")
    (found,) = doctor._packages()
    assert (found.state, found.detail, found.needed) == ("missing", "einops", True)
    assert found.fix.endswith("pip install einops")
    assert not doctor.can_run([found])


def test_a_missing_extra_does_not_stop_the_main_job(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "")
    found = doctor._extras()
    assert {finding.state for finding in found} == {"missing"}
    assert doctor.can_run(found)


def test_torchvision_is_warned_of(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "0.30")
    (found,) = doctor._torchvision()
    assert found.state == "warn" and "uninstall torchvision" in found.fix


def test_a_folder_that_cannot_be_written_to(monkeypatch, tmp_path):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    (found,) = doctor._folder()
    assert found.state == "missing" and "Permission denied" in found.detail
    assert not doctor.can_run([found])


def test_a_full_disk_is_warned_of(monkeypatch):
    monkeypatch.setattr(doctor, "DISK_WANTED", 10**18)
    (found,) = doctor._folder()
    assert found.state == "warn" and "make room" in found.fix


def test_little_memory_is_warned_of(monkeypatch):
    monkeypatch.setattr(doctor, "MEMORY_WANTED", 10**18)
    assert named(doctor._machine(), "memory").state == "warn"


def test_a_machine_without_native_bf16_is_not_measured_in_it(monkeypatch):
    monkeypatch.setattr(doctor.machine, "native_bf16", lambda device: False)
    found = doctor._arithmetic(0.01)
    assert "emulated" in named(found, "bf16").detail
    assert "bf16" not in named(found, "matmul").detail


def test_no_compiler_is_found_missing(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    (found,) = doctor._compiler()
    assert found.state == "missing" and doctor.can_run([found])


def test_no_chinese_font_is_warned_of(monkeypatch):
    monkeypatch.setattr(doctor, "_font_files", lambda: [])
    assert doctor._fonts()[0].state == "warn"


def test_a_check_that_fails_is_a_finding():
    def fail():
        raise OSError("gone")

    (found,) = doctor._guarded("disk", fail)
    assert (found.state, found.detail) == ("warn", "could not be examined: OSError: gone")


def test_render_shows_a_mend_only_where_there_is_something_to_mend():
    fine = Finding("a", "ok", "here", fix="never said")
    lack = Finding("long name", "missing", "gone", fix="install it", needed=True)
    text = doctor.render([fine, lack])
    assert "never said" not in text and "-> install it" in text
    assert text.endswith("Not ready: long name missing.")
    assert doctor.render([fine]).endswith("`seesay demo` can run here.")


def test_the_command_prints_and_exits_0(quick, capsys):
    assert cli.main(["doctor"]) == 0
    assert "Ready" in capsys.readouterr().out


def test_the_command_prints_json(quick, capsys, findings):
    assert cli.main(["doctor", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["ready"] is True
    assert set(printed["findings"][0]) == {"name", "state", "detail", "fix", "needed"}
    assert len(printed["findings"]) == len(findings)


def test_the_command_exits_1_where_the_main_job_cannot_run(monkeypatch, capsys):
    lack = Finding("torch", "missing", "gone", fix="install it", needed=True)
    monkeypatch.setattr(doctor, "examine", lambda: [lack])
    assert cli.main(["doctor"]) == 1
    assert "Not ready" in capsys.readouterr().out
