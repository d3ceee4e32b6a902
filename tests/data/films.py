"""Films: small videos of known frames, in the containers that `read` knows."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av", reason="videos are read by PyAV")

# Container -> what its pictures are encoded as.
CODECS = {
    ".mp4": ("libx264", "yuv420p"),
    ".mov": ("libx264", "yuv420p"),
    ".mkv": ("libx264", "yuv420p"),
    ".webm": ("libvpx-vp9", "yuv420p"),
    ".avi": ("mpeg4", "yuv420p"),
    ".gif": ("gif", "rgb8"),
}
SIZE = (64, 48)  # width, height


def picture(number: int) -> np.ndarray:
    """A bar that grows, on a ground that changes."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 60 + number * 3 % 120, np.uint8)
    pixels[:, : 2 * number + 1] = 255
    return pixels


def film(path: Path, *, frames: int = 20, rate: int = 10, gap: int = 5) -> Path:
    """A video of so many frames, so many a second, a key frame every `gap`."""
    codec, pixels = CODECS[path.suffix]
    options = {"threads": "1"} if codec.startswith("lib") else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.gop_size = pixels, gap
        container.start_encoding()
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), "rgb24")))
        container.mux(stream.encode())
    return path


def sound(path: Path) -> Path:
    """A file with sound and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def folder(path: Path, *, frames: int, name: str = "{0}.png") -> Path:
    """The same as numbered pictures."""
    path.mkdir(parents=True)
    for number in range(frames):
        Image.fromarray(picture(number)).save(path / name.format(number))
    return path


def whole(source: Path | bytes) -> list[tuple[float, np.ndarray]]:
    """Every frame of a video, decoded from its beginning, with its time."""
    from seesay.data.tape import upright

    data = source if isinstance(source, bytes) else source.read_bytes()
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(container.streams.video[0]))
        return [(float(frame.time), np.asarray(upright(frame, ""))) for frame in frames]
