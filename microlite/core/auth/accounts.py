"""Accounts: who there is in each namespace, what they may do, and their secrets."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.api import NewAccount
from microlite.core.auth.marks import account_mark
from microlite.core.auth.passwords import check_secret
from microlite.core.auth.records import ACCOUNTS, NAMES, PERSONAL, StoredAccount, decode, encode
from microlite.core.auth.secret_keys import new_secret
from microlite.core.auth.to_the_end import to_the_end
from microlite.core.context import (
    ADMIN_SCOPE,
    PLATFORM_ADMIN,
    PLATFORM_NAMESPACE,
    SERVICE,
    SERVICE_SCOPE,
    USER,
    service_account,
)
from microlite.core.description.naming import check_service_name
from microlite.core.engine.api import Batch, Check, Delete, Presence, Put
from microlite.core.scopes import check_scopes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from microlite.core.audit.audit import Audit
    from microlite.core.auth.api import AccountRecord
    from microlite.core.auth.passwords import Passwords
    from microlite.core.auth.personal_tokens import PersonalTokens
    from microlite.core.clock import Clock
    from microlite.core.context import Account, Origin
    from microlite.core.engine.api import Engine, Operation, Record

MAX_NAME: Final = 128
"""Most characters of an id, and of a name."""

MOST_STAMPS: Final = 10_000
"""Accounts whose stamps are in memory; the first that were looked up are forgotten first."""

MAX_METADATA: Final = 2_048
"""Most bytes of all that is noted about an account, since its tokens carry it."""

_ID: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]*[A-Za-z0-9])?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Accounts:
    """The accounts of all namespaces.

    Ids and names are unique together, in whatever letters they are written: one logs in by either. What may be done is asked
    of whoever acts: an admin of the namespace, or the platform's; those of the platform itself are only for the latter.

    Args:
        engine: keeps them.
        passwords: hash their secrets.
        personal: is asked which tokens go with an account.
        audit: where every change is written down.
        clock: the time.
        revoke: returns when marks hold no more, on any node.
    """

    def __init__(
        self,
        engine: Engine,
        passwords: Passwords,
        personal: PersonalTokens,
        audit: Audit,
        clock: Clock,
        revoke: Callable[[Sequence[str]], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._passwords = passwords
        self._personal = personal
        self._audit = audit
        self._clock = clock
        self._revoke = revoke
        self._stamps: OrderedDict[tuple[str, str], str] = OrderedDict()

    # -- reads ---------------------------------------------------------------------------------------------------------

    async def find(self, namespace: str, id: str) -> StoredAccount | None:
        """The account with this very id."""
        record = await self._engine.get(namespace, ACCOUNTS, id) if _fits(id) else None
        if record is None:
            self._stamps.pop((namespace, id), None)
            return None
        found = decode(record.value, StoredAccount)
        self._stamps[namespace, id] = found.stamp
        if len(self._stamps) > MOST_STAMPS:
            self._stamps.popitem(last=False)
        return found

    async def acting(self, namespace: str, id: str, type: str) -> Account | None:
        """An account as it acts now, for what was asked in its name earlier; None for one that is disabled or gone.

        A service needs no record to be one, and the platform's own admin is always there.
        """
        if (namespace, id) == (PLATFORM_ADMIN.namespace, PLATFORM_ADMIN.id):
            return PLATFORM_ADMIN
        stored = await self.find(namespace, id)
        if stored is None or stored.type != type:
            return service_account(id, namespace) if type == SERVICE else None
        return None if stored.disabled else stored.account(namespace)

    def stamp(self, namespace: str, id: str) -> str | None:
        """The stamp of an account that was looked up lately; None where none was found. From memory."""
        return self._stamps.get((namespace, id))

    async def find_by_name(self, namespace: str, name: str) -> StoredAccount | None:
        """The account with this id or name, in whatever letters."""
        key = _key(name)
        record = await self._engine.get(namespace, NAMES, key) if _fits(key) else None
        return await self.find(namespace, record.value.decode()) if record is not None else None

    async def get(self, namespace: str, id: str) -> StoredAccount:
        """The account with this id or name.

        Raises:
            NotFound: there is none.
        """
        found = await self.find(namespace, id) or await self.find_by_name(namespace, id)
        if found is None:
            raise errors.NotFound(f"the namespace {namespace} has no account {id[:MAX_NAME]!r}")
        return found

    async def page(self, namespace: str, after: str = "", limit: int = 100) -> list[AccountRecord]:
        """Accounts in the order of their ids."""
        found: list[AccountRecord] = []
        cursor: str | None = after
        while cursor is not None and len(found) < limit:
            page = await self._engine.scan(namespace, ACCOUNTS, after=cursor, limit=limit - len(found))
            found += [decode(record.value, StoredAccount).record(namespace) for record in page.records]
            cursor = page.cursor
        return found

    async def marks(self, namespace: str) -> list[str]:
        """Those of all accounts."""
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(namespace, ACCOUNTS, after=after, limit=1_000)
            found += [account_mark(decode(record.value, StoredAccount).stamp) for record in page.records]
            after = page.cursor
        return found

    # -- changes -------------------------------------------------------------------------------------------------------

    async def create(
        self,
        origin: Origin,
        actor: Account | None,
        *,
        id: str = "",
        name: str = "",
        type: str = USER,
        scopes: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        secret: str = "",
    ) -> NewAccount:
        """Make an account.

        Args:
            origin: who makes it, and in which namespace.
            actor: the same, with his rights.
            id: how it is known for ever; a made-up one without it.
            name: what people call it.
            type: `user` or `service`.
            scopes: what it may do.
            metadata: what is to be noted about it.
            secret: with which it logs in; a made-up one without it.

        Raises:
            BadRequest: something of it cannot be, or is taken.
            Forbidden: whoever asks may not.
        """
        namespace = origin.namespace
        check_admin(actor, namespace)
        if type not in (USER, SERVICE):
            raise errors.BadRequest(f"type: {type!r} is neither {USER!r} nor {SERVICE!r}")
        new_id = _check_id(id, type) if id else f"{type}-{secrets.token_hex(8)}"
        name = _check_name(name)
        kept_scopes = _check_scopes(scopes, type)
        notes = _check_metadata(metadata or {})
        secret = check_secret(secret) if secret else new_secret()
        if namespace == PLATFORM_NAMESPACE and PLATFORM_ADMIN.id in (_key(new_id), _key(name)):
            raise errors.BadRequest(_TAKEN_ID)
        stored = StoredAccount(
            id=new_id,
            type=type,
            name="" if name == new_id else name,
            scopes=kept_scopes,
            metadata=notes,
            created=self._clock.now(),
            created_by=origin.account,
            hash=await self._passwords.hash(secret),
            stamp=_new_stamp(),
        )
        standing = await self._standing(actor, namespace)
        for key, taken in ((_key(new_id), _TAKEN_ID), (_key(name), _TAKEN_NAME)):
            if key and await self._engine.get(namespace, NAMES, key) is not None:
                raise errors.BadRequest(taken)
        operations: list[Operation] = [
            *standing,
            Put(ACCOUNTS, new_id, encode(stored), expect=Presence.ABSENT),
            *(Put(NAMES, key, new_id.encode(), expect=Presence.ABSENT) for key in _keys(stored)),
            self._audit.entry(
                origin, "auth.accounts.create", f"account:{new_id}", type=type, name=stored.name, scopes=kept_scopes
            ),
        ]
        try:
            await self._engine.commit(Batch(namespace, tuple(operations)))
        except errors.Conflict:
            if await self._standing(actor, namespace) != standing:
                raise errors.Conflict("your own account was changed at the same moment; try again") from None
            raise errors.BadRequest(_TAKEN_ID) from None
        return NewAccount(**msgspec.structs.asdict(stored.record(namespace)), secret=secret)

    async def update(
        self,
        origin: Origin,
        actor: Account | None,
        id: str,
        *,
        name: str | None = None,
        scopes: Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        disabled: bool | None = None,
    ) -> AccountRecord:
        """Change what is given of an account. Other scopes, or being disabled, end all its log-ins.

        Raises:
            NotFound: there is none.
            BadRequest: something of it cannot be, or is taken.
            Forbidden: whoever asks may not, or would keep himself out.
            Conflict: somebody else changes it at this moment.
        """
        namespace = origin.namespace
        check_admin(actor, namespace)
        old = await self.get(namespace, id)
        record = await self._record(namespace, old.id)
        new_name = old.name if name is None else _check_name(name)
        new = msgspec.structs.replace(
            old,
            name="" if new_name == old.id else new_name,
            scopes=old.scopes if scopes is None else _check_scopes(scopes, old.type),
            metadata=old.metadata if metadata is None else _check_metadata(metadata),
            disabled=old.disabled if disabled is None else disabled,
        )
        if _is_self(actor, namespace, old):
            if new.disabled and not old.disabled:
                raise errors.Forbidden("an account cannot disable itself; another admin has to")
            if set(old.scopes) - set(new.scopes):
                raise errors.Forbidden("an account cannot take scopes from itself; another admin has to")
        ends = set(new.scopes) != set(old.scopes) or (new.disabled and not old.disabled)
        if ends:
            new = msgspec.structs.replace(new, stamp=_new_stamp())
        entry = self._audit.entry(
            origin,
            "auth.accounts.update",
            f"account:{old.id}",
            name=new.name if new.name != old.name else None,
            scopes=new.scopes if new.scopes != old.scopes else None,
            disabled=new.disabled if new.disabled != old.disabled else None,
            metadata=sorted(new.metadata) if new.metadata != old.metadata else None,
        )
        operations: list[Operation] = [
            *await self._standing(actor, namespace, old.id),
            Put(ACCOUNTS, old.id, encode(new), expect=record.revision),
            entry,
        ]
        before, now = _keys(old), _keys(new)
        for key in now - before:
            if await self._engine.get(namespace, NAMES, key) is not None:
                raise errors.BadRequest(_TAKEN_NAME)
            if namespace == PLATFORM_NAMESPACE and key == PLATFORM_ADMIN.id:
                raise errors.BadRequest(_TAKEN_NAME)
            operations.append(Put(NAMES, key, old.id.encode(), expect=Presence.ABSENT))
        operations += [Delete(NAMES, key) for key in before - now]
        await self._carry_out(namespace, operations, old.stamp if ends else "")
        return new.record(namespace)

    async def delete(self, origin: Origin, actor: Account | None, id: str) -> None:
        """Remove an account with all its tokens.

        Raises:
            NotFound: there is none.
            Forbidden: whoever asks may not, or it is himself.
            Conflict: somebody else changes it at this moment.
        """
        namespace = origin.namespace
        check_admin(actor, namespace)
        old = await self.get(namespace, id)
        if _is_self(actor, namespace, old):
            raise errors.Forbidden("an account cannot delete itself; another admin has to")
        record = await self._record(namespace, old.id)
        operations: list[Operation] = [
            *await self._standing(actor, namespace, old.id),
            Delete(ACCOUNTS, old.id, expect=record.revision),
            *(Delete(NAMES, key) for key in _keys(old)),
            *await self._personal_deletes(namespace, old),
            self._audit.entry(origin, "auth.accounts.delete", f"account:{old.id}"),
        ]
        await self._carry_out(namespace, operations, old.stamp)

    async def change_secret(
        self, origin: Origin, actor: Account | None, id: str, new_secret: str, old_secret: str
    ) -> None:
        """Give an account another secret. All its log-ins and personal access tokens end.

        Args:
            origin: who does.
            actor: the same, with his rights. Who is no admin needs the old secret, and so does everybody for himself.
            id: of the account, or its name.
            new_secret: from now on.
            old_secret: until now.

        Raises:
            NotFound: there is no such account.
            Forbidden: whoever asks may not, or the old secret is another one.
            BadRequest: the new one cannot be.
            Conflict: somebody else changes the account at this moment.
        """
        namespace = origin.namespace
        check_secret(new_secret)
        itself = actor is not None and actor.namespace == namespace and id == actor.id
        if not itself:
            check_admin(actor, namespace)
        old = await self.get(namespace, id)
        record = await self._record(namespace, old.id)
        itself = _is_self(actor, namespace, old)
        if (itself or old_secret) and not await self._passwords.verify(old.hash or None, old_secret):
            raise errors.Forbidden("old_secret: that is not the secret of the account")
        new = msgspec.structs.replace(old, hash=await self._passwords.hash(new_secret), stamp=_new_stamp())
        operations: list[Operation] = [
            *await self._standing(actor, namespace, old.id),
            Put(ACCOUNTS, old.id, encode(new), expect=record.revision),
            *await self._personal_deletes(namespace, old),
            self._audit.entry(origin, "auth.accounts.change-secret", f"account:{old.id}"),
        ]
        await self._carry_out(namespace, operations, old.stamp)

    async def rehash(self, namespace: str, account: StoredAccount, secret: str) -> None:
        """Keep the hash of a secret at the cost that new ones have, if nobody changes the account meanwhile."""
        record = await self._engine.get(namespace, ACCOUNTS, account.id)
        if record is not None and decode(record.value, StoredAccount) == account:
            new = msgspec.structs.replace(account, hash=await self._passwords.hash(secret))
            put = Put(ACCOUNTS, account.id, encode(new), expect=record.revision)
            try:
                await self._engine.commit(Batch(namespace, (put,)))
            except errors.Error:
                pass  # the next log-in tries again

    async def _record(self, namespace: str, id: str) -> Record:
        record = await self._engine.get(namespace, ACCOUNTS, id)
        if record is None:
            raise errors.NotFound(f"the namespace {namespace} has no account {id!r}")
        return record

    async def _standing(self, actor: Account | None, namespace: str, id: str = "") -> tuple[Check, ...]:
        """What has to hold still when a change of an account is on disk: that whoever makes it operates the namespace.

        So of two admins who remove each other one stays, and who was removed while his own change was under way does not
        leave an account behind.

        Args:
            actor: makes the change.
            namespace: of the change.
            id: of the account that is changed: for himself it is asked that he is what he was anyhow.

        Raises:
            Forbidden: it does not.
        """
        if actor is None or (actor.namespace, actor.id) in (
            (PLATFORM_ADMIN.namespace, PLATFORM_ADMIN.id),
            (namespace, id),
        ):
            return ()
        record = await self._engine.get(actor.namespace, ACCOUNTS, actor.id)
        stored = decode(record.value, StoredAccount) if record is not None else None
        if record is None or stored is None or stored.disabled or ADMIN_SCOPE not in stored.scopes:
            raise errors.Forbidden(f"{actor.id} operates {namespace} no more")
        if actor.namespace != namespace:
            return ()  # one commit is about one namespace
        return (Check(ACCOUNTS, actor.id, expect=record.revision),)

    async def _personal_deletes(self, namespace: str, account: StoredAccount) -> list[Delete]:
        return [Delete(PERSONAL, token.id) for token in await self._personal.of(namespace, account.id)]

    async def _carry_out(self, namespace: str, operations: Sequence[Operation], stamp: str) -> None:
        """Commit a change, and end what carries a stamp that holds no more."""

        async def carry_out() -> None:
            try:
                await self._engine.commit(Batch(namespace, tuple(operations)))
            except errors.Conflict:
                raise errors.Conflict("this account, or yours, is changed at the same moment; try again") from None
            if stamp:
                await self._revoke((account_mark(stamp),))

        await to_the_end(carry_out(), "change an account")


def check_admin(actor: Account | None, namespace: str) -> None:
    """Whoever gives rights in a namespace has to operate it. So nobody gives what he lacks: an admin has all rights there.

    Raises:
        Forbidden: he does not.
    """
    if actor is not None and actor.is_platform_admin:
        return
    if actor is None or not actor.is_admin or actor.namespace != namespace:
        who = actor.id if actor is not None else "nobody"
        whose = (
            "who operates the platform" if namespace == PLATFORM_NAMESPACE else f"admins of the namespace {namespace!r}"
        )
        raise errors.Forbidden(f"that is for {whose}, and {who} is none of them")


_TAKEN_ID: Final = "Account with this ID already exists"
_TAKEN_NAME: Final = "Account with this Name already exists"


def _is_self(actor: Account | None, namespace: str, account: StoredAccount) -> bool:
    return actor is not None and (actor.namespace, actor.id) == (namespace, account.id)


def _new_stamp() -> str:
    return secrets.token_hex(12)


def _key(name: str) -> str:
    """The form under which an id or name is unique."""
    return name.strip().casefold()


def _keys(account: StoredAccount) -> set[str]:
    return {_key(account.id), *([_key(account.name)] if account.name else [])}


def _fits(key: str) -> bool:
    """Whether it can be a key at all: who asks for what cannot be finds nothing."""
    try:
        return 0 < len(key.encode()) <= 512 and not _CONTROL.search(key)
    except UnicodeEncodeError:
        return False


def _check_id(id: str, type: str) -> str:
    if type == SERVICE:
        return check_service_name(id, versioned=True)
    if len(id) > MAX_NAME or not _ID.fullmatch(id):
        raise errors.BadRequest(
            f"id: {id[:MAX_NAME]!r} cannot be one: up to {MAX_NAME} letters, digits and . _ @ + - between them"
        )
    return id


def _check_name(name: str) -> str:
    name = name.strip()
    if len(name) > MAX_NAME or _CONTROL.search(name) or not (not name or _fits(_key(name))):
        raise errors.BadRequest(f"name: at most {MAX_NAME} characters in one line")
    return name


def _check_scopes(scopes: Sequence[str], type: str) -> tuple[str, ...]:
    found = check_scopes(scopes)
    if SERVICE_SCOPE not in found:
        return found
    if type != SERVICE:
        raise errors.BadRequest("scopes: `service` is the scope of services; make an account of the type `service`")
    return tuple(scope for scope in found if scope != SERVICE_SCOPE)


def _check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    if len(msgspec.json.encode(metadata)) > MAX_METADATA:
        raise errors.BadRequest(f"metadata: at most {MAX_METADATA} bytes, since each token carries it")
    return dict(metadata)
