"""What the gateway counts, in the form of Prometheus: one registry for each application.

A label is a word of the house: a route's pattern, a connection's name, an outcome. None ever holds what a person said,
or is, or an id. docs/operating.md says what each is good for; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import prometheus_client
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from channels.values import Outcome
from consent.tally import Gain
from gateway.version import VERSION
from inbox.review_list import Standing
from outbox.backlog import Backlog
from outbox.outcomes import Abandoned

# Else each count has a second series, which nobody asks for.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CHANNELS = ("sms", "whatsapp", "email")  # that messages come by
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Every count of one application, and the words in which the rest of the house adds to them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def count(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"optgate_{name}", help_, labels, registry=registry)

        def gauge(name: str, help_: str, *labels: str) -> Gauge:
            return Gauge(f"optgate_{name}", help_, labels, registry=registry)

        def spread(name: str, help_: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            return Histogram(f"optgate_{name}", help_, labels, buckets=buckets, registry=registry)

        self._requests = count("http_requests_total", "Requests that were answered", "method", "route", "status")
        self._request_seconds = spread("http_request_seconds", "How long an answer took", "method", "route")
        self._connections = gauge("http_connections", "Open connections of clients")
        self._closed = count("http_connections_closed_total", "Connections that we closed, and why", "why")
        self._inbound = count("inbound_messages_total", "Messages kept, repeats counted", "connection", "channel")
        self._refused = count("forms_refused_total", "What forms and requests for links did not let through", "reason")
        self._consent = count("consent_changes_total", "What people said, by every door", "to", "subject", "source")
        self._attempts = count("attempts_total", "Attempts to send that ended here", "connection", "outcome")
        self._attempt_seconds = spread("attempt_seconds", "How long the provider took", "connection")
        # Each is found once: to look a series up by its labels takes longer than to count.
        self._answers: Callable[[str, str, str], Counter] = cache(self._requests.labels)
        self._answered_in: Callable[[str, str], Histogram] = cache(self._request_seconds.labels)
        self._ends: Callable[[str, Any], Counter] = cache(
            lambda connection, outcome: self._attempts.labels(connection, _word(outcome))
        )
        self._took: Callable[[str], Histogram] = cache(self._attempt_seconds.labels)
        self._queued = gauge("queue_messages", "What waits to be sent", "connection")
        self._late = gauge("queue_late_seconds", "How long the first in the queue could have been sent", "connection")
        self._in_doubt = gauge("attempts_in_doubt", "Attempts that the provider is still asked about", "channel")
        self._forwards = gauge(
            "forwards", "Ordinary messages that are not yet where they are read", "connection", "status"
        )
        self._submissions = gauge("submissions", "Forms that were sent in and are not carried out", "status")
        self._reviews = gauge("reviews_open", "Reviews of what reads like a no that wait for a decision", "channel")
        self._review_age = gauge("review_oldest_seconds", "How long the oldest of them has waited", "channel")
        self._group_items = spread(
            "group_commit_items", "What one transaction kept", "group", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
        )
        self._group_seconds = spread("group_commit_seconds", "How long that transaction took", "group")
        self._loops = gauge("loop_alive", "1 while the loop runs", "loop")
        self._database = gauge("database_up", "1 when the database answered within two seconds")
        gauge("build_info", "The version that runs", "version").labels(VERSION).set(1)

    # --- as it happens ----------------------------------------------------------------------------

    def answered(self, method: str, route: str, status: str, seconds: float) -> None:
        """A request was answered; its client may have gone meanwhile (`gone`)."""
        method = method if method in _METHODS else "other"
        self._answers(method, route, status).inc()
        self._answered_in(method, route).observe(seconds)

    def kept(self, connection: str, channel: str, count: int) -> None:
        """Messages came in and are on disk."""
        self._inbound.labels(connection, channel).inc(count)

    def refused(self, reason: str) -> None:
        """A form that was sent in, or a link that was asked for, was not let through."""
        self._refused.labels(reason).inc()

    def ended(self, connection: str, outcome: Outcome | Abandoned, seconds: float) -> None:
        """An attempt ended."""
        self._ends(connection, type(outcome)).inc()
        if not isinstance(outcome, Abandoned):
            self._took(connection).observe(seconds)

    def committed(self, group: str) -> Callable[[int, float], None]:
        """What a group commit calls with its size and its seconds."""
        items, seconds = self._group_items.labels(group), self._group_seconds.labels(group)

        def note(count: int, took: float) -> None:
            items.observe(count)
            seconds.observe(took)

        return note

    def closed(self, why: str) -> None:
        """We closed a connection."""
        self._closed.labels(why).inc()

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Where the number of open connections is to be asked for."""
        self._connections.set_function(count)

    # --- as it is found ---------------------------------------------------------------------------

    def show_loops(self, alive: Mapping[str, bool]) -> None:
        for loop, is_alive in alive.items():
            self._loops.labels(loop).set(is_alive)

    def show_database(self, gains: Iterable[Gain], in_doubt: Mapping[str, int]) -> None:
        """What the database says at once; the backlog is to follow."""
        self._forget()
        self._database.set(1)
        for channel, count in in_doubt.items():
            self._in_doubt.labels(channel).set(count)
        for gain in gains:
            self._consent.labels(gain.to, gain.subject, gain.source).inc(gain.count)

    def show_forwards(self, connections: Iterable[str], counts: Mapping[tuple[str, str], int]) -> None:
        """What waits, and what nobody took, of connections whose messages go on, or went on once."""
        for connection in {*connections, *(connection for connection, _ in counts)}:
            for status in ("queued", "parked"):
                self._forwards.labels(connection, status).set(counts.get((connection, status), 0))

    def show_submissions(self, counts: Mapping[str, int]) -> None:
        for status, count in counts.items():
            self._submissions.labels(status).set(count)

    def show_reviews(self, standing: Mapping[str, Standing], *, now: datetime) -> None:
        for channel in _CHANNELS:
            one = standing.get(channel)
            self._reviews.labels(channel).set(one.count if one else 0)
            self._review_age.labels(channel).set((now - one.oldest_at).total_seconds() if one else 0)

    def show_backlog(self, backlog: Mapping[str, Backlog]) -> None:
        for connection, waiting in backlog.items():
            self._queued.labels(connection).set(waiting.queued)
            self._late.labels(connection).set(waiting.late_seconds)

    def show_no_database(self) -> None:
        """It does not answer: what only it knows is absent, and no stale figure stands in for it."""
        self._forget()
        self._database.set(0)

    def _forget(self) -> None:
        for gauge in (
            self._queued,
            self._late,
            self._in_doubt,
            self._forwards,
            self._submissions,
            self._reviews,
            self._review_age,
        ):
            gauge.clear()


METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)


def _word(outcome: type[object]) -> str:
    """`InDoubt` → in_doubt."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", outcome.__name__).lower()
