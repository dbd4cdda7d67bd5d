"""What travels between a process and its workers: length-prefixed JSON frames, with ``bytes`` added.

JSON and not pickle or marshal, in both directions: a worker whose memory was corrupted by what it ran can send
wrong values to its parent but never code, and the parser is safe on hostile bytes.

Values are None, bool, int, float (NaN and infinities too), str (any, lone surrogates too), bytes, and lists and
dictionaries with str keys of such. A tuple arrives as a list. The one reserved dictionary is ``{"\\0b": ...}``.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

__all__ = ["HEADER", "pack", "size_of", "unpack"]

HEADER = struct.Struct(">I")
_BYTES = "\0b"
_MARK = b'"\\u0000b"'


def _encode_bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes | bytearray | memoryview):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    raise TypeError(f"a {type(value).__name__} cannot be sent to or from a worker; plain JSON values and bytes can")


def _decode_bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value[_BYTES]) if value.keys() == {_BYTES} else value


_dumps = json.JSONEncoder(default=_encode_bytes, separators=(",", ":"), check_circular=False).encode


def pack(value: Any) -> bytes:
    """One frame. Raises ``TypeError`` or ``ValueError`` on what is not plain data, ``RecursionError`` on cycles."""
    body = _dumps(value).encode("ascii")
    return HEADER.pack(len(body)) + body


def size_of(header: bytes | bytearray) -> int:
    """Bytes of the body that follows this header."""
    return int(HEADER.unpack(header)[0])


def unpack(body: bytes | bytearray) -> Any:
    """The value of one body. Raises ``ValueError`` where it is no such value."""
    try:
        return json.loads(body, object_hook=_decode_bytes if _MARK in body else None)
    except RecursionError:
        raise ValueError("nested too deeply") from None
