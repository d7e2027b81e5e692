"""A process that runs command lines, each in a fork of its own: real processes, without the start of a Python for each.

It gets, over the socket of its one argument, four open files for each: the words as JSON, and the standard three. It
answers the exit code.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from microlite.__main__ import main
from microlite.cli import call, dynamic, entry, link

IMPORTED = (call, dynamic, entry, link)
"""What each command would import first."""


def serve(control: socket.socket) -> None:
    """Run what is asked for, until nobody is there to ask."""
    while True:
        _, files, _, _ = socket.recv_fds(control, 1, 4)
        if not files:
            return
        child = os.fork()
        if child == 0:
            control.close()
            for number, file in enumerate(files[1:]):
                os.dup2(file, number)
            with os.fdopen(files[0], encoding="utf-8") as words:
                sys.argv = ["microlite", *json.load(words)]
            sys.exit(main())
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        control.send(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
