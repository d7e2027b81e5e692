"""A hostile service behind its walls reaches nothing that is not its own, whichever walls these are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from microlite import connect
from tests.isolation.conftest import Server

HOSTILE = '''
    import asyncio, ctypes, os, signal, socket
    from microlite import Context, Service

    service = Service("hostile")

    def reached(attack) -> str:
        try:
            return f"REACHED {attack()!r}"
        except Exception as error:
            return f"denied: {type(error).__name__}: {error}"

    def read(path):
        if os.path.isdir(path):
            return os.listdir(path)
        with open(path, "rb") as file:
            return file.read(20)

    def dial(path):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(path)
            return one.recv(100)

    def ptrace(pid):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(16, pid, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")

    def kill(pid):
        os.kill(pid, 0)

    def become_root():
        os.setuid(0)

    @service.endpoint
    def files(paths: list[str]) -> dict[str, str]:
        return {path: reached(lambda: read(path)) for path in paths}

    @service.endpoint
    def write(paths: list[str]) -> dict[str, str]:
        return {path: reached(lambda: open(path, "ab")) for path in paths}

    @service.endpoint
    def sockets(paths: list[str]) -> dict[str, str]:
        return {path: reached(lambda: dial(path)) for path in paths}

    @service.endpoint
    def processes(pids: list[int]) -> dict[str, str]:
        attacks = {"kill": kill, "ptrace": ptrace}
        return {f"{name} {pid}": reached(lambda: attack(pid)) for pid in pids for name, attack in attacks.items()}

    @service.endpoint
    def root() -> str:
        return reached(become_root)

    @service.endpoint
    def own() -> dict[str, str]:
        return {"file": __file__, "home": os.environ["MICROLITE_HOME"], "env": repr(sorted(os.environ))}

    @service.endpoint
    async def ask(ctx: Context, service: str, endpoint: str, request: dict) -> str:
        try:
            return f"REACHED {await ctx.as_service.call(f'{service}.{endpoint}', **request)!r}"
        except Exception as error:
            return f"denied: {type(error).__name__}: {error}"

    @service.endpoint
    async def come_as(role: str, properties: dict[str, str], endpoint: str, request: dict) -> str:
        """Dial the platform as somebody else, and call; with the ticket that this node has, where one is asked for."""
        import gc
        import msgspec
        from microlite.core.library.peers import RefuseCalls
        from microlite.core.rpc.call import UnaryCall
        from microlite.core.rpc.paths import platform_socket
        from microlite.core.rpc.sockets import dial
        from pathlib import Path
        try:
            if "ticket" in properties:
                properties["ticket"] = next(it.token for it in gc.get_objects() if type(it).__name__ == "OwnTicket")
            path = str(platform_socket(Path(os.environ["MICROLITE_HOME"])))
            connection = await dial(path, RefuseCalls(), role=role, properties=properties)
            service, _, name = endpoint.partition(".")
            call = UnaryCall(service, name, msgspec.msgpack.encode(request))
            return f"REACHED {await asyncio.wait_for(call.run(connection.start), 5)!r}"
        except Exception as error:
            return f"denied: {type(error).__name__}: {error}"

    if __name__ == "__main__":
        service.run()
'''

VICTIM = """
    from microlite import Service

    service = Service("victim")

    @service.endpoint
    def secret() -> str:
        return "of the victim"

    if __name__ == "__main__":
        service.run()
"""


async def test_it_reaches_no_file_socket_or_process_of_anybody_else(server: Server) -> None:
    """Database, token, keys, logs, sources of another namespace, sockets, processes and their variables."""
    hostile = server.write("hostile/main.py", HOSTILE)
    victim = server.write("victim/main.py", VICTIM)
    async with server:
        await server.call("config.set", path="password", value="hush", secret=True)
        await server.call("namespaces.create", name="other")
        async with connect(server.home, namespace="other") as other:
            request = {"sources": [str(victim.parent)]}
            (status,) = await other.call("runtime.run", request=request)
        assert status["state"] == "running", status
        await server.run("hostile", environment={**os.environ, "SECRET_OF_THE_USER": "hush"}, env={"GIVEN": "this"})
        own = await server.call("hostile.own")
        assert "SECRET" not in own["env"]
        assert "GIVEN" in own["env"]
        files = [path for path in server.home.rglob("*") if path.is_file() and "isolated" not in path.parts]
        assert {"microlite.db", "admin.token", "config.keys"} <= {path.name for path in files}
        copies = [path for path in server.folder.rglob("main.py") if path.parent != hostile.parent]
        pids = [server.process.pid, *(pid for node in status["nodes"] for pid in _tree(node["pid"])), os.getpid()]
        variables = [f"/proc/{pid}/{name}" for pid in pids for name in ("environ", "mem", "root/etc/passwd")]
        own_copies = [path for path in copies if "hostile" in path.read_text()]
        wanted = [server.home, victim, *files, *(set(copies) - set(own_copies)), *variables, "/etc/shadow"]
        outcomes = await server.call("hostile.files", paths=[str(path) for path in wanted])
        if outcomes[str(server.home)] == "REACHED ['isolated']":  # an empty folder, so that its own has a place
            del outcomes[str(server.home)]
        _all_denied(outcomes)
        sources = [own["file"], str(hostile), str(Path(own["home"], "planted")), "/usr/planted"]
        _all_denied(await server.call("hostile.write", paths=sources))
        sockets = [path for path in server.folder.rglob("*.s") if path.is_socket()]
        assert len(sockets) >= 4, "the platform's, one for each cell, and those of the nodes"
        foreign = [path for path in sockets if not path.is_relative_to(own["home"])]
        _all_denied(await server.call("hostile.sockets", paths=[str(path) for path in foreign]))
        _all_denied(await server.call("hostile.processes", pids=pids))
        _all_denied({"setuid": await server.call("hostile.root")})


async def test_it_is_taken_for_nothing_but_itself(server: Server) -> None:
    """Neither as a client nor as a node of another name does it get more than the service itself has."""
    server.write("hostile/main.py", HOSTILE)
    async with server:
        status = await server.run("hostile")
        node = status["nodes"][0]
        run = {"request": {"sources": [str(server.services / "hostile")], "name": "second", "isolate": "off"}}
        _all_denied({"run": await server.call("hostile.ask", service="runtime", endpoint="run", request=run)})
        _all_denied(
            {"kill": await server.call("hostile.ask", service="runtime", endpoint="kill", request={"services": []})}
        )
        registration = {
            "service": {"name": "orders", "version": "1", "endpoints": []},
            "node": {"id": node["id"], "generation": node["generation"]},
            "namespace": "default",
        }
        me = {"node": node["id"], "namespace": "default", "service": "hostile"}
        attempts: list[tuple[str, dict[str, str], str, dict[str, Any]]] = [
            ("client", {}, "runtime.status", {}),
            ("client", {}, "runtime.run", run),
            ("node", me, "runtime.status", {}),
            ("node", {**me, "namespace": "other"}, "network.routes", {}),
            ("node", {**me, "service": "orders"}, "network.routes", {}),
            ("node", {**me, "node": "orders-1"}, "network.routes", {}),
            ("peer", me, "network.routes", {}),
            ("node", me, "registry.register", {"registration": registration}),
            ("client", {}, "registry.register", {"registration": registration}),
            (
                "node",
                me,
                "registry.register",
                {"registration": _of(registration, "hostile", "default", "hostile-2", 1)},
            ),
            (
                "node",
                me,
                "registry.register",
                {"registration": _of(registration, "hostile", "default", node["id"], 99)},
            ),
            ("node", me, "registry.register", {"registration": _of(registration, "hostile", "other", node["id"], 99)}),
        ]
        attempts += [
            (role, {**said, "ticket": ""}, what, asked) for role, said, what, asked in attempts if role == "node"
        ]
        for role, properties, endpoint, request in attempts:
            said = await server.call(
                "hostile.come_as", role=role, properties=properties, endpoint=endpoint, request=request
            )
            _all_denied({f"{role} {properties} {endpoint}": said})
        (record,) = await server.call("registry.list")
        assert record["name"] == "hostile"
        assert not record["nodes"][0]["address"], "nobody is sent to a socket that it names"


def _of(registration: dict[str, Any], service: str, namespace: str, node: str, generation: int) -> dict[str, Any]:
    return {
        "service": {**registration["service"], "name": service},
        "node": {"id": node, "generation": generation},
        "namespace": namespace,
    }


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _tree(int(child)))]


def _all_denied(outcomes: dict[str, str]) -> None:
    assert outcomes
    assert not {what: outcome for what, outcome in outcomes.items() if not outcome.startswith("denied")}
