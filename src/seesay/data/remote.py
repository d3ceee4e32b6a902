"""Remote: data at addresses (http, https, s3 and others) -> files in a cache, whole or not at all.

A file that fails is tried again; in the end it is reported and the others are read. Nothing waits
for ever: who sends nothing is given up.
"""

import hashlib
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from seesay.data import folders, patterns
from seesay.data.tables import Row, Table
from seesay.errors import DataError
from seesay.records import Origin

TRIES = 3
PAUSE = 1.0  # seconds before the second try; twice as long before each next one
STALL = 30.0  # seconds without a byte
# Files that hold their pictures: of others, the pictures would be missing.
ENDINGS = (".tar", ".parquet", ".arrow")
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs",
            "az": "adlfs"}  # fmt: skip
INSTALL = "pip install 'seesay[data]'"

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
# What tells a file from one that has taken its place since.
_MARKS = ("size", "ETag", "etag", "LastModified", "Last-Modified", "mtime", "created")

Say = Callable[[str], None]
Result = TypeVar("Result")


def is_address(source: str) -> bool:
    """Whether a source lies elsewhere: `https://…`, `s3://…`."""
    return bool(_ADDRESS.match(source))


def cache() -> Path:
    """The folder that fetched files are kept in: SEESAY_CACHE, else in the user's own cache."""
    if own := os.environ.get("SEESAY_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seesay"


def table(source: str, root: Path | None = None, *, say: Say = lambda text: None) -> Table:
    """The table in the file at an address, or in several (braces; `*` where they can be listed).

    One of several that cannot be fetched is a broken row beside those of the others.

    Raises:
        DataError: none can be fetched, a package is missing, or it is another kind of file.
    """
    system = _filesystem(source)
    addresses = [each for name in patterns.expanded(source) for each in _listed(system, name)]
    for address in addresses:
        _check_ending(address)
    there: dict[Path, str] = {}
    lost: list[Row] = []
    for number, address in enumerate(addresses, 1):
        of = f" ({number} of {len(addresses)})" if len(addresses) > 1 else ""
        try:
            there[_fetched(system, address, say=lambda text, of=of: say(text + of))] = address
        except DataError as error:
            if len(addresses) == 1:
                raise
            say(f"left out: {error}")
            lost.append((Origin(address), error.what))
    if not there:
        what = f"none of {len(addresses)} files could be fetched; the first: {lost[0][1]}"
        raise DataError(what, where=source, fix="see that the address is right, and the network")
    return _as_addressed(folders.opened(list(there), root or cache()), there, lost)


def _as_addressed(found: Table, there: Mapping[Path, str], lost: Sequence[Row]) -> Table:
    """The same rows under their addresses, and what was lost."""
    names = {str(path): address for path, address in there.items()}

    def renamed(origin: Origin) -> Origin:
        for path, address in names.items():
            if origin.file.startswith(path):
                return Origin(address + origin.file[len(path) :], origin.row)
        return origin

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        yield from lost
        for origin, row in found.rows(wanted):
            yield renamed(origin), row

    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return replace(found, path=next(iter(names.values())) + more, rows=rows)


def _filesystem(source: str) -> Any:
    """What `fsspec` reads such an address with."""
    found = _ADDRESS.match(source)
    protocol = found[1].lower() if found else ""
    try:
        import fsspec

        return fsspec.filesystem(protocol, **_options(protocol))
    except ImportError as error:
        package = PACKAGES.get(protocol)
        what = f"'{protocol}://' needs a package that is not installed: {error}"
        fix = f"pip install {package}" if package else INSTALL
        raise DataError(what, where=source, fix=fix) from None
    except ValueError as error:
        fix = "known: http, https, s3, gs and what else fsspec reads; hf://datasets/owner/name"
        raise DataError(f"unknown address: {error}", where=source, fix=fix) from None


def _options(protocol: str) -> dict[str, Any]:
    if protocol not in ("http", "https"):
        return {}
    import aiohttp

    # Its own limit is on the whole file, which a large one on a slow line would break.
    waits = aiohttp.ClientTimeout(total=None, sock_connect=STALL, sock_read=STALL)
    return {"client_kwargs": {"timeout": waits}}


def _listed(system: Any, address: str) -> list[str]:
    if "*" not in address:
        return [address]
    if address.lower().startswith("http"):
        fix = "write train-{000..009}.tar"
        raise DataError("a web server does not list its files", where=address, fix=fix)
    names = _watched(lambda alive: sorted(system.glob(address)), address)
    if not names:
        raise DataError("no file matches it", where=address)
    return [system.unstrip_protocol(name) for name in names]


def _check_ending(address: str) -> None:
    name = address.partition("?")[0]
    if not name.lower().endswith(ENDINGS):
        raise DataError(
            f"only {', '.join(ENDINGS)} are read from elsewhere: they hold their pictures",
            where=address,
            fix="download it together with its pictures, and give the folder",
        )


def _fetched(system: Any, address: str, *, say: Say) -> Path:
    """The file in the cache: there already, or fetched in as many tries as it may take."""
    folder = cache() / _digest(address)
    for attempt in range(1, TRIES + 1):
        try:
            return _try(system, address, folder, say=say)
        except Exception as error:  # each kind of storage has errors of its own
            why = _why(error)
            if attempt == TRIES or _is_gone(error):
                tries = f"{attempt} tries" if attempt > 1 else "1 try"
                what = f"could not be fetched in {tries}: {why}"
                fix = "see that the address is right, and the network"
                raise DataError(what, where=address, fix=fix) from None
            say(f"try {attempt} of {TRIES} failed: {address}: {why}")
            time.sleep(PAUSE * 2 ** (attempt - 1))
    raise AssertionError


def _why(error: Exception) -> str:
    if isinstance(error, DataError):
        return error.what
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}".split("\n")[0]


def _is_gone(error: Exception) -> bool:
    """Whether it is not there, or not for us: `fsspec` says so of a web server out of reach too."""
    cause = error.__cause__ or error
    refused = getattr(cause, "status", None) in (401, 403, 404, 410)  # of a web server
    return refused or isinstance(cause, (FileNotFoundError, PermissionError))


def _try(system: Any, address: str, folder: Path, *, say: Say) -> Path:
    name = address.partition("?")[0].rpartition("/")[2]
    try:
        facts = _watched(lambda alive: system.info(address), address)
    except Exception as error:
        kept = sorted(folder.glob(f"*/{name}"), key=os.path.getmtime)
        if not kept or _is_gone(error):
            raise
        say(f"not reached, so the copy of before is taken: {address}")
        return kept[-1]
    marks = [f"{key}={facts[key]}" for key in _MARKS if facts.get(key) is not None]
    target = folder / _digest("\n".join(marks)) / name
    if not target.exists():
        say(f"fetching {address}")
        _fetch(system, address, target, size=facts.get("size"))
    return target


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _fetch(system: Any, address: str, target: Path, *, size: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, for it says what is in the file.
    draft = target.with_name(f".{os.getpid()}.{threading.get_ident()}.{target.name}")
    try:
        _watched(lambda alive: _copy(system, address, draft, alive), address)
        got = draft.stat().st_size
        if size is not None and got != size:
            raise DataError(f"cut short: {got} of {size} bytes", where=address)
        folders.opened([draft])  # a file that is cut or no such file is no file
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _copy(system: Any, address: str, draft: Path, alive: Callable[[], None]) -> None:
    from fsspec.callbacks import Callback

    class Moving(Callback):
        def relative_update(self, inc: int = 1) -> None:
            alive()

        def absolute_update(self, value: int) -> None:
            alive()

    system.get_file(address, str(draft), callback=Moving())


def _watched(work: Callable[[Callable[[], None]], Result], where: str) -> Result:
    """What `work` gives; it has to call what it is given at least every STALL seconds.

    Raises:
        TimeoutError: it was silent for longer. It goes on in a thread of its own, until it next
            says that it is alive.
    """
    heard, ended = [time.monotonic()], threading.Event()
    outcome: queue.Queue[tuple[bool, Any]] = queue.Queue()

    def alive() -> None:
        if ended.is_set():
            raise TimeoutError(f"{where} was given up")
        heard[0] = time.monotonic()

    def run() -> None:
        try:
            outcome.put((True, work(alive)))
        except BaseException as error:
            outcome.put((False, error))

    threading.Thread(target=run, daemon=True).start()
    while True:
        try:
            right, found = outcome.get(timeout=max(0.01, heard[0] + STALL - time.monotonic()))
        except queue.Empty:
            if time.monotonic() - heard[0] < STALL:
                continue
            ended.set()
            raise TimeoutError(f"nothing came for {STALL:g} s") from None
        if right:
            return found
        raise found
