"""Endpoints that are called by themselves, as a service declares them: at times, for events, for messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from microlite.core.description import Options, Place
from microlite.core.description.naming import normalise_endpoint
from microlite.core.library.endpoints import check_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.core.library.attachments import Attachment
    from microlite.core.library.endpoints import Endpoints

F = TypeVar("F", bound="Callable[..., Any]")


class Triggers:
    """The decorators of a `Service` that give an endpoint a trigger.

    What each of them needs is loaded when it is used, for most services use none.
    """

    name: str
    _endpoints: Endpoints
    _attachments: list[Attachment]

    def every(
        self,
        interval: str | float | None = None,
        /,
        *,
        cron: str = "",
        zone: str = "UTC",
        missed: Literal["skip", "once", "all"] = "once",
        overlap: Literal["skip", "queue", "allow"] = "skip",
        timeout: str | float = "5m",
        retries: int = 0,
        backoff: str | float = "1s",
        idempotent: bool = False,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Callable[[F], F]:
        """Have a function called at its times, once each, however many nodes there are: a schedule. A decorator.

        The platform keeps the times: a reload neither resets them nor runs the function twice. It makes an endpoint too,
        for `microlite call` and other services, but not for HTTP. Besides the context, each parameter needs a default.

        Args:
            interval: the time between two runs, `"10m"` or seconds.
            cron: in its place, five fields: minute, hour, day of the month, month, day of the week. `"0 6 * * *"` is daily
                at six.
            zone: the time zone of `cron`, `"Europe/Berlin"`.
            missed: what becomes of times that passed while the platform, or all nodes, were down: `skip` lets them pass,
                `once` makes up for all of them with one run, `all` runs each, the latest hundred at most.
            overlap: what happens when the run before has not ended: `skip` leaves the new one out, `queue` lets it wait,
                `allow` runs both.
            timeout: how long a run may take.
            retries: how often a run that failed is tried again.
            backoff: the time before the first such try; each next one waits twice as long, an hour at most.
            idempotent: running it twice is as good as once, so a run that a crash interrupted is run again.
            name: in place of the function's name.
            metadata: what the author says about it.

        Raises:
            DeclarationError: the times cannot be, or it could not be called without a request.
        """

        def declare(target: F) -> F:
            from microlite.core.library.schedule import schedule_of

            place = Place.of(target)
            trigger = schedule_of(
                place,
                interval,
                cron=cron,
                zone=zone,
                missed=missed,
                overlap=overlap,
                timeout=timeout,
                retries=retries,
                backoff=backoff,
            )
            options = Options(
                name=name, idempotent=idempotent, metadata=check_metadata(metadata, place), triggers=(trigger,)
            )
            self._endpoints.add(target, name or str(getattr(target, "__name__", "")), options)
            return target

        return declare

    def consume(
        self,
        topic: str,
        *,
        group: str = "",
        name: str | None = None,
        retries: int = 5,
        ack_wait: float | str = 30.0,
        backoff: float | str = 1.0,
        max_backoff: float | str = 300.0,
        concurrency: int = 32,
        start: str | float = "beginning",
        misfits: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Callable[[F], F]:
        """Have the platform call a function for each event of a topic; the event is acknowledged when it returns.

        Its first parameter after the context takes the payload, or, annotated `Event[T]`, the whole event. An exception
        makes the event come again later; `RetryLater` says when, `Reject` that it never need.

        Args:
            topic: which events, of the service's namespace.
            group: the name under which nodes share the events, each going to one of them; without it one of this service
                and function.
            name: of the endpoint, in place of the function's name.
            retries: how often an event that failed is delivered again before it becomes a dead letter; -1 for no limit.
            ack_wait: how long one delivery may take, until it counts as failed: seconds, or a text as in `"5m"`.
            backoff: how long to wait before the first retry; each further wait is twice as long.
            max_backoff: the longest such wait.
            concurrency: most events that are handled at the same time, all nodes together.
            start: where a new group begins: `"beginning"`, `"new"`, or a time in seconds since the Unix epoch.
            misfits: with it, the topic takes only payloads that fit the parameter: `"refuse"` tells the publisher,
                `"quarantine"` keeps others apart.
            metadata: what the author says about it.

        Raises:
            DeclarationError: signature, name or a setting cannot be; the text says where and what to write instead.
        """
        from microlite.core.library import consuming

        def decorate(target: F) -> F:
            place = Place.of(target)
            own = name or str(getattr(target, "__name__", ""))
            trigger = consuming.declare(
                place,
                topic=topic,
                group=group or f"{self.name}.{normalise_endpoint(own)}",
                retries=retries,
                ack_wait=ack_wait,
                backoff=backoff,
                max_backoff=max_backoff,
                concurrency=concurrency,
                start=start,
                misfits=misfits,
            )
            options = Options(name=name, metadata=check_metadata(metadata, place), triggers=(trigger,))
            self._endpoints.add(target, own, options, consuming.adapt)
            return target

        return decorate

    def subscribe(
        self,
        topic: str,
        *,
        queue: str = "",
        concurrency: int = 1,
        limit: int = 1_000,
        overflow: str = "drop_oldest",
        name: str | None = None,
    ) -> Callable[[F], F]:
        """Have each node call a function for each message of a topic. A decorator; several make several subscriptions.

        The function takes the message's value, as in `on_price(price: Price)`, after the context if it wants that; or,
        annotated `Message[Price]`, the whole message. The headers are the metadata of the call. A value that does not
        fit, and what the function raises, is logged, and the next message has its turn. It is an endpoint, too, which the
        command line can call; HTTP does not offer it.

        Args:
            topic: which messages; `*` stands for one word, `>` at the end for one or more, as in `prices.>`.
            queue: the queue group: of all nodes, of whichever service, that name it, one gets each message. Without it
                every node gets each.
            concurrency: how many messages a node handles at a time. One keeps them in order.
            limit: how many messages wait while the node is busy.
            overflow: what happens to more: `drop_oldest` or `drop_newest`. What is dropped is counted and logged.
            name: the endpoint's name, in place of the function's.

        Raises:
            DeclarationError: topic, options or signature cannot be.
        """
        from microlite.core.library.subscribing import Subscriber, trigger_of

        def declare(function: F) -> F:
            trigger = trigger_of(function, topic, queue=queue, concurrency=concurrency, limit=limit, overflow=overflow)
            self._attachments.append(Subscriber(self._endpoints.add_trigger(function, name, trigger), trigger))
            return function

        return declare
