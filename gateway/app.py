"""The HTTP application: every room's routes, and how the parts start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from time import monotonic

import structlog
from aiohttp import web
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from broadcasts.planner import Planner
from channels.http import open_session
from channels.values import Malformed, Unproved
from forms import centre, confirm, embed, link_requests, optin, trouble, unsubscribe
from forms.desk import DESK
from forms.intake import Intake
from gateway import listeners, peers, reference, scrape, signing, webhooks
from gateway.api import (
    answers,
    audit,
    base,
    batches,
    bodies,
    broadcasts,
    consent,
    dispositions,
    forms,
    forwards,
    interactions,
    merging,
    messages,
    own_page,
    preference_groups,
    preferences,
    profiles,
    questions,
    reviews,
    rules,
    settings,
    submissions,
    terms,
    verdicts,
)
from gateway.arrivals import ARRIVALS, Arrivals
from gateway.connections import NO_PAGE, ON_EVERY_ANSWER
from gateway.metrics import METRICS, Metrics
from gateway.prepare import prepare
from gateway.problems import from_exception, internal
from gateway.services import House, adapters_for, desk_for, office_for, policy_for, targets_for
from gateway.settings import Settings
from gateway.tidier import Tidier
from inbox.forwarder import Forwarder
from inbox.overdue import Overdue
from inbox.receive import Desk
from outbox.confirmations import ConfirmLinks
from outbox.dispatch import Dispatcher, Noted
from outbox.lines import CONCURRENCY
from outbox.manage_links import ManageLinks
from outbox.optout_links import OptOutLinks
from outbox.protocol import FROZEN_SECONDS
from outbox.sandbox import SandboxOutbox
from outbox.settlement import Settlement
from outbox.signed import Signed
from outbox.sweeper import Sweeper
from store import crash
from store.clock import Clock, utcnow
from store.engine import Database, DatabaseAway, is_away
from store.migrate import is_current

log = structlog.get_logger("gateway")

SWEEP_SECONDS = 5.0
TIDY_SECONDS = 600.0
FIRST_SECONDS = 60.0  # after a start, at the latest, each has its first turn
REVIEW_SECONDS = 60.0
LOOK_SECONDS = 1.0  # how often planner and settlement look what is due
ROUTES = (
    *profiles.ROUTES,
    *batches.ROUTES,
    *merging.ROUTES,
    *consent.ROUTES,
    *verdicts.ROUTES,
    *preference_groups.ROUTES,
    *preferences.ROUTES,
    *questions.ROUTES,
    *dispositions.ROUTES,
    *interactions.ROUTES,
    *rules.ROUTES,
    *reviews.ROUTES,
    *settings.ROUTES,
    *terms.ROUTES,
    *broadcasts.ROUTES,
    *messages.ROUTES,
    *forwards.ROUTES,
    *forms.ROUTES,
    *submissions.ROUTES,
    *own_page.ROUTES,
    *audit.ROUTES,
)
DRAINING: web.AppKey[asyncio.Event] = web.AppKey("draining", asyncio.Event)
SCHEDULER: web.AppKey[AsyncIOScheduler] = web.AppKey("scheduler", AsyncIOScheduler)


def build(settings_: Settings, *, clock: Clock = utcnow) -> web.Application:
    """The application; its parts start with it and stop, drained, when it is cleaned up."""
    app = web.Application(client_max_size=bodies.BYTES, middlewares=[_measured, _problems])
    app[DRAINING] = asyncio.Event()
    app[METRICS] = Metrics()
    app[peers.PROXIES] = peers.Proxies(
        peers.networks(settings_.server.trusted_proxies), ruled_out=settings_.server.is_loopback
    )
    base.mount(app, ROUTES, calls_per_minute=settings_.api.calls_per_minute)
    reference.mount(app, ROUTES, public_url=settings_.server.public_url)
    webhooks.mount(app)
    optin.mount(app)
    submissions.mount(app)
    embed.mount(app)
    unsubscribe.mount(app)
    confirm.mount(app)
    link_requests.mount(app)
    centre.mount(app)
    scrape.mount(app)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.cleanup_ctx.append(lambda started: _parts(started, settings_, clock))
    app.on_response_prepare.append(_headers)
    return app


async def _parts(app: web.Application, settings_: Settings, clock: Clock) -> AsyncIterator[None]:
    database = Database(settings_.database.url, idle_seconds=FROZEN_SECONDS)
    metrics = app[METRICS]
    try:
        async with open_session(CONCURRENCY * max(1, len(settings_.connections)), crash.point) as session:
            house = await open_house(database, settings_, session, clock, on_ended=metrics.ended)
            app[base.HOUSE] = house
            app[DESK] = desk_for(house, peers.client_address, metrics.refused)
            app[link_requests.LETTERS] = letters = link_requests.Letters(app[DESK])
            app[ARRIVALS] = arrivals = Arrivals(house, metrics)
            app[scrape.WATCH] = await scrape.Watch.begin(house, metrics)
            scheduler = app[SCHEDULER] = await start_loops(house)
            letters.start()
            try:
                async with listeners.open(house, arrivals):
                    yield
            finally:  # also where it cannot listen: the loops run already
                await stop_waking(scheduler)
                await arrivals.drain()
                await letters.stop()
                await house.stop_work()
    finally:
        await database.dispose()


async def open_house(
    database: Database, settings_: Settings, session: object, clock: Clock, *, on_ended: Noted | None = None
) -> House:
    """Put the parts together on a database that is brought up to date."""
    book = await prepare(database, settings_, now=clock())
    adapters = adapters_for(settings_, session, SandboxOutbox(database, clock))  # type: ignore[arg-type]
    async with database.read() as conn:
        secrets = await signing.believed(conn, settings_.server)
    links = OptOutLinks(settings_.server.public_url, secrets)
    confirm_links = ConfirmLinks(settings_.server.public_url, secrets)
    manage_links = ManageLinks(settings_.server.public_url, secrets)
    targets = targets_for(settings_, session, adapters)  # type: ignore[arg-type]
    desk = Desk(
        book,
        adapters,
        settings_.organisation.name,
        settings_.organisation.contact,
        unsubscribed=links.read_mail_token,
        forwarded=frozenset(targets),
        confirm_link=confirm_links,
    )
    policy = policy_for(settings_, links, manage_links, clock)
    dispatcher = Dispatcher(database, adapters, policy=policy, clock=clock, on_ended=on_ended)
    return House(
        settings=settings_,
        database=database,
        clock=clock,
        book=book,
        desk=desk,
        adapters=adapters,
        dispatcher=dispatcher,
        planner=Planner(database, clock=clock, on_planned=dispatcher.wake),
        settlement=Settlement(database, adapters, clock=clock),
        sweeper=Sweeper(database, clock=clock, owner=dispatcher.owner),
        tidier=Tidier(database, clock=clock),
        forwarder=Forwarder(database, targets, clock=clock, show=messages.shown),
        overdue=Overdue(database, clock=clock),
        intake=Intake(
            database, office_for(settings_, adapters, book, confirm_links), clock=clock, on_queued=dispatcher.wake
        ),
        policy=policy,
        links=links,
        confirm_links=confirm_links,
        manage_links=manage_links,
        signed=Signed(secrets, "optgate.pages"),
    )


async def start_loops(house: House) -> AsyncIOScheduler:
    """Start every loop, and what wakes those that look for what is due."""

    async def look() -> None:
        house.planner.wake()
        house.settlement.wake()
        house.forwarder.wake()

    async def sweep() -> None:
        house.sweeper.wake()
        house.intake.wake()

    async def tidy() -> None:
        house.tidier.wake()

    async def end_overdue() -> None:
        house.overdue.wake()

    # The scheduler keeps no jobs but these: it wakes, the database says what is due.
    scheduler = AsyncIOScheduler(timezone="UTC")
    for job, seconds in (
        (look, LOOK_SECONDS),
        (sweep, SWEEP_SECONDS),
        (tidy, TIDY_SECONDS),
        (end_overdue, REVIEW_SECONDS),
    ):
        first = utcnow() + timedelta(seconds=min(seconds, FIRST_SECONDS))
        scheduler.add_job(job, "interval", seconds=seconds, start_date=first, max_instances=1, coalesce=True)
    scheduler.start()
    house.sweeper.start()
    house.tidier.start()
    house.forwarder.start()
    house.overdue.start()
    house.intake.start()
    house.planner.start()
    house.dispatcher.start()
    house.settlement.start()
    return scheduler


async def stop_waking(scheduler: AsyncIOScheduler) -> None:
    """End the scheduler; what it has begun just now comes to its end first, which takes a turn of the loop or two."""
    scheduler.pause()
    for _ in range(3):
        await asyncio.sleep(0)
    scheduler.shutdown(wait=False)


# --- every answer -----------------------------------------------------------------------------


@web.middleware
async def _measured(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every request is counted and timed."""
    began = monotonic()
    response = await handler(request)
    status = str(response.status) if request.transport is not None else "gone"
    request.app[METRICS].answered(request.method, _route(request), status, monotonic() - began)
    return response


@web.middleware
async def _problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Exceptions become problem documents here, and nowhere else."""
    try:
        return await handler(request)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        problem = from_exception(error)
        if problem is None:
            log.exception("request.failed", method=request.method, route=_route(request))
            problem = internal()
        elif isinstance(error, Malformed | Unproved):
            _note(error, request)
        elif problem.status == 503 and request.transport is not None:  # None: the caller has gone, not the database
            kind = str(error) if isinstance(error, DatabaseAway) else type(error).__name__
            log.warning("database.away", method=request.method, route=_route(request), error=kind)
        if trouble.wants_page(request):
            return trouble.shown(request, problem.status, problem.headers)
        return problem.response()


def _note(error: Malformed | Unproved, request: web.Request) -> None:
    """Of a connection of ours; it names fields, never values."""
    connection, route = request.match_info.get("connection"), _route(request)
    if isinstance(error, Malformed):
        log.warning("webhook.malformed", connection=connection, route=route, why=str(error))
    else:
        log.warning("webhook.unproved", connection=connection, route=route, why=str(error))


def _route(request: web.Request) -> str:
    """The route's pattern, which holds no value."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(ON_EVERY_ANSWER)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Content-Security-Policy", NO_PAGE)
    if (standing := request.get(base.STANDING)) is not None:
        response.headers.update(standing.headers)


async def healthz(_request: web.Request) -> web.Response:
    """Alive."""
    return answers.answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Ready for traffic: the database answers and is up to date, every loop runs, no shut-down is under way."""
    house = request.app[base.HOUSE]
    if request.app[DRAINING].is_set():
        return answers.answer({"status": "draining"}, status=503)
    try:
        async with asyncio.timeout(3):
            loops = house.is_at_work and request.app[link_requests.LETTERS].is_running
            ready = await is_current(house.database) and request.app[SCHEDULER].running and loops
    except Exception as error:
        if not is_away(error) and not isinstance(error, TimeoutError):
            raise
        ready = False
    return answers.answer({"status": "ready" if ready else "not ready"}, status=200 if ready else 503)
