"""nginx as a reverse proxy with kept-alive connections, in front of the same bare app."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Sample
from benchmarks.load import Post, measure
from benchmarks.peers import require_program
from benchmarks.peers.bare_asgi import BODY, BareAsgi
from benchmarks.processes import ProgramFailedError, end, family

_CONF = """\
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;  # the default closes a connection after 1,000 requests, which would cost nginx here
    upstream bare {{
        server 127.0.0.1:{upstream};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://bare;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


class Nginx:
    """nginx and a bare app of its own; the processor time of both counts."""

    name = "nginx → bare ASGI"

    def __init__(self, python: str) -> None:
        self._python = python
        self._bare = BareAsgi(python)
        self._server: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._port = 0

    def start(self) -> None:
        """Start the app, then nginx in front of it. Raises `PeerMissingError` without nginx."""
        binary = require_program("nginx", "apt-get install nginx-light")
        self._bare.start()
        self._folder = tempfile.TemporaryDirectory(prefix="bench-nginx-")
        folder = Path(self._folder.name)
        with socket.socket() as probe:  # nginx cannot take any free port by itself
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        user = "user root;" if os.geteuid() == 0 else ""  # else its workers could not enter our folder
        conf = folder / "nginx.conf"
        conf.write_text(_CONF.format(user=user, folder=folder, upstream=self._bare.port, port=self._port))
        command = [binary, "-p", str(folder), "-c", str(conf), "-e", str(folder / "error.log"), "-g", "daemon off;"]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait(folder / "error.log")

    @property
    def post(self) -> Post:
        """The request that every HTTP side answers."""
        return Post(f"http://127.0.0.1:{self._port}/echo/echo", BODY)

    def measure(self, seconds: float) -> Sample:
        """Return requests per second at 32 connections."""
        assert self._server is not None
        return measure(self.post, [*family(self._server.pid), self._bare.pid], seconds, self._python)

    def stop(self) -> None:
        """End nginx, then the app."""
        if self._server is not None:
            end(self._server)
            self._server = None
        self._bare.stop()
        if self._folder is not None:
            self._folder.cleanup()

    def _wait(self, log: Path) -> None:
        assert self._server is not None
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._server.poll() is None:
            try:
                self.post.once()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise ProgramFailedError(f"nginx does not answer: {log.read_text() if log.exists() else 'no log'}")
