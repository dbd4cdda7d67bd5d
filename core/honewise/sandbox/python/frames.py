"""Length-prefixed frames over a descriptor, for the two sides of a channel or a link."""

from __future__ import annotations

import os
import struct

__all__ = ["HEADER", "read_body", "read_frame", "write_frame"]

HEADER = struct.Struct("=I")


def write_frame(descriptor: int, body: bytes) -> None:
    """Raises ``OSError`` where the other side is gone."""
    view = memoryview(HEADER.pack(len(body)) + body)
    while view:
        view = view[os.write(descriptor, view) :]


def read_frame(descriptor: int, limit: int) -> bytes | None:
    """None where the other side is gone. Raises ``ValueError`` on a frame of more than ``limit`` bytes."""
    header = _read(descriptor, HEADER.size)
    return read_body(descriptor, header, limit) if header is not None else None


def read_body(descriptor: int, header: bytes, limit: int) -> bytes | None:
    """The rest of a frame, as ``read_frame``."""
    (size,) = HEADER.unpack(header)
    if size > limit:
        raise ValueError(f"a frame of {size} bytes")
    return _read(descriptor, size)


def _read(descriptor: int, count: int) -> bytes | None:
    parts = []
    while count:
        try:
            part = os.read(descriptor, min(count, 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
