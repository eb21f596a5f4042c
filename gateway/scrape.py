"""`GET /metrics`: who may see it, and what is looked up when it is asked for."""

from __future__ import annotations

import asyncio
import hashlib

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from consent import tally
from forms import intake
from gateway.api.base import authenticated, require_scope
from gateway.metrics import Metrics
from gateway.peers import is_local
from gateway.problems import unauthorised
from gateway.services import House
from inbox import forwards, review_list
from outbox import backlog
from store.engine import is_away

SCOPE = "metrics"
OPENS_IT_TOO = "configure"  # as it did before there was a scope for it alone
PATIENCE_SECONDS = 2.0  # with the database: a scrape is given up by default after ten


class Watch:
    """What is looked up in the database for each scrape; what the history gains is counted on from scrape to scrape."""

    def __init__(self, house: House, metrics: Metrics, behind: int) -> None:
        self._house = house
        self._metrics = metrics
        self._behind = behind
        self._one_by_one = asyncio.Lock()
        self._admitted: set[bytes] = set()

    @classmethod
    async def begin(cls, house: House, metrics: Metrics) -> Watch:
        """Count from here on."""
        async with house.database.read() as conn:
            return cls(house, metrics, await tally.last(conn))

    async def page(self) -> bytes:
        """Every metric as it is now. While the database is away its figures are absent, and `database_up` is 0."""
        self._metrics.show_loops(self._house.loops)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._one_by_one:
                self._metrics.show_no_database()  # until it has answered
                await self._look()
        except Exception as error:
            if not is_away(error):
                raise
        return generate_latest(self._metrics.registry)

    async def _look(self) -> None:
        """What is quick first: a backlog of millions may take too long to count, and is absent then, alone."""
        now = self._house.now()
        async with self._house.database.read() as conn:
            in_doubt = await backlog.in_doubt(conn)
            behind, gains = await tally.gained(conn, behind=self._behind, now=now)
            self._behind = behind
            self._metrics.show_database(gains, in_doubt)
            self._metrics.show_forwards(self._house.desk.forwarded, await forwards.counted(conn))
            self._metrics.show_submissions(await intake.counted(conn))
            self._metrics.show_reviews(await review_list.standing(conn), now=now)
            self._metrics.show_backlog(await backlog.by_connection(conn, self._house.adapters, now=now))

    async def admit(self, request: web.Request) -> None:
        """Let in a program on this machine, or a key with the scope for it; raises Problem 401 or 403.

        A key that was let in before is let in while the database is away: that is when one wants to look.
        """
        if is_local(request):
            return
        shown = hashlib.sha256(request.headers.get("Authorization", "").encode("utf-8", "replace")).digest()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                key = await authenticated(request, self._house)
        except Exception as error:
            if is_away(error) and shown in self._admitted:
                return
            raise
        self._admitted.discard(shown)
        if key is None:
            raise unauthorised()
        if not key.may(OPENS_IT_TOO):
            require_scope(key, SCOPE)
        self._admitted.add(shown)


WATCH: web.AppKey[Watch] = web.AppKey("watch", Watch)


async def metrics(request: web.Request) -> web.Response:
    """The metrics, as Prometheus reads them."""
    watch = request.app[WATCH]
    await watch.admit(request)
    return web.Response(body=await watch.page(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def mount(app: web.Application) -> None:
    app.router.add_get("/metrics", metrics)
