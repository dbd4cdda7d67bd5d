"""A chat endpoint on this machine that answers as it is told, for tests of judges over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["FakeEndpoint"]


class FakeEndpoint:
    """An OpenAI-compatible endpoint that says ``reply`` to everybody, or what ``reply`` makes of the messages: a text,
    or a whole ``choices[0]`` with log-probabilities.

    A context manager; ``url`` goes into ``judge: {url: ..., model: any}``, and ``requests`` holds every body received.

    >>> from honewise import load_judge
    >>> with FakeEndpoint("Score: 7") as endpoint:
    ...     judge = load_judge({"url": endpoint.url, "model": "any", "cache": False})
    """

    def __init__(
        self, reply: str | Callable[[Sequence[Mapping[str, Any]]], str | Mapping[str, Any]] = "Score: 5"
    ) -> None:
        self.reply = reply
        self.requests: list[Mapping[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FakeEndpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(endpoint: FakeEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send({"data": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            endpoint.requests.append(body)
            made = endpoint.reply if isinstance(endpoint.reply, str) else endpoint.reply(body["messages"])
            said = {"message": {"role": "assistant", "content": made}, "finish_reason": "stop"}
            choice = said if isinstance(made, str) else made
            usage = {"prompt_tokens": len(str(body["messages"])) // 4, "completion_tokens": len(str(choice)) // 4}
            self._send({"choices": [choice], "usage": usage})

        def _send(self, answer: Mapping[str, Any]) -> None:
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
