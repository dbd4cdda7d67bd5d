"""Pictures as a chat endpoint takes them: addresses, or files read into data URLs."""

from __future__ import annotations

import base64
from pathlib import Path

from .request import CallFailed

__all__ = ["as_url"]

_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}
_LARGEST = 20 << 20
"""Bytes of a file: what common endpoints still take."""


def as_url(image: str) -> str:
    """A data URL or an http(s) address as it is; the file at a path as a data URL.

    Raises ``CallFailed`` where there is no such file, it is no picture, or it has more than 20 MiB.
    """
    if image.startswith(("data:image/", "http://", "https://")):
        return image
    path = Path(image)
    try:
        if path.stat().st_size > _LARGEST:
            raise CallFailed(f"picture {path.name} has more than {_LARGEST >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise CallFailed(f"picture {path.name} cannot be read ({error.strerror or type(error).__name__})") from error
    kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
    if kind is None:
        raise CallFailed(f"picture {path.name} is neither PNG, JPEG, GIF, WebP nor BMP")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
