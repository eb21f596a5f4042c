"""What an operator sees at /metrics: what it counts, who may see it, and that nobody is to be seen in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import METRICS
from gateway.scopes import SCOPES
from gateway.settings import Settings
from tests.flows.away import Wire
from tests.flows.conftest import gateway, settings, twilio  # noqa: F401 - fixtures
from tests.flows.posting import form_of, press
from tests.flows.running import ANA, BEN, CLEO, Gateway, eventually
from tests.standins import twilio as answers
from tests.standins.twilio import TwilioStandIn

ROOT = Path(__file__).resolve().parents[2]
YES = {"channels": {"sms": "yes"}}
Sample = tuple[str, frozenset[tuple[str, str]]]


def read(page: bytes) -> dict[Sample, float]:
    """Every sample of a page."""
    families = text_string_to_metric_families(page.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


async def scraped(gateway: Gateway) -> dict[Sample, float]:  # noqa: F811
    got = await gateway.ask("GET", "/metrics", key=await gateway.key("metrics"))
    assert (got.status, got.type) == (200, "text/plain")
    return read(got.body)


def of(samples: dict[Sample, float], name: str, **labels: str) -> float | None:
    return samples.get((f"optgate_{name}", frozenset(labels.items())))


# --- what it counts ---------------------------------------------------------------------------


async def test_requests_are_counted_by_pattern_method_and_status(gateway: Gateway) -> None:  # noqa: F811
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.profile(ana["id"])
    await gateway.ask("GET", "/v1/profiles/nobody")
    await gateway.ask("GET", f"/{ANA}/nowhere")
    await gateway.ask("PROPFIND", "/healthz")
    samples = await scraped(gateway)
    of_profile = {"method": "GET", "route": "/v1/profiles/{id}"}
    assert of(samples, "http_requests_total", **of_profile, status="200") == 1
    assert of(samples, "http_requests_total", **of_profile, status="404") == 1
    assert of(samples, "http_request_seconds_count", **of_profile) == 2
    assert of(samples, "http_requests_total", method="GET", route="unknown", status="404") == 1
    assert of(samples, "http_requests_total", method="other", route="unknown", status="405") == 1
    assert (of(samples, "http_connections") or 0) >= 1


async def test_messages_and_what_they_said_are_counted_once_settled(gateway: Gateway) -> None:  # noqa: F811
    await gateway.text_in("STOP", ANA)
    await gateway.text_in("STOP", BEN)
    await gateway.text_in("START", BEN)
    await gateway.whatsapp_in("STOP", CLEO)
    ana = (await gateway.whose(f"sms:{ANA}"))[0]
    await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "agent", "name": "Kim"})
    await gateway.text_in("hello", ANA)
    early = await scraped(gateway)
    assert of(early, "inbound_messages_total", connection="sms", channel="sms") == 4
    assert of(early, "inbound_messages_total", connection="whatsapp", channel="whatsapp") == 1
    assert (of(early, "group_commit_items_sum", group="inbox"), of(early, "loop_alive", loop="planner")) == (5, 1)
    assert not [name for name, _ in early if name == "optgate_consent_changes_total"], "a line may still be on its way"
    gateway.clock.advance(seconds=16)
    for _ in range(2):  # a second scrape counts nothing twice
        later = await scraped(gateway)
        said = {tuple(dict(at)[word] for word in ("to", "subject", "source")): value
                for (name, at), value in later.items() if name == "optgate_consent_changes_total"}  # fmt: skip
        assert said[("no", "sms", "keyword")] == 2
        assert said[("yes", "sms", "keyword")] == 1
        assert said[("no", "whatsapp", "keyword")] == 1
        assert said[("no", "email", "api")] == 1


async def test_attempts_are_counted_by_how_they_ended(
    gateway: Gateway,  # noqa: F811
    twilio: TwilioStandIn,  # noqa: F811
) -> None:
    ways = {ANA: answers.accepted(), BEN: answers.error(400, 21610, "no"), CLEO: answers.broken(500)}
    for number, answer in ways.items():
        twilio.default = answer
        person = await gateway.person(f"sms:{number}", consent=YES)
        await gateway.sent({"profiles": [person["id"]]})
    samples = await scraped(gateway)
    for outcome in ("accepted", "rejected", "in_doubt"):
        assert of(samples, "attempts_total", connection="sms", outcome=outcome) == 1, outcome
    assert of(samples, "attempt_seconds_count", connection="sms") == 3
    assert of(samples, "attempts_in_doubt", channel="sms") == 1


async def test_what_waits_is_shown_by_connection_and_what_is_paused_is_not_late(gateway: Gateway) -> None:  # noqa: F811
    person = await gateway.person(f"sms:{ANA}", consent=YES)
    await gateway.house.dispatcher.stop()
    broadcast = await gateway.broadcast({"profiles": [person["id"]]})

    async def planned() -> bool:
        return of(await scraped(gateway), "queue_messages", connection="sms") == 1

    await eventually(planned)
    gateway.clock.advance(seconds=300)
    samples = await scraped(gateway)
    assert 300 <= (of(samples, "queue_late_seconds", connection="sms") or 0) < 330
    assert of(samples, "queue_messages", connection="whatsapp") == 0
    assert of(samples, "loop_alive", loop="dispatcher") == 0
    await gateway.api("POST", f"/v1/broadcasts/{broadcast}/pause")
    samples = await scraped(gateway)
    assert of(samples, "queue_messages", connection="sms") == 1
    assert of(samples, "queue_late_seconds", connection="sms") == 0


# --- who may see it ---------------------------------------------------------------------------


async def test_a_key_with_the_scope_for_it_opens_it_and_no_other(gateway: Gateway) -> None:  # noqa: F811
    opening = {"metrics", "configure", "admin"}
    assert opening < set(SCOPES)
    for scope in SCOPES:
        got = await gateway.ask("GET", "/metrics", key=await gateway.key(scope))
        assert got.status == (200 if scope in opening else 403), scope
        assert (b"optgate_" in got.body) == (scope in opening), scope
    assert (await gateway.ask("GET", "/metrics", key=await gateway.key("consent:read", "send"))).status == 403
    got = await gateway.ask("GET", "/metrics", key="og_wrong")
    assert (got.status, b"optgate_" in got.body) == (401, False)


async def test_behind_a_public_url_it_asks_for_a_key_whatever_proxy_stands_before_it(
    gateway: Gateway,  # noqa: F811
) -> None:
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": "203.0.113.7"}):
        assert (await gateway.send("GET", "/metrics", headers=headers)).status == 401


async def test_a_program_on_this_machine_needs_no_key_beside_a_trusted_proxy(gateway: Gateway) -> None:  # noqa: F811
    await gateway.restart(server=gateway.settings.server.model_copy(update={"trusted_proxies": ["127.0.0.1"]}))
    assert (await gateway.send("GET", "/metrics")).status == 200
    through = {"X-Forwarded-For": "127.0.0.1, 203.0.113.7"}
    assert (await gateway.send("GET", "/metrics", headers=through)).status == 401


async def test_on_trial_a_program_on_this_machine_needs_no_key(gateway: Gateway) -> None:  # noqa: F811
    ours = gateway.settings.server.model_copy(update={"public_url": "http://127.0.0.1:8080"})
    await gateway.restart(server=ours)
    assert (await gateway.send("GET", "/metrics")).status == 200
    assert (await gateway.send("GET", "/metrics", headers={"X-Forwarded-For": "127.0.0.1"})).status == 401


@asynccontextmanager
async def database_gone(gateway: Gateway, wire: Wire | None) -> AsyncIterator[None]:  # noqa: F811
    """Nobody can even read meanwhile."""
    if wire is not None:
        await wire.cut()
        yield
        await wire.join()
        return
    file = Path(gateway.house.database.url.database or "")
    await gateway.house.stop_work()
    await gateway.house.database.dispose()
    there = file.rename(file.with_suffix(".hidden"))
    file.mkdir()
    yield
    file.rmdir()
    there.rename(file)


async def test_while_the_database_is_away_it_answers_without_what_only_that_knows(
    settings: Settings,  # noqa: F811
    database_url: str,
    dialect: str,
) -> None:
    wire = Wire(database_url) if dialect == "postgresql" else None
    if wire is not None:
        await wire.join()
        settings = settings.model_copy(update={"database": settings.database.model_copy(update={"url": wire.url})})
    gateway = Gateway(settings)  # noqa: F811
    await gateway.start()
    assert of(await scraped(gateway), "database_up") == 1
    key, stranger = await gateway.key("metrics"), await gateway.key("admin")
    async with database_gone(gateway, wire):
        await still_answers(gateway, key, stranger)
    samples = await scraped(gateway)
    assert of(samples, "database_up") == 1
    assert of(samples, "queue_messages", connection="sms") == 0
    await gateway.stop()
    if wire is not None:
        await wire.cut()


async def still_answers(gateway: Gateway, key: str, stranger: str) -> None:  # noqa: F811
    got = await asyncio.wait_for(gateway.ask("GET", "/metrics", key=key), 60)
    assert got.status == 200
    samples = read(got.body)
    assert of(samples, "database_up") == 0
    assert not [name for name, _ in samples if name.startswith("optgate_queue")], "no stale figure stands in for it"
    assert of(samples, "loop_alive", loop="sweeper") is not None
    assert (await gateway.ask("GET", "/metrics", key=stranger)).status == 503, "nobody can tell whose key that is"


async def test_what_waits_for_a_decision_is_counted_with_its_age(gateway: Gateway) -> None:  # noqa: F811
    assert of(await scraped(gateway), "reviews_open", channel="sms") == 0
    await gateway.text_in("leave me alone", ANA)
    gateway.clock.advance(hours=1)
    await gateway.text_in("no more messages", BEN)
    samples = await scraped(gateway)
    assert of(samples, "reviews_open", channel="sms") == 2
    assert of(samples, "reviews_open", channel="email") == 0
    assert 3600 <= (of(samples, "review_oldest_seconds", channel="sms") or 0) < 3700


# --- nobody is to be seen in it ---------------------------------------------------------------


async def test_every_label_is_a_word_of_the_house(gateway: Gateway, settings: Settings) -> None:  # noqa: F811
    """Whatever is asked for, and by whom: labels come from closed lists."""
    await gateway.text_in(f"STOP {ANA}", ANA)
    await gateway.sandbox_in("hello", BEN)
    await gateway.ask("GET", f"/v1/profiles/{ANA}?address=sms:{ANA}")
    await gateway.ask("POST", f"/webhooks/{ANA}", json={})
    await gateway.ask("PROPFIND", f"/{ANA}")
    await press(gateway, await form_of(gateway), address="ana@example.org", website=ANA)
    gateway.clock.advance(seconds=60)
    patterns = {resource.canonical for resource in gateway.app.router.resources()}
    known = {
        "route": patterns | {"unknown"},
        "method": {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "other"},
        "status": {str(status) for status in range(100, 600)} | {"gone", "new", "parked"},
        "connection": set(settings.connections),
        "channel": {"sms", "whatsapp", "email", "voice", "post"},
        "subject": {"sms", "whatsapp", "email", "voice", "post", "everything", "address", "preference"},
        "to": {"yes", "no", "not_asked"},
        "source": {"keyword", "api", "provider", "one_click", "unsubscribe_link"},
        "outcome": {"accepted", "rejected", "not_sent", "in_doubt", "abandoned"},
        "why": {"idle", "slow_head", "slow_body", "slow_reader", "crowded"},
        "reason": {"honeypot"},
        "group": {"inbox", "reports", "address_reports", "parked"},
        "loop": {"planner", "dispatcher", "settlement", "sweeper", "tidier", "reviews", "forwarder", "intake"},
    }
    for name, labels in await scraped(gateway):
        for label, value in labels:
            if label not in ("le", "version"):
                assert value in known[label], f"{name} {label}={value}"


def test_every_metric_is_explained_to_operators_and_none_that_is_not_there(gateway: Gateway) -> None:  # noqa: F811
    page = (ROOT / "docs" / "operating.md").read_text()
    explained = set(re.findall(r"`(optgate_[a-z_]+)", page))
    there = {metric.name + ("_total" if metric.type == "counter" else "")
             for metric in gateway.app[METRICS].registry.collect() if metric.name.startswith("optgate_")}  # fmt: skip
    assert explained == there
