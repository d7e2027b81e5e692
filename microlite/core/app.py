"""The composition root: from settings to a running platform."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Final, Self

from microlite import onefile
from microlite.core import errors
from microlite.core.auth.admin_token import admin_token
from microlite.core.auth.one_time_links import OneTimeLinks
from microlite.core.auth.web_sessions import WebSessions
from microlite.core.broker.broker import Broker
from microlite.core.catalog import Parts, built_in_services
from microlite.core.clock import Clock, SystemClock
from microlite.core.config.assembly import assemble_configuration
from microlite.core.context import DEFAULT_NAMESPACE, Account
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.events.consumers import Consumers
from microlite.core.events.events import Events
from microlite.core.library.context import Scope
from microlite.core.library.dispatch import Dispatcher
from microlite.core.network.membership import Membership
from microlite.core.network.programs import Programs
from microlite.core.network.router import Router
from microlite.core.registry.registry import Registry
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import Listener, private_folder
from microlite.core.runtime.environments import Environments
from microlite.core.runtime.git.checkouts import Checkouts
from microlite.core.runtime.git.program import Git
from microlite.core.runtime.installer import Installer
from microlite.core.runtime.launch.fork import ForkLauncher
from microlite.core.runtime.logs import Logs
from microlite.core.runtime.machinery import Machinery, Patience
from microlite.core.runtime.runtime import Runtime
from microlite.core.runtime.watcher import Watcher
from microlite.core.schedules.reach import Reach
from microlite.core.schedules.scheduler import Scheduler
from microlite.core.server_file import remove_server_file, write_server_file
from microlite.core.settings import DATABASE, DEFAULT_PORT, ServerOptions
from microlite.core.store.blobs import Blobs
from microlite.core.store.records import Records
from microlite.core.tx.plans import Planners
from microlite.core.tx.transactions import Transactions
from microlite.core.user_config import UserConfig
from microlite.onefile.bytecode import compile_in_background
from microlite.version import __version__
from microlite.web.dashboard.parts import DashboardParts
from microlite.web.dashboard.server import bind_dashboard
from microlite.web.gateway.feed import PathFeed
from microlite.web.gateway.kept_answers import KeptAnswers
from microlite.web.gateway.options import GatewayOptions
from microlite.web.gateway.ports import PortTaken
from microlite.web.gateway.server import Gateway
from microlite.web.gateway.table import BUILT_IN, PathTable

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from microlite.core.library.service import Service
    from microlite.core.rpc.connection import Connection

SESSION_LINGER: Final = 2.0
"""Seconds after its last session at which a platform ends that was started for one."""

LIBRARY_NEEDS: Final = {"msgspec": "0.22", "uvloop": "0.23"}
"""The least versions of what the service library imports, as pyproject.toml has them; a test holds the two together."""

FIRST_SESSION: Final = 10.0
"""Seconds in which such a platform waits for its first session."""

log = logging.getLogger("microlite")


class Platform:
    """One platform: everything that `microlite server` runs. Enter it to start, leave it to stop.

    Attributes:
        stopping: set it to let `run_server` end; the platform sets it itself when its sessions are over.
    """

    def __init__(self, options: ServerOptions, clock: Clock | None = None, *, patience: Patience | None = None) -> None:
        self.options = options
        self._patience = patience or Patience()
        self.clock: Clock = clock or SystemClock()
        self.stopping = asyncio.Event()
        self.token = ""
        self._stack = contextlib.AsyncExitStack()
        self._sessions: set[Connection] = set()
        self._linger: asyncio.TimerHandle | None = None
        self._ready = False

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ready = False
        await self._stack.aclose()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        clock, home = self.clock, self.options.home
        private_folder(home)
        self.engine = await stack.enter_async_context(SQLiteEngine(home / DATABASE, clock))
        self.blobs = await stack.enter_async_context(Blobs(self.engine, clock))
        self.token = admin_token(home)
        self.registry = Registry(clock)
        self.router = Router(clock)
        self.membership = Membership(self.registry, self.router)
        self.events = await stack.enter_async_context(Events(self.engine, clock))
        self.events.run_beside(Consumers(self.events, self.membership, self.router.send).run(), "deliver events")
        self.logs = await stack.enter_async_context(Logs(home / "logs", clock))
        self.table = PathTable()
        PathFeed(self.membership, self.table)
        self.links = OneTimeLinks(self.engine, clock)
        self.dashboard = bind_dashboard(self.options)
        if self.dashboard is not None:
            stack.push_async_callback(self.dashboard.stop)
        self.gateway = await self._start_gateway()
        stack.push_async_callback(self.gateway.stop)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        launcher = await stack.enter_async_context(ForkLauncher(clock, os.environ, marker=_marker(home)))
        await launcher.sweep()
        watcher = await stack.enter_async_context(Watcher(clock))
        library = str(onefile.library_path())
        machinery = Machinery(
            home=home,
            clock=clock,
            launcher=launcher,
            environments=make_environments(self.options.home, onefile.library_path(), self.clock),
            checkouts=Checkouts(home / "checkouts", Git(os.environ, UserConfig(home)), clock),
            logs=self.logs,
            registry=self.registry,
            membership=self.membership,
            library=library,
            environ=os.environ,
            patience=self._patience,
        )
        self.runtime = Runtime(self.engine, machinery, watcher, group)
        self.configuration, self.configuration_views = await assemble_configuration(
            self.engine, self.registry, clock, self.options, os.environ, watcher, self.runtime, group, stack
        )
        self.scheduler = Scheduler(self.engine, clock, Reach(self.membership, self.router, self.registry))
        stack.push_async_callback(self.scheduler.close)
        self._serve_built_in()
        listener = Listener(
            platform_socket(home),
            self.router,
            role="platform",
            properties={
                "gateway": self.gateway.url,
                "dashboard": self.dashboard_url,
                "version": __version__,
                "pid": str(os.getpid()),
            },
            on_hello=self._on_hello,
            on_lost=self._on_lost,
        )
        await listener.start()
        stack.push_async_callback(listener.close)
        stack.push_async_callback(self._end_services)
        self.scheduler.start(group)
        stack.callback(self.scheduler.stop)
        await self.runtime.restore()
        write_server_file(
            home,
            gateway=self.gateway.url,
            dashboard=self.dashboard_url,
            socket=str(listener.path),
            version=__version__,
        )
        stack.callback(remove_server_file, home)
        self._ready = True
        if self.dashboard is not None:
            starting = self.dashboard.start(self._dashboard_parts(), self.gateway.url)
            group.create_task(starting, name="microlite: start the dashboard")
        if self.options.session:
            # Whoever started it for a session may be gone before it has opened one.
            self._linger = asyncio.get_running_loop().call_later(FIRST_SESSION, self._end_if_idle)
        group.create_task(machinery.environments.prune(keep=()), name="microlite: remove unused environments")
        group.create_task(self.runtime.prune_checkouts(), name="microlite: remove unused checkouts")
        compilation = compile_in_background()
        if compilation is not None:
            stack.callback(compilation.close)

    @property
    def dashboard_url(self) -> str:
        """Where the dashboard is reached, empty where there is none."""
        return self.dashboard.url if self.dashboard is not None else ""

    def _dashboard_parts(self) -> DashboardParts:
        return DashboardParts(
            send=self.router.send,
            links=self.links,
            sessions=WebSessions(self.engine, self.clock),
            admin_token=self.token,
            clock=self.clock,
            home=str(self.options.home),
        )

    async def _start_gateway(self) -> Gateway:
        options = self.options
        try:
            return await self._gateway_on(DEFAULT_PORT if options.port is None else options.port)
        except PortTaken:
            if options.port is not None or not options.session:
                raise
            return await self._gateway_on(0)

    async def _gateway_on(self, port: int) -> Gateway:
        options = self.options
        gateway = Gateway(
            GatewayOptions(
                host=options.host,
                port=port,
                allowed_hosts=options.allowed_hosts,
                cors_origins=options.cors_origins,
                namespace_by_host=options.namespace_by_host,
                access_log=options.access_log,
                dashboard_url=self.dashboard_url,
            ),
            table=self.table,
            send=self.router.send,
            programs=Programs(self.router),
            admin_token=self.token,
            clock=self.clock,
            ready=lambda: self._ready,
            answers=KeptAnswers(self.engine, self.clock),
        )
        await gateway.start()
        return gateway

    def _serve_built_in(self) -> None:
        records = Records(self.engine, self.clock)
        parts = Parts(
            links=self.links,
            dashboard=self.dashboard_url,
            backups=self.engine,
            configuration=self.configuration,
            configuration_views=self.configuration_views,
            broker=Broker(self.engine, self.membership, self.clock),
            events=self.events,
            registry=self.registry,
            membership=self.membership,
            runtime=self.runtime,
            logs=self.logs,
            engine=self.engine,
            scheduler=self.scheduler,
            blobs=self.blobs,
            records=records,
            transactions=Transactions(
                self.engine,
                self.clock,
                Planners(records, self.blobs, self.events, self.configuration, self.scheduler.planner),
            ),
        )
        for service in built_in_services(parts):
            self._serve(service)

    def _serve(self, service: Service) -> None:
        scope = Scope(
            service.name, node="platform", namespace=DEFAULT_NAMESPACE, transport=self.router, clock=self.clock
        )
        self.router.serve_here(service.name, Dispatcher(service, scope, checked=True))
        description = service.describe()
        self.registry.add_built_in(description)
        self.table.update(BUILT_IN, description)

    # -- connections ----------------------------------------------------------------------------------------------------

    def _on_hello(self, connection: Connection) -> None:
        hello = connection.peer
        assert hello is not None
        # The socket lies in a folder that only this user can enter, and the listener has asked the kernel as well.
        if hello.role == "node":
            connection.namespace = hello.properties.get("namespace", DEFAULT_NAMESPACE)
            node = hello.properties.get("node", "node")
            connection.service = hello.properties.get("service", "")
            connection.account = Account(
                id=node, type="service", namespace=connection.namespace, scopes=("service", "admin")
            )
        else:
            connection.account = Account(id="admin", scopes=("admin",))
        if "session" in hello.properties:
            self._sessions.add(connection)
            if self._linger is not None:
                self._linger.cancel()
                self._linger = None

    def _on_lost(self, connection: Connection) -> None:
        if connection in self._sessions:
            self._sessions.discard(connection)
            self._end_after_last_session()

    def _end_after_last_session(self) -> None:
        if self.options.session and not self._sessions and self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(SESSION_LINGER, self._end_if_idle)

    def _end_if_idle(self) -> None:
        self._linger = None
        if not self._sessions and not self.runtime.has_detached:
            self.stopping.set()

    async def _end_services(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        await self.runtime.close()


def run_server(options: ServerOptions) -> int:
    """Run a platform until it is asked to stop. Returns the exit code.

    SIGINT and SIGTERM drain; a second one ends at once.
    """
    say = _Announcer(options)
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if options.access_log:
        logging.getLogger("microlite.access").setLevel(logging.INFO)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(options, say))
    except errors.Error as error:
        say.failed(error.detail)
        return errors.exit_code(error) if errors.exit_code(error) != 127 else 1
    except BaseExceptionGroup as group:
        known, rest = group.split(errors.Error)
        if known is not None and rest is None:
            say.failed(_first(known).detail)
            return 1
        log.error("the platform ended by a fault of its own", exc_info=group)
        say.failed(
            "the platform ended by a fault of its own; logs/platform.log in its home, or this terminal, has the traceback"
        )
        return 1


def _first(group: BaseExceptionGroup[errors.Error]) -> errors.Error:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def _serve(options: ServerOptions, say: _Announcer) -> int:
    platform = Platform(options)
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        if platform.stopping.is_set():
            platform.runtime.cut()
            os._exit(130)  # asked twice: what still runs is given up
        platform.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    async with platform:
        say.ready(platform)
        await platform.stopping.wait()
        say.stopping()
    return 0


class _Announcer:
    """Says on the terminal, and to whoever waits on the descriptor, how the start goes."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options

    def ready(self, platform: Platform) -> None:
        self._report("ready")
        print(f"microlite {__version__} is running, home {self._options.home}")
        print(f"gateway    {platform.gateway.url}")
        if platform.dashboard is not None:
            print(f"dashboard  {platform.dashboard.url}  (log in with: microlite web)")
        sys.stdout.flush()

    def stopping(self) -> None:
        print("stopping: waiting for calls to finish (Ctrl-C again ends at once)", flush=True)

    def failed(self, detail: str) -> None:
        self._report(detail)
        print(f"{detail[:1].upper()}{detail[1:]}", file=sys.stderr)

    def _report(self, text: str) -> None:
        descriptor = self._options.ready_fd
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(descriptor, text.encode())
                os.close(descriptor)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.Loop
    return None


def make_environments(home: Path, library: Path, clock: Clock) -> Environments:
    """The environments of a home, for projects with dependencies of their own.

    Args:
        home: the folder of the platform.
        library: the folder that holds microlite and what a service imports of it, and nothing else.
        clock: for waiting, and for the age of environments.
    """
    installer = Installer(pip=_pip_command(), uv=shutil.which("uv") or "", environ=dict(os.environ))
    return Environments(
        home / "environments",
        library=library,
        version=__version__,
        needs=LIBRARY_NEEDS,
        installer=installer,
        clock=clock,
    )


def _pip_command() -> list[str]:
    """The installer for environments: the one that the one file carries, else that of the running Python."""
    bundle = onefile.extraction()
    if bundle is not None:
        return [sys.executable, str(bundle / "site-packages" / "pip")]
    return [sys.executable, "-m", "pip"]


def _marker(home: Path) -> str:
    return str(home.absolute())
