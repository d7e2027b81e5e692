"""Where one isolated service lives: its user id, its folders, the copies of its files, and who may come from there.

```
<folder of the cell>/         0710, root's, for the group of the service's id
    run/                      the platform's socket for this service alone
    environments/             under a user id: its dependencies
    sources-<generation>/     under a user id: copies of its files
    work/                     HOME and TMPDIR of its nodes: all that they can write
```
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.rpc.paths import platform_socket
from microlite.core.runtime.debug_ports import debugpy_folder
from microlite.core.runtime.isolation.availability import unreachable
from microlite.core.runtime.isolation.copying import copy_sources
from microlite.core.runtime.isolation.modes import Isolation
from microlite.core.runtime.isolation.sandbox import View
from microlite.core.runtime.launch.api import Confinement, Kind, LaunchSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from microlite.core.registry.api import Registration
    from microlite.core.runtime.sources import Source

_BOOTSTRAP: Final = "microlite/core/runtime/launch/bootstrap.py"
_LAUNCH: Final = Path(__file__).parents[1] / "launch"

_FOREIGN: Final = ("XDG_", "DBUS_", "SSH_", "GPG_", "SUDO_", "KRB5CCNAME", "MAIL", "XAUTHORITY")
"""Beginnings of variables that lead to the files and sockets of the user of the platform."""


class Cell:
    """One isolated service.

    Args:
        namespace: of the service.
        service: its name.
        mode: `UID` or `BWRAP`.
        uid: the user id; 0 for that of the platform.
        folder: of the cell; what was in it is gone.
        home: of the platform, which must not be seen.
        library: the folder with microlite, which its nodes can read.
    """

    def __init__(
        self, namespace: str, service: str, *, mode: Isolation, uid: int, folder: Path, home: Path, library: Path
    ) -> None:
        self.namespace, self.service = namespace, service
        self.mode, self.uid, self.folder = mode, uid, folder
        self._home, self.library = home, library
        self._admitted: dict[tuple[str, int], None] = {}

    @property
    def run(self) -> Path:
        """The folder of the platform's socket."""
        return self.folder / "run"

    @property
    def work(self) -> Path:
        """The folder that its nodes can write."""
        return self.folder / "work"

    @property
    def environments(self) -> Path:
        """The folder of its environments, under a user id."""
        return self.folder / "environments"

    # -- who comes from there ------------------------------------------------------------------------------------------

    def admit(self, node: str, generation: int) -> None:
        """The platform is about to start this node."""
        self._admitted[node, generation] = None

    def dismiss(self, node: str, generation: int) -> None:
        """It has ended. Blocking: the copy of its files goes with the last that used it."""
        self._admitted.pop((node, generation), None)
        if all(generation != other for _, other in self._admitted):
            shutil.rmtree(self._copies(generation), ignore_errors=True)

    def knows(self, node: str) -> bool:
        """Whether the platform has started a node of this id here."""
        return any(node == known for known, _ in self._admitted)

    def check(self, registration: Registration) -> Registration:
        """What a node says of itself, as far as it is believed: it has no address, since nobody else reaches its socket.

        Raises:
            Forbidden: it is not what the platform has started here.
        """
        node = registration.node
        if (registration.namespace, registration.service.name) != (self.namespace, self.service) or (
            (node.id, node.generation) not in self._admitted
        ):
            raise errors.Forbidden(
                f"the isolated service {self.service} of {self.namespace!r} cannot register "
                f"{registration.service.name} of {registration.namespace!r}, node {node.id}, generation {node.generation}: "
                "it is not what the platform has started there"
            )
        return msgspec.structs.replace(registration, node=msgspec.structs.replace(node, address="", pid=0))

    # -- its files -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the folders. Blocking."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for folder, mode in ((self.folder, 0o710), (self.run, 0o710), (self.environments, 0o755), (self.work, 0o700)):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
            if self.uid:
                os.chown(folder, self.uid if folder == self.work else 0, self.uid)
        temporary = self.work / "tmp"
        temporary.mkdir(mode=0o700)
        if self.uid:
            os.chown(temporary, self.uid, self.uid)

    def close(self) -> None:
        """Remove them. Blocking."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def confine(self, spec: LaunchSpec, source: Source, generation: int) -> LaunchSpec:
        """A process within the walls. Blocking: it may copy the files of the project.

        Args:
            spec: the process without them.
            source: what it is of.
            generation: of the node.

        Raises:
            BadRequest: it lies where it cannot be shown to anybody.
            ServiceUnavailable: the interpreter is out of the reach of its user id.
        """
        trees = [str(tree) for tree in self._trees(source)]
        copies = dict.fromkeys(trees, "")
        if self.uid:
            for number, tree in enumerate(trees):
                copies[tree] = str(self._copies(generation) / str(number))
                self._copy(tree, copies[tree])
        env = {key: value for key, value in spec.env.items() if not key.startswith(_FOREIGN)}
        env |= {
            "HOME": str(self.work),
            "TMPDIR": str(self.work / "tmp"),
            "USER": self.service,
            "LOGNAME": self.service,
            "MICROLITE_HOME": str(self.folder),
            "MICROLITE_ISOLATED": self.mode,
        }
        spec = msgspec.structs.replace(spec, env=env, library=str(self.library))
        if self.mode is Isolation.UID:
            return self._moved(spec, copies)
        return msgspec.structs.replace(spec, confinement=self._sandbox(spec, copies))

    def _copy(self, tree: str, copy: str) -> None:
        if Path(copy).is_dir():
            return  # for another node of the same generation
        above = Path(copy).parent
        above.mkdir(exist_ok=True)
        above.chmod(0o710)
        os.chown(above, 0, self.uid)
        copy_sources(Path(tree), Path(copy), group=self.uid, without=(self._home,))

    def _copies(self, generation: int) -> Path:
        return self.folder / f"sources-{generation}"

    def _trees(self, source: Source) -> Iterator[Path]:
        """The folders that it is of, none of which lies in another."""
        user = Path(os.path.realpath(Path.home()))
        folder = Path(source.folder)
        if user.is_relative_to(os.path.realpath(folder)):
            raise errors.BadRequest(
                f"{source.name} lies in {folder}, with all that its user has: move it into a folder of its own to isolate it"
            )
        root = Path(source.root) if source.root else folder
        if user.is_relative_to(os.path.realpath(root)) or not folder.is_relative_to(root):
            root = folder  # a repository of the whole home, say
        yield root
        for other in map(Path, source.path):
            if not other.is_relative_to(root):
                yield other

    def exposed(self, source: Source) -> str:
        """What every user of the machine, so every isolated service too, can read of the originals; empty if nothing."""
        if self.mode is not Isolation.UID:
            return ""  # a sandbox shows nothing of others, whatever its rights
        return next((str(tree) for tree in self._trees(source) if not unreachable(tree)), "")

    def _bootstrap(self) -> str:
        return str(self.library / _BOOTSTRAP) if self.uid else str(_LAUNCH / "bootstrap.py")

    def _moved(self, spec: LaunchSpec, copies: dict[str, str]) -> LaunchSpec:
        """The process with the copies in place of the originals, which its user id cannot read."""
        for python in {sys.executable, spec.python or sys.executable}:
            reason = unreachable(Path(python))
            if reason:
                raise errors.ServiceUnavailable(
                    f"{self.service} cannot be isolated by a user id of its own: {reason}, and the interpreter "
                    f"{python} lies there: start the platform with one that everybody can run, such as /usr/bin/python3, "
                    "or install bubblewrap"
                )
        if spec.debugger and (reason := unreachable(Path(debugpy_folder()))):
            raise errors.ServiceUnavailable(
                f"{self.service} cannot be debugged while a user id of its own isolates it: {reason}, and debugpy lies there"
            )

        def move(path: str) -> str:
            for tree, copy in copies.items():
                if path == tree or path.startswith(f"{tree}/"):
                    return copy + path[len(tree) :]
            return path

        return msgspec.structs.replace(
            spec,
            cwd=move(spec.cwd),
            script=move(spec.script),
            root=move(spec.root) if spec.root else None,
            path=tuple(map(move, spec.path)),
            last=tuple(folder for folder in map(move, spec.last) if Path(folder).is_relative_to(self.folder)),
            env={**spec.env, "PYTHONPATH": os.pathsep.join(map(move, spec.env["PYTHONPATH"].split(os.pathsep)))}
            if "PYTHONPATH" in spec.env
            else spec.env,
            confinement=Confinement(uid=self.uid, bootstrap=self._bootstrap()),
        )

    def _sandbox(self, spec: LaunchSpec, copies: dict[str, str]) -> Confinement:
        view = View(hidden=str(self._home), write=(str(self.work),), open_parents=bool(self.uid))
        for tree, copy in copies.items():
            view.show(tree, copy)
        view.show_interpreter(sys.executable)
        if spec.python:
            view.show_interpreter(spec.python)
        environment = spec.env.get("VIRTUAL_ENV", "")
        if environment and spec.kind is Kind.COMMAND and Path(environment, "pyvenv.cfg").is_file():
            view.show_interpreter(f"{environment}/bin/python")
        view.show(str(self.library))
        for package in self.library.iterdir():
            view.show(str(package))
        if not self.uid:
            view.show(str(_LAUNCH))
        if spec.debugger:
            view.show(debugpy_folder())
        view.show(str(platform_socket(self.folder).parent))
        words = view.words()
        return Confinement(uid=self.uid, sandbox=tuple(words), bootstrap=self._bootstrap())
