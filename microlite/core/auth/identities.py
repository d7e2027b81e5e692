"""All that says who somebody is and what he may do, put together for one platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.audit.log_ins import LogInAudit
from microlite.core.auth.accounts import Accounts
from microlite.core.auth.api import Explanation
from microlite.core.auth.authenticator import Authenticator
from microlite.core.auth.keys import Keys
from microlite.core.auth.log_in import LogIn
from microlite.core.auth.log_ins import LogIns
from microlite.core.auth.marks import LONGEST, Marks
from microlite.core.auth.passwords import Passwords
from microlite.core.auth.personal_tokens import PersonalTokens
from microlite.core.auth.policies import Policies
from microlite.core.auth.rule_checks import normal_resource
from microlite.core.auth.rules_book import RulesBook
from microlite.core.auth.signed_tokens import LEEWAY, SignedTokens
from microlite.core.auth.throttle import Throttle
from microlite.core.auth.web_sessions import WebSessions
from microlite.core.policy.decision import Decision, explain_call, explain_resource, is_built_in
from microlite.core.policy.rules import ResourceType

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from microlite.core.audit.audit import Audit
    from microlite.core.auth.passwords import Cost
    from microlite.core.clock import Clock
    from microlite.core.context import Account
    from microlite.core.description.structs import EndpointDescription
    from microlite.core.engine.api import Engine
    from microlite.core.policy.rules import Resource, RuleSet


class Identities:
    """The logic of the service `auth`.

    Args:
        engine: keeps accounts, log-ins, tokens and rules.
        audit: where every change of them is written down.
        home: the folder that holds the keys.
        clock: the time.
        admin_token: stands for the platform's admin.
        describe: the endpoint of this namespace, service and name, where there is one.
        cost: of the hashes of secrets; the usual without it.

    Attributes:
        authenticator: says whom a token stands for.
        rules: the rules of all namespaces.
        policies: what nodes are told.
        tokens: signs, and proves what was signed.
        marks: what holds no more of what was proven.
        keys, accounts, personal, log_in, web_sessions, throttle: as they are called.
    """

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        home: Path,
        clock: Clock,
        admin_token: str,
        describe: Callable[[str, str, str], EndpointDescription | None],
        cost: Cost | None = None,
    ) -> None:
        self._describe = describe
        self._passwords = Passwords(cost)
        self.audit = audit
        self.marks = Marks(clock)
        self.policies = Policies(self.marks, self._rules_of, clock)
        self.rules = RulesBook(engine, audit, clock, self.policies.spread)
        self.keys = Keys(home, clock, kept=LONGEST + LEEWAY)
        self.tokens = SignedTokens(self.keys, clock)
        self.personal = PersonalTokens(engine, self.policies.revoke, audit, clock)
        self.accounts = Accounts(engine, self._passwords, self.personal, audit, clock, self.policies.revoke)
        log_ins = LogIns(engine, self.keys, self.policies.revoke, clock)
        self.throttle = Throttle(clock)
        self.log_in = LogIn(
            engine,
            self.accounts,
            self._passwords,
            log_ins,
            self.tokens,
            self.throttle,
            self.policies.revoke,
            LogInAudit(audit, clock),
        )
        self.authenticator = Authenticator(
            engine, self.tokens, self.accounts, log_ins, self.personal, self.marks, admin_token, clock
        )
        self.web_sessions = WebSessions(engine, clock, self.accounts)

    async def explain(self, namespace: str, account: Account | None, resource: Resource) -> Explanation:
        """Why something would be allowed or denied.

        Args:
            namespace: where.
            account: who would do it; None for nobody.
            resource: what would be done, to one thing: without `*`.
        """
        wanted = normal_resource(resource)
        rules = await self.rules.load(namespace)
        others = tuple(rules.applicable(account, wanted.type, wanted.name, wanted.endpoint))
        if wanted.type == ResourceType.SERVICE:
            description = self._describe(namespace, wanted.name, wanted.endpoint)
            role = description.role if description is not None and is_built_in(wanted.name) else None
            scopes = description.scopes if description is not None else ()
            decision = explain_call(rules, account, wanted.name, wanted.endpoint, role, scopes)
            if description is None:
                reason = f"{decision.reason}; no such endpoint is registered at this moment"
                decision = Decision(decision.granted, reason, decision.rule)
        else:
            decision = explain_resource(rules, account, wanted.type, wanted.name, wanted.endpoint)
        return Explanation(
            granted=decision.granted,
            reason=decision.reason,
            resource=str(wanted),
            account=account.id if account is not None else "",
            rule=decision.rule,
            others=tuple(rule for rule in others if rule != decision.rule),
        )

    async def open(self) -> None:
        """Read the rules of all namespaces, which are asked for with each call."""
        await self.rules.open()

    async def forget_namespace(self, namespace: str) -> None:
        """End all tokens of a namespace, on every node, and forget its rules. Comes before its records are deleted."""
        marks = await self.accounts.marks(namespace)
        self.authenticator.forget_namespace(namespace)
        await self.rules.forget(namespace)
        await self.policies.revoke(marks)

    def close(self) -> None:
        """End the threads."""
        self._passwords.close()

    async def _rules_of(self, namespace: str) -> RuleSet:
        return await self.rules.load(namespace)
