"""Real repositories, and a real git server on loopback that wants a name and a password."""

from __future__ import annotations

import base64
import os
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SERVICE = """
    from microlite import Service

    service = Service("{name}")

    @service.endpoint
    async def version() -> int:
        return {number}

    if __name__ == "__main__":
        service.run()
"""

ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
"""What git sees in these tests: nothing of whoever runs them."""


def service(number: int, name: str = "orders") -> str:
    """A service that answers a number."""
    return textwrap.dedent(SERVICE.format(number=number, name=name))


class Repository:
    """A bare repository with a working tree that pushes to it.

    Args:
        folder: where the two lie.
        name: of the bare one, which gets `.git` behind it.
    """

    def __init__(self, folder: Path, name: str = "shop") -> None:
        self.bare = folder / f"{name}.git"
        self.tree = folder / f"{name}-tree"
        folder.mkdir(parents=True, exist_ok=True)
        self._git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        self._git(folder, "init", "--quiet", "--initial-branch=main", str(self.tree))
        self.git("remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def git(self, *words: str) -> str:
        return self._git(self.tree, *words)

    def commit(self, files: dict[str, str], branch: str = "main") -> str:
        """Write files, commit and push them; gives the id of the commit."""
        if self.git("branch", "--show-current") != branch:
            self.git("checkout", "--quiet", "-B", branch)
        for name, text in files.items():
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Change")
        self.git("push", "--quiet", "--force", "origin", branch)
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str, *options: str) -> None:
        self.git("tag", *options, name)
        self.git("push", "--quiet", "origin", name)

    @staticmethod
    def _git(folder: Path, *words: str) -> str:
        who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
        done = subprocess.run(("git", *who, *words), cwd=folder, env=ENVIRONMENT, capture_output=True, check=True)
        return done.stdout.decode().strip()


class Served:
    """A git server over HTTP.

    Attributes:
        url: where it is.
        seen: the paths that it was asked for, with what was shown to it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.host = url.partition("://")[2]
        self.seen: list[tuple[str, str]] = []


@contextmanager
def serve(folder: Path, secret: str = "") -> Iterator[Served]:
    """Serve the repositories of a folder, to those who show the secret as a password if there is one."""
    wanted = secret.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            shown = self.headers.get("Authorization", "")
            served.seen.append((self.path, shown))
            if wanted and not base64.b64decode(shown.partition(" ")[2] or "").endswith(b":" + wanted):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            environ = {
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run(("git", "http-backend"), input=body, env=environ, capture_output=True, check=False)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
