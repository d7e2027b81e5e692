"""The check of `microlite doctor` that looks at the log-in: as whom commands act here."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from microlite.cli.failure import NOT_FOUND, CommandError
from microlite.cli.finding import Finding, broken, ok, warning
from microlite.cli.identity import find_identity, login_command
from microlite.cli.link import connect
from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_NAMESPACE
from microlite.core.log_ins import FILE

if TYPE_CHECKING:
    from microlite.cli.options import Options


def _check_namespace(options: Options) -> Finding:
    """Whether the namespace that the admin of the machine has chosen is there."""
    said = f"none: commands act as the admin of this machine, in {options.namespace}"
    try:
        with connect(options) as link:
            link.ask("namespaces", "read", name=options.namespace, timeout=5.0)
    except errors.NotFound as error:
        return warning("log-in", error.detail, "microlite user namespace set default")
    except (CommandError, errors.Error):
        return ok("log-in", said)  # whether a platform runs and answers is said by another check
    return ok("log-in", said)


def check_log_in(options: Options) -> Finding:
    """Whether the log-in by which commands act holds."""
    path = shlex.quote(str(options.home / FILE))
    try:
        identity = find_identity(options)
    except errors.Forbidden as error:
        return broken("log-in", error.detail, f"chmod 600 {path}")
    except errors.BadRequest as error:
        return broken("log-in", error.detail, f"rm {path}")
    except CommandError as error:
        return warning("log-in", error.detail, login_command(options.namespace, options.account))
    log_in = identity.log_in
    if log_in is None and not options.token:
        if options.namespace in (DEFAULT_NAMESPACE, PLATFORM_NAMESPACE):
            return ok("log-in", "none: commands act as the admin of this machine")
        return _check_namespace(options)
    named = "by the token in MICROLITE_TOKEN" if log_in is None else f"{log_in.account}, in {log_in.namespace}"
    own = options if log_in is None else options._replace(namespace=log_in.namespace)
    try:
        with connect(own, identity=identity) as link:
            link.ask("auth", "whoami", timeout=5.0)
    except CommandError as error:
        if error.code == NOT_FOUND:
            return ok("log-in", f"{named}; no platform runs that could be asked whether it holds")
        mend = "unset MICROLITE_TOKEN" if log_in is None else login_command(log_in.namespace, log_in.account)
        return warning("log-in", error.detail, mend)
    except errors.Error as error:
        return warning("log-in", f"{named}: {error.detail}", "")
    return ok("log-in", named)
