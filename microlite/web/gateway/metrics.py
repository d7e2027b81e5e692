"""What the gateway counts: cheap while a request is answered, and turned into Prometheus' text when asked."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the histogram's buckets, in seconds; one more is open."""

Key = tuple[str, str, str]
"""Namespace, service and endpoint. Built-in services have no namespace: they are the same in all."""


class EndpointStats:
    """Answers of one endpoint by status code, and how long they took."""

    __slots__ = ("buckets", "codes", "seconds")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def observe(self, code: int, seconds: float) -> None:
        """Count one answer. For a stream, `seconds` is the time until its end."""
        codes = self.codes
        codes[code] = codes.get(code, 0) + 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class GatewayCollector:
    """Presents the counters as a Prometheus collector.

    Args:
        endpoints: the counters by namespace, service and endpoint; the empty key holds what reached no endpoint.
        gauges: name, help text and present value of what is measured rather than counted.
    """

    def __init__(self, endpoints: Mapping[Key, EndpointStats], gauges: Iterable[tuple[str, str, float]]) -> None:
        self._endpoints = endpoints
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """The metrics, as prometheus_client wants them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily(
            "microlite_http_requests",
            "Requests that were answered.",
            labels=("namespace", "service", "endpoint", "code"),
        )
        durations = HistogramMetricFamily(
            "microlite_http_request_duration_seconds",
            "Time to the end of an answer.",
            labels=("namespace", "service", "endpoint"),
        )
        for key, stats in sorted(self._endpoints.items()):
            for code, count in sorted(stats.codes.items()):
                requests.add_metric((*key, str(code)), count)
            total = 0
            buckets = []
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), stats.buckets, strict=True):
                total += count
                buckets.append((bound, total))
            if total:
                durations.add_metric(key, buckets, stats.seconds)
        yield requests
        yield durations
        for name, text, value in self._gauges:
            yield GaugeMetricFamily(name, text, value)


def render(collector: GatewayCollector) -> bytes:
    """The metrics in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    from prometheus_client.exposition import generate_latest

    return generate_latest(collector)
