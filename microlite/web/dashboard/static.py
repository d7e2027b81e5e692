"""Scripts, styles and pictures: served under the hash of all of them, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.web.gateway.cycle import Send

PREFIX: Final = "/static/"

_TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
"""What is served, and as what; licences lie beside it and are not."""

_FOREVER: Final = b"public, max-age=31536000, immutable"


class StaticFiles:
    """The files below a folder, as they are when this is made.

    Args:
        folder: with all files; only those whose type is known are served.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Path] = {}
        self._tags: dict[str, bytes] = {}
        tree = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            if path.suffix in _TYPES:
                name = path.relative_to(folder).as_posix()
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                tree.update(f"{name} {digest}\n".encode())
                self._files[name] = path
                self._tags[name] = f'"{digest[:32]}"'.encode()
        self._version = tree.hexdigest()[:16]

    def url(self, name: str) -> str:
        """The path of a file, which changes when any of the files does.

        Raises:
            LookupError: there is no such file.
        """
        if name not in self._files:
            raise LookupError(f"there is no static file {name}")
        return f"{PREFIX}{self._version}/{name}"

    async def serve(self, path: str, method: str, etag: bytes, send: Send) -> bool:
        """Answer a request for a path below `PREFIX`. False if there is no such file: then nothing was sent."""
        version, _, name = path.removeprefix(PREFIX).partition("/")
        file = self._files.get(name)
        if file is None or method not in ("GET", "HEAD"):
            return False
        tag = self._tags[name]
        caching = _FOREVER if version == self._version else b"no-cache"
        headers: list[tuple[bytes, bytes]] = [(b"etag", tag), (b"cache-control", caching)]
        if etag == tag:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return True
        body = file.read_bytes()
        headers += [(b"content-type", _TYPES[file.suffix]), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(_last(body if method == "GET" else b""))
        return True


def _last(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": False}
