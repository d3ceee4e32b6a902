"""Tape: a video file, opened and read forwards -> the pictures shown at given times.

Videos are hostile until checked: the container is told from the first bytes and opened as that one
alone, from the file's own bytes, so that no list or link in it leads anywhere; how large and how
long it is comes before a frame is decoded; and one that is cut short is an error.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from seesay.data import decode
from seesay.errors import DataError, PictureError

MAX_BYTES = 4 * 2**30
MAX_SECONDS = 6 * 3600
MAX_DECODED = 200_000  # frames that are decoded to come by those wanted of one video
# Sound may go on after the last frame; frames that end before this share were cut off.
ENDS = 0.9
# A key frame is looked for where the next wanted frame is so many seconds on.
FAR = 1.0
JUST = 1e-6  # seconds that rounding may take
NONE = "0 frames in it; 1 is the least"

_STILLS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
_UPRIGHT = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


class _Lost(Exception):
    """A jump led nowhere: the video is to be read from its beginning."""


def sniff(head: bytes) -> str | None:
    """The container that the first bytes of a file announce, as FFmpeg calls it, or None."""
    if head[4:8] == b"ftyp":
        return None if head[8:12] in _STILLS else "mov"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "mov"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    return "gif" if head.startswith((b"GIF87a", b"GIF89a")) else None


def pictures(
    source: Path | bytes, times: Sequence[float], *, where: str
) -> Iterator[Image.Image]:
    """What a video file shows at times that do not fall, upright, in RGB; it is opened once.

    That is the last frame that begins by then. As far as it can, the reader jumps to the key frame
    before it.

    Raises:
        PictureError: what cannot be decoded, or ends before a time.
    """
    done = 0
    with decode.refused(where):
        try:
            for image in _shown(source, times, where, jumping=True):
                yield image
                done += 1
        except _Lost:
            yield from _shown(source, times[done:], where, jumping=False)


def _shown(
    source: Path | bytes, times: Sequence[float], where: str, *, jumping: bool
) -> Iterator[Image.Image]:
    with opened(source, where) as (container, stream):
        tape = Tape(container, stream, where, jumping=jumping)
        for time in times:
            yield upright(tape.at(time), where)


@contextmanager
def opened(source: Path | bytes, where: str) -> Iterator[tuple[Any, Any]]:
    """An open container and its video stream."""
    try:
        import av
    except ImportError:
        what, fix = "videos are read by PyAV, which is not installed", "pip install 'seesay[video]'"
        raise DataError(what, where=where, fix=fix) from None
    size = len(source) if isinstance(source, bytes) else decode.file_size(source, where)
    if size > MAX_BYTES:
        raise PictureError(f"{size} bytes; the limit for one video is {MAX_BYTES}", where=where)
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        kind = sniff(file.read(decode.HEAD))
        if kind is None:
            fix = "convert it to MP4"
            raise PictureError("not an MP4, MOV, WebM, MKV, AVI or GIF video", where=where, fix=fix)
        file.seek(0)
        try:
            container = av.open(file, format=kind, metadata_errors="ignore")
        except EOFError:
            raise PictureError(NONE, where=where) from None
        with container:
            stream: Any = container.streams.best("video")
            if stream is None:
                raise PictureError("0 video streams in it; 1 is the least", where=where)
            _small(stream.width, stream.height, where)
            stream.codec_context.thread_count = 1  # readers decode beside each other as it is
            yield container, stream


def _small(width: int, height: int, where: str) -> None:
    if width * height > decode.MAX_PIXELS:
        raise PictureError(
            f"{width}x{height} is {width * height} pixels a frame; the limit is "
            f"{decode.MAX_PIXELS}",
            where=where,
            fix="make it smaller",
        )


def lasts(container: Any, stream: Any) -> float:
    """Seconds, as the header says, or else as the packets do."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return container.duration / 1_000_000
    ends = [(p.pts + (p.duration or 1)) for p in container.demux(stream) if p.pts is not None]
    return float((max(ends, default=0) - (stream.start_time or 0)) * stream.time_base)


class Tape:
    """An open video, read forwards: the frame shown at each of some rising times."""

    def __init__(self, container: Any, stream: Any, where: str, *, jumping: bool) -> None:
        self.container, self.stream, self.where = container, stream, where
        self.jumping, self.jumped, self.decoded = jumping, False, 0
        self.frames = container.decode(stream)
        self.held: Any = None
        self.ahead: Any = None

    def at(self, time: float) -> Any:
        """The last frame that begins by then, or the first of all."""
        if self.jumping and time - (self._time(self.held) if self.held else 0.0) > FAR:
            self._jump(time)
        while True:
            self.ahead = self.ahead or self._next()
            if self.ahead is None:
                return self._last(time)
            if self._time(self.ahead) > time + JUST:
                break
            self.held, self.ahead = self.ahead, None
        if self.held is None and self.jumped:
            raise _Lost
        return self.held or self.ahead

    def _jump(self, time: float) -> None:
        """To the key frame before a time; where none is nearer than here, never again."""
        from av.error import FFmpegError

        before = self._time(self.held) if self.held else -1.0
        start = self.stream.start_time or 0
        try:
            self.container.seek(int(time / self.stream.time_base) + start, stream=self.stream)
        except FFmpegError:
            raise _Lost from None
        self.frames, self.jumped = self.container.decode(self.stream), True
        self.held, self.ahead = None, self._next()
        if self.ahead is None:
            raise _Lost
        self.jumping = self._time(self.ahead) > before

    def _next(self) -> Any:
        frame = next(self.frames, None)
        if frame is None:
            return None
        self.decoded += 1
        if self.decoded > MAX_DECODED:
            what = f"more than {MAX_DECODED} frames before the last one wanted"
            raise PictureError(what, where=self.where, fix="cut it into parts")
        if frame.is_corrupt or frame.pts is None:
            if self.jumped:  # what it is made of may lie before where it was jumped to
                raise _Lost
            what = f"frame {self.decoded} is damaged, or says no time"
            raise PictureError(what, where=self.where, fix="copy or download it again")
        _small(frame.width, frame.height, self.where)
        return frame

    def _time(self, frame: Any) -> float:
        return float((frame.pts - (self.stream.start_time or 0)) * self.stream.time_base)

    def _last(self, time: float) -> Any:
        if self.held is None:
            if self.jumped:
                raise _Lost
            raise PictureError(NONE, where=self.where)
        end = self._time(self.held) + float((self.held.duration or 0) * self.stream.time_base)
        whole = lasts(self.container, self.stream)
        if time > end and end < ENDS * whole:
            raise PictureError(
                f"its frames end at {end:.2f} s, though it says that it lasts {whole:.2f} s",
                where=self.where,
                fix="copy or download it again",
            )
        return self.held


def upright(frame: Any, where: str) -> Image.Image:
    """A decoded frame as a picture, turned as the camera was."""
    if "a" in frame.format.name.removeprefix("gray"):  # rgba, yuva420p, pal8
        image = decode.rgb(Image.fromarray(frame.to_ndarray(format="rgba")), where)
    else:
        image = frame.to_image()
    turn = _UPRIGHT.get(round(frame.rotation) % 360)
    return image if turn is None else image.transpose(turn)
