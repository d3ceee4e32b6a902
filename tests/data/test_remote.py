"""Shards at addresses: over HTTP from a server on this machine, and from fsspec's memory."""

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from data.layouts import png, tar
from data.sets import refusal

from seesay.data import remote
from seesay.data.sources import read

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


class Server:
    """Files over HTTP, and how each request for one goes wrong: half, silent, 500."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.ended = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._head(outer.files.get(self.path))

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                data = outer.files.get(self.path)
                waiting = outer.faults.get(self.path)
                fault = waiting.pop(0) if waiting else ""
                if fault == "500":
                    self.send_error(500)
                    return
                self._head(data)
                if data is None:
                    return
                self.wfile.write(data[: len(data) // 2] if fault else data)
                if fault == "silent":
                    self.wfile.flush()
                    outer.ended.wait(20)

            def _head(self, data: bytes | None) -> None:
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of the test's own, and no long waits."""
    monkeypatch.setenv("SEESAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    monkeypatch.setattr(remote, "STALL", 0.4)
    return tmp_path / "cache"


def shard(tmp_path: Path, first: int, count: int = 3) -> bytes:
    files = {}
    for number in range(first, first + count):
        files |= {f"{number:04d}.png": png(number), f"{number:04d}.txt": f"a {number}".encode()}
    return tar(tmp_path / "made.tar", files).read_bytes()


def shards(server: Server, tmp_path: Path, number: int = 3) -> str:
    for i in range(number):
        server.files[f"/train-{i:03d}.tar"] = shard(tmp_path, 3 * i)
    return f"{server.address}/train-{{000..{number - 1:03d}}}.tar"


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_shards_over_http(server, tmp_path, cache):
    said: list[str] = []
    found = read(shards(server, tmp_path), say=said.append)
    assert found.format == "tar shards" and not found.broken
    assert [e.answer for e in found.examples] == [f"a {i}" for i in range(9)]
    assert [e.images[0] for e in found.examples] == [png(i) for i in range(9)]
    assert str(found.examples[4].origin) == f"{server.address}/train-001.tar/0004"
    assert found.path == f"{server.address}/train-000.tar and 2 more"
    assert said == [
        f"fetching {server.address}/train-{i:03d}.tar ({i + 1} of 3)" for i in range(3)
    ]
    assert kept(cache) == [f"train-{i:03d}.tar" for i in range(3)]  # and no drafts
    # What is there is not fetched again; what has changed is.
    fetched = len(server.asked)
    assert len(read(f"{server.address}/train-000.tar").examples) == 3
    assert len(server.asked) == fetched
    server.files["/train-000.tar"] = shard(tmp_path, 0, count=5)
    assert len(read(f"{server.address}/train-000.tar").examples) == 5


def test_without_the_network_the_copy_of_before_is_taken(server, tmp_path):
    address = shards(server, tmp_path, 1).replace("{000..000}", "000")
    assert len(read(address).examples) == 3
    server.close()
    said: list[str] = []
    assert len(read(address, say=said.append).examples) == 3
    assert said == [f"not reached, so the copy of before is taken: {address}"]
    assert "could not be fetched in 3 tries" in refusal(address.replace("000", "001"))


@pytest.mark.parametrize("fault", ["half", "silent", "500"])
def test_what_fails_is_tried_again(server, tmp_path, cache, fault):
    address = shards(server, tmp_path)
    server.faults["/train-001.tar"] = [fault] * 2
    said: list[str] = []
    found = read(address, say=said.append)
    assert len(found.examples) == 9 and not found.broken
    assert server.asked.count("/train-001.tar") == 3
    tries = [line for line in said if line.startswith("try ")]
    assert [line[:24] for line in tries] == ["try 1 of 3 failed: http:", "try 2 of 3 failed: http:"]
    assert kept(cache) == [f"train-{i:03d}.tar" for i in range(3)]


@pytest.mark.parametrize("fault", ["half", "silent", "500"])
def test_in_the_end_it_is_reported_and_left_out(server, tmp_path, cache, fault):
    address = shards(server, tmp_path)
    server.faults["/train-001.tar"] = [fault] * 9
    said: list[str] = []
    begun = time.monotonic()
    found = read(address, limit_broken=0.2, say=said.append)
    assert time.monotonic() - begun < 15  # nothing hangs
    assert [e.answer for e in found.examples] == [f"a {i}" for i in (0, 1, 2, 6, 7, 8)]
    (lost,) = found.broken
    assert str(lost.origin) == f"{server.address}/train-001.tar"
    assert lost.why.startswith("could not be fetched in 3 tries: ")
    assert any(line.startswith(f"left out: {lost.origin}: {lost.why}") for line in said)
    assert kept(cache) == ["train-000.tar", "train-002.tar"]  # nothing half-written
    # One that is asked for alone is an error.
    server.faults["/train-001.tar"] = [fault] * 3
    assert "could not be fetched in 3 tries" in refusal(f"{server.address}/train-001.tar")


def test_a_file_that_is_cut_where_it_lies(server, tmp_path):
    """Its length is what the server says, so only the file itself tells."""
    address = shards(server, tmp_path)
    server.files["/train-002.tar"] = server.files["/train-002.tar"][:1800]
    found = read(address, limit_broken=0.2)
    assert len(found.examples) == 6 and server.asked.count("/train-002.tar") == 3
    assert "could not be fetched in 3 tries: cut short: unexpected end" in found.broken[0].why


def test_what_is_not_there_is_not_asked_for_again(server, tmp_path):
    address = shards(server, tmp_path)
    del server.files["/train-001.tar"]
    (lost,) = read(address, limit_broken=0.2).broken
    assert lost.why.startswith("could not be fetched in 1 try: ") and "404" in lost.why
    server.files.clear()
    assert "none of 3 files could be fetched; the first: could not" in refusal(
        address.replace("train", "other")
    )


def test_fsspecs_memory(cache):
    system = fsspec.filesystem("memory")
    for number in range(2):
        data = pyarrow.table({"image": [png(number)], "caption": [f"a {number}"]})
        file = io.BytesIO()
        pyarrow.parquet.write_table(data, file)
        system.pipe(f"/bucket/part-{number}.parquet", file.getvalue())
    found = read("memory://bucket/part-*.parquet")
    assert [e.answer for e in found.examples] == ["a 0", "a 1"]
    assert str(found.examples[1].origin) == "memory:///bucket/part-1.parquet:1"
    assert len(read("memory://bucket/part-{0..1}.parquet").examples) == 2
    assert "no file matches it" in refusal("memory://bucket/other-*.parquet")
    assert kept(cache)[0] == "part-0.parquet"


def test_a_storage_that_hangs_is_given_up(monkeypatch):
    system = fsspec.filesystem("memory")
    free = threading.Event()
    monkeypatch.setattr(type(system), "info", lambda *_, **__: free.wait(20))
    said = refusal("memory://bucket/a.tar")
    free.set()
    assert "could not be fetched in 3 tries: TimeoutError: nothing came for 0.4 s" in said


def test_addresses_that_are_not_right(monkeypatch):
    said = refusal("s3://bucket/a.tar")
    if "pip" in said:  # unless s3fs is there
        assert "'s3://' needs a package that is not installed" in said
        assert said.endswith("pip install s3fs")
    assert "unknown address: Protocol not known: nosuch" in refusal("nosuch://a/b.tar")
    assert "only .tar, .parquet, .arrow are read from elsewhere" in refusal("http://a/b.csv")
    assert "a web server does not list its files" in refusal("http://a/b-*.tar")
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    assert "pip install 'seesay[data]'" in refusal("http://127.0.0.1:1/a.tar")


def test_a_web_address_in_a_column_stays_refused(server, tmp_path):
    server.files["/a.png"] = png(1)
    (tmp_path / "a.csv").write_text(f"image,caption\n{server.address}/a.png,a cat\n")
    assert "is a web address: download it" in refusal(tmp_path / "a.csv")
    assert server.asked == []
