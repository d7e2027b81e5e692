"""The composition root: from settings to a running platform."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Self

from microlite import onefile
from microlite.core.assembly.environments import make_environments
from microlite.core.assembly.identity import assemble_identities
from microlite.core.assembly.isolation import make_cells
from microlite.core.assembly.namespaces import make_deletions
from microlite.core.assembly.nodes import Nodes
from microlite.core.assembly.sessions import Sessions
from microlite.core.assembly.state import State
from microlite.core.auth.admin_token import admin_token
from microlite.core.auth.authority import Authority
from microlite.core.auth.guard import Guard
from microlite.core.auth.one_time_links import OneTimeLinks
from microlite.core.catalog import Parts, built_in_services
from microlite.core.clock import Clock, SystemClock
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.exposure import check_exposure, check_secret, is_loopback
from microlite.core.library.context import Scope
from microlite.core.library.dispatch import Dispatcher
from microlite.core.network.membership import Membership
from microlite.core.network.programs import Programs
from microlite.core.network.router import Router
from microlite.core.policy.permits import Permits
from microlite.core.registry.registry import Registry
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import Listener, private_folder
from microlite.core.runtime.git.checkouts import Checkouts
from microlite.core.runtime.git.program import Git
from microlite.core.runtime.launch.fork import ForkLauncher
from microlite.core.runtime.logs import Logs
from microlite.core.runtime.machinery import Machinery, Patience
from microlite.core.runtime.runtime import Runtime
from microlite.core.runtime.watcher import Watcher
from microlite.core.server_file import remove_server_file, write_server_file
from microlite.core.settings import DEFAULT_PORT, ServerOptions
from microlite.core.user_config import UserConfig
from microlite.onefile.bytecode import compile_in_background
from microlite.version import __version__
from microlite.web.dashboard.parts import DashboardParts
from microlite.web.dashboard.server import bind_dashboard
from microlite.web.gateway.certificate_use import allowed_hosts, hsts, open_certificate
from microlite.web.gateway.feed import PathFeed
from microlite.web.gateway.kept_answers import KeptAnswers
from microlite.web.gateway.options import GatewayOptions
from microlite.web.gateway.ports import PortTaken
from microlite.web.gateway.server import Gateway
from microlite.web.gateway.table import BUILT_IN, PathTable

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from microlite.core.auth.passwords import Cost
    from microlite.core.context import Account
    from microlite.core.library.service import Service


class Platform:
    """One platform: everything that `microlite server` runs. Enter it to start, leave it to stop.

    Args:
        options: its settings.
        clock: the time; the machine's own without it.
        patience: how long nodes have for what they do; the usual without it.
        cost: of the hashes of secrets; the usual without it.

    Attributes:
        stopping: set it to let `run_server` end; the platform sets it itself when its sessions are over.
    """

    def __init__(
        self,
        options: ServerOptions,
        clock: Clock | None = None,
        *,
        patience: Patience | None = None,
        cost: Cost | None = None,
    ) -> None:
        self.options = options
        self._cost = cost
        self._patience = patience or Patience()
        self.clock: Clock = clock or SystemClock()
        self.stopping = asyncio.Event()
        self.token = ""
        self._stack = contextlib.AsyncExitStack()
        self._sessions = Sessions(options, self._end_if_idle)
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
        check_exposure(self.options)
        private_folder(home)
        self.certificate = open_certificate(self.options, clock)
        if self.certificate is not None:
            stack.callback(self.certificate.close)
        self.registry = Registry(clock)
        self.router = Router(clock)
        self.membership = Membership(self.registry, self.router)
        self.permits = Permits(lambda namespace: self.identities.rules.rules(namespace))
        self.state = State(home, clock, self.registry, self.router, self.membership, self.permits, self._resolve)
        await self.state.open(stack)
        self.token = admin_token(home)
        self.identities = assemble_identities(self.state, self.registry, home, clock, self.token, self._cost)
        stack.callback(self.identities.close)
        await self.identities.open()
        if not is_loopback(self.options.host):
            check_secret(self.token, f"the token in {home / 'admin.token'}")
        self.logs = await stack.enter_async_context(Logs(home / "logs", clock))
        identities = self.identities
        self.authority = Authority(
            identities.authenticator, identities.rules, self.registry.built_in, self.state.namespaces
        )
        identities.marks.subscribe(self.authority.standing.revoked)
        identities.policies.on_ruled(self.authority.standing.ruled)
        self.guard = Guard(self.authority, self.router, self.router.send)
        stack.push_async_callback(self.guard.close)
        self.nodes = Nodes(self.options, self.state.engine, identities, clock, self._sessions)
        self.table = PathTable()
        PathFeed(self.membership, self.table)
        self.links = OneTimeLinks(self.state.engine, clock)
        self.answers = KeptAnswers(self.state.engine, clock)
        self.dashboard = bind_dashboard(self.options, self.certificate)
        if self.dashboard is not None:
            stack.push_async_callback(self.dashboard.stop)
        self.gateway = await self._start_gateway()
        stack.push_async_callback(self.gateway.stop)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        launcher = await stack.enter_async_context(ForkLauncher(clock, os.environ, marker=_marker(home)))
        await launcher.sweep()
        watcher = await stack.enter_async_context(Watcher(clock))
        library = str(onefile.library_path())
        cells = await stack.enter_async_context(
            make_cells(self.options, onefile.library_path(), clock, self.guard, self.registry, self.nodes.admission)
        )
        machinery = Machinery(
            cells=cells,
            home=home,
            clock=clock,
            launcher=launcher,
            environments=make_environments(self.options.home, onefile.library_path(), self.clock),
            checkouts=Checkouts(home / "checkouts", Git(os.environ, UserConfig(home)), clock),
            logs=self.logs,
            registry=self.registry,
            membership=self.membership,
            tickets=self.nodes.tickets,
            library=library,
            environ=os.environ,
            patience=self._patience,
        )
        self.runtime = Runtime(self.state.engine, machinery, watcher, group)
        self.runtime.tenants = self.state.namespaces
        await self.state.complete(self.options, os.environ, watcher, self.runtime, group, stack)
        self.deletions = make_deletions(
            self.state,
            self.registry,
            self.runtime,
            self.logs,
            self.identities,
            self.answers.forget_namespace,
            self.table.forget,
            clock,
        )
        stack.push_async_callback(self.deletions.close)
        self._serve_built_in()
        listener = Listener(
            platform_socket(home),
            self.guard,
            role="platform",
            properties={
                "gateway": self.gateway.url,
                "dashboard": self.dashboard_url,
                "version": __version__,
                "pid": str(os.getpid()),
            },
            on_hello=self.nodes.on_hello,
            on_lost=self._sessions.on_lost,
        )
        await listener.start()
        stack.push_async_callback(listener.close)
        await self.nodes.open(self.guard, stack)
        stack.push_async_callback(self._end_services)
        self.state.scheduler.start(group)
        stack.callback(self.state.scheduler.stop)
        await self.runtime.restore()
        self.deletions.resume()
        write_server_file(
            home,
            gateway=self.gateway.url,
            dashboard=self.dashboard_url,
            socket=str(listener.path),
            version=__version__,
            host=self.options.host or "0.0.0.0",  # noqa: S104 - said, not bound
            certificate=str(self.options.tls_cert or ""),
            key=str(self.options.tls_key or ""),
        )
        stack.callback(remove_server_file, home)
        self._ready = True
        if self.dashboard is not None:
            starting = self.dashboard.start(self._dashboard_parts(), self.gateway.url)
            group.create_task(starting, name="microlite: start the dashboard")
        self._sessions.begin()
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
            send=self.guard.send,
            authority=self.authority,
            links=self.links,
            log_in=self.identities.log_in.account,
            on_revoked=self.identities.marks.subscribe,
            sessions=self.identities.web_sessions,
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
                allowed_hosts=allowed_hosts(options, self.certificate),
                cors_origins=options.cors_origins,
                namespace_by_host=options.namespace_by_host,
                trusted_proxies=options.trusted_proxies,
                hsts=hsts(options, self.certificate),
                access_log=options.access_log,
                dashboard_url=self.dashboard_url,
            ),
            table=self.table,
            send=self.router.send,
            programs=Programs(self.router),
            authority=self.authority,
            clock=self.clock,
            ready=lambda: self._ready,
            answers=self.answers,
            tenants=self.state.namespaces,
            keys=self.identities.keys.document,
            certificate=self.certificate,
        )
        await gateway.start()
        return gateway

    def _serve_built_in(self) -> None:
        state = self.state
        parts = Parts(
            audit=state.audit,
            identities=self.identities,
            links=self.links,
            dashboard=self.dashboard_url,
            backups=state.engine,
            configuration=state.configuration,
            configuration_views=state.configuration_views,
            broker=state.broker,
            events=state.events,
            registry=self.registry,
            membership=self.membership,
            permits=self.permits,
            runtime=self.runtime,
            logs=self.logs,
            namespaces=state.namespaces,
            deletions=self.deletions,
            engine=state.engine,
            scheduler=state.scheduler,
            blobs=state.blobs,
            records=state.records,
            transactions=state.transactions,
            tickets=self.nodes.tickets,
            join_tokens=self.nodes.join_tokens,
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

    async def _resolve(self, namespace: str, account: str, kind: str) -> Account | None:
        return await self.identities.accounts.acting(namespace, account, kind)

    def _end_if_idle(self) -> None:
        if not self.runtime.has_detached:
            self.stopping.set()

    async def _end_services(self) -> None:
        self._sessions.close()
        await self.runtime.close()


def _marker(home: Path) -> str:
    return str(home.absolute())
