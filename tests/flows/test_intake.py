"""What was sent in by a form: answered the same for all, carried out at once, and again after a crash."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import event, text, update
from structlog.testing import capture_logs

from forms import intake
from forms.submission import Submission
from gateway.checks import submissions as submissions_check
from gateway.providers.sandbox import Sandbox
from gateway.scrape import WATCH
from gateway.settings import Settings
from store.tables import form_versions, submissions
from tests.flows.forms import WORDS, box, confirm_path, form, outcomes, sandbox, send_in
from tests.flows.running import CLEO, Gateway, eventually
from tests.standins.twilio import TwilioStandIn, accepted

ANA, BEN = "ana@example.org", "ben@example.org"
VICTIM_POSTS = int(os.environ.get("OPTGATE_VICTIM_POSTS", "300"))
BY_MAIL = {"channel": "email", "connection": "mail", "content": {"subject": "News", "text": "On sale."}}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mail = Sandbox.model_validate({"provider": "sandbox", "channel": "email", "from": "news@example.com"})
    return settings.model_copy(update={"connections": settings.connections | {"mail": mail}})


@asynccontextmanager
async def statements(gateway: Gateway) -> AsyncIterator[list[str]]:
    """What the database is asked meanwhile by who writes, word for word but for the values."""
    seen: list[str] = []
    engine = gateway.house.database._writer
    if gateway.house.database.dialect == "postgresql":

        def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            seen.append(statement)

        event.listen(engine.sync_engine, "before_cursor_execute", note)
        yield seen
        event.remove(engine.sync_engine, "before_cursor_execute", note)
        return
    async with engine.connect() as conn:
        sqlite = (await conn.get_raw_connection()).driver_connection
    assert sqlite is not None
    await sqlite.set_trace_callback(lambda statement: seen.append(statement.partition(" VALUES")[0]))
    yield seen
    await sqlite.set_trace_callback(None)


# --- what it does -----------------------------------------------------------------------------


async def test_a_forms_yes_makes_a_broadcast_send_and_the_proof_names_its_version(gateway: Gateway) -> None:
    drama, opera = await box(gateway, "Drama"), await box(gateway, "Opera")
    join = await form(gateway, preferences=[drama, opera], terms_version=4, tags=["autumn"])
    names = {"first_name": "Ana", "last_name": "Ruiz"}
    await send_in(
        gateway, join, ANA, {drama["id"]: True, opera["id"]: False}, names=names, attributes={"town": "Leeds"},
        language="es",
    )  # fmt: skip
    [ana] = await gateway.whose(f"email:{ANA}")
    assert (ana["first_name"], ana["last_name"], ana["locale"]) == ("Ana", "Ruiz", "es")
    assert (ana["attributes"], ana["tags"]) == ({"town": "Leeds"}, ["autumn"])
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "opted_in"
    assert await gateway.verdict(ana["id"], "email", preference="Opera") == "preference_no", "an unchecked box is a no"
    for preference, status in (("Drama", "accepted"), ("Opera", None)):
        shown = await gateway.sent({"all": True}, preference=preference, **BY_MAIL)
        assert shown["counts"]["by_status"] == ({status: 1} if status else {})
    lines = await gateway.history(ana["id"])
    assert {(line["source"], line["actor"], line["address"]) for line in lines} == {("form", "customer", ANA)}
    assert len({line["change_id"] for line in lines}) == 1
    proof = lines[0]["evidence"]
    assert (proof["form_id"], proof["version"], proof["wording"], proof["language"]) == (join, 3, WORDS, "es")
    assert (proof["page"], proof["ip"], proof["user_agent"]) == ("https://www.example.org/join", "192.0.2.7", "Firefox")
    assert proof["terms"] == 4
    assert [(one["text"], one["answer"]) for one in proof["preferences"]] == [
        ("I like Drama", True),
        ("I like Opera", False),
    ]


async def test_a_box_that_was_preselected_and_left_so_stays_unasked_and_is_told_in_the_proof(gateway: Gateway) -> None:
    drama = await box(gateway, "Drama")
    join = await form(gateway, preferences=[drama | {"selected": True}])
    await send_in(gateway, join, ANA, {drama["id"]: True}, untouched=(drama["id"],))
    [ana] = await gateway.whose(f"email:{ANA}")
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "preference_not_asked"
    [line] = await gateway.history(ana["id"])
    [shown] = line["evidence"]["preferences"]
    assert (shown["preselected"], shown["untouched"], shown["answer"]) == (True, True, True)
    await gateway.restart(forms=gateway.settings.forms.model_copy(update={"preselected_counts": True}))
    await send_in(gateway, join, ANA, {drama["id"]: True}, untouched=(drama["id"],))
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "opted_in"


async def test_somebody_known_keeps_every_answer_they_gave_and_gives_those_they_were_never_asked(
    gateway: Gateway,
) -> None:
    drama, opera = await box(gateway, "Drama"), await box(gateway, "Opera")
    join = await form(gateway, preferences=[drama, opera], existing="ignore")
    ana = await gateway.person(f"email:{ANA}", first_name="Ana")
    await gateway.say(ana["id"], preferences={"Drama": "no"})
    await send_in(gateway, join, ANA, {drama["id"]: True, opera["id"]: True}, names={"first_name": "Eve"})
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "preference_no"
    assert await gateway.verdict(ana["id"], "email", preference="Opera") == "opted_in"
    assert (await gateway.profile(ana["id"]))["first_name"] == "Ana"
    assert await gateway.rows("deliveries") == []
    assert await outcomes(gateway) == ["opted_in"]


async def test_where_only_a_no_was_kept_nobody_is_said_to_have_opted_in(gateway: Gateway) -> None:
    drama, opera = await box(gateway, "Drama"), await box(gateway, "Opera")
    join = await form(gateway, preferences=[drama, opera])
    await gateway.person(f"email:{ANA}", consent={"channels": {"email": "yes"}})
    await send_in(gateway, join, ANA, {drama["id"]: False})
    await send_in(gateway, join, ANA, {drama["id"]: True, opera["id"]: False})
    await send_in(gateway, join, BEN, {drama["id"]: False})
    assert await outcomes(gateway) == ["opted_out", "opted_out_and_asked", "opted_in"]
    gateway.clock.advance(days=60)
    gateway.house.tidier.wake()
    await asyncio.sleep(0.2)
    assert len(await gateway.rows("submissions")) == 3, "somebody's no rests on it"


async def test_an_unconfirmed_form_opens_nothing_for_who_has_said_no(gateway: Gateway) -> None:
    """I9."""
    join = await form(gateway)
    ana = await gateway.person(f"email:{ANA}", consent={"channels": {"email": "no"}})
    ben = await gateway.person(f"email:{BEN}", consent={"channels": {"email": "no"}})
    await gateway.api("DELETE", f"/v1/profiles/{ben['id']}")
    for address in (ANA, BEN):
        await send_in(gateway, join, address)
    assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"
    assert await gateway.whose(f"email:{BEN}") == []
    assert await outcomes(gateway) == ["asked", "asked"]


async def test_a_form_that_is_gone_does_nothing(gateway: Gateway) -> None:
    await send_in(gateway, "frm_none", ANA)
    assert await outcomes(gateway) == ["gone"]
    assert await gateway.whose(f"email:{ANA}") == []


# --- what its answer tells --------------------------------------------------------------------


async def known_and_unknown(gateway: Gateway) -> dict[str, str]:
    """Addresses of every kind of person, by what is known of them."""
    people = {kind: f"{kind}@example.org" for kind in ("unknown", "known", "in", "out", "left", "household")}
    await gateway.person(f"email:{people['known']}")
    await gateway.person(f"email:{people['in']}", consent={"channels": {"email": "yes"}})
    await gateway.person(f"email:{people['out']}", consent={"everything": "no"})
    gone = await gateway.person(f"email:{people['left']}", consent={"channels": {"email": "no"}})
    await gateway.api("DELETE", f"/v1/profiles/{gone['id']}")
    for _ in range(3):
        await gateway.person(f"email:{people['household']}")
    return people


@pytest.mark.parametrize("confirm", ["none", "double"])
async def test_what_the_answer_asks_of_the_database_is_the_same_for_known_and_unknown(
    gateway: Gateway, confirm: str
) -> None:
    """F5: the transaction of the answer; what comes after it is behind the slot of time."""
    join = await form(gateway, confirm=confirm)
    seen: dict[str, list[str]] = {}
    await gateway.house.stop_work()  # so that nothing but the answer is seen
    intake.PATIENCE_SECONDS, patience = 0.0, intake.PATIENCE_SECONDS
    try:
        for kind, address in (await known_and_unknown(gateway)).items():
            async with statements(gateway) as asked:
                await send_in(gateway, join, address)
            seen[kind] = [" ".join(one.split()) for one in asked]
    finally:
        intake.PATIENCE_SECONDS = patience
    assert len(seen) == 6
    assert all(one == seen["unknown"] for one in seen.values()), seen
    assert len([one for one in seen["unknown"] if one.startswith("INSERT INTO submissions")]) == 1


async def test_an_answer_comes_at_the_end_of_a_slot_whoever_it_is_about(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    for address in (await known_and_unknown(gateway)).values():
        began = monotonic()
        await send_in(gateway, join, address)
        slots = (monotonic() - began) / intake.SLOT_SECONDS
        assert slots >= 1
    assert [row["status"] for row in await gateway.rows("submissions")] == ["done"] * 6
    assert {row["body"] for row in await gateway.rows("submissions")} == {None}


async def test_ten_thousand_posts_for_one_victim_are_one_message(gateway: Gateway) -> None:
    """F2, without the budgets before it: from anywhere, however the mailbox is spelled, also many at once."""
    join = await form(gateway, confirm="double")
    spellings = ["v.ictim@gmail.com", "Victim@gmail.com", "vic.tim+{}@gmail.com", "victim+x{}@googlemail.com"]
    spellings = [one.replace("googlemail", "gmail") for one in spellings]
    for start in range(0, VICTIM_POSTS, 50):
        batch = range(start, min(start + 50, VICTIM_POSTS))
        await asyncio.gather(*(send_in(gateway, join, spellings[one % 4].format(one)) for one in batch))
    found = await eventually(lambda: _all_done(gateway), seconds=300)
    assert found
    assert sorted(await outcomes(gateway)) == ["asked"] + ["asked_before"] * (VICTIM_POSTS - 1)
    [sent] = await gateway.rows("deliveries")
    assert sent["class"] == "service"


async def _all_done(gateway: Gateway) -> bool:
    rows = await gateway.rows("submissions")
    return len(rows) == VICTIM_POSTS and {row["status"] for row in rows} == {"done"}


# --- a crash, an error, another replica -------------------------------------------------------


async def left(gateway: Gateway, form_id: str, address: str, id_: str = "sub_0") -> None:
    """A submission that was kept, and whose process died then."""
    sent = Submission(form_id, 3, "email", address, {}, at=gateway.clock())
    database = gateway.house.database
    await database.transact(lambda conn: intake.keep(conn, id_, sent, now=gateway.clock()))


async def test_what_was_kept_before_a_crash_is_carried_out_by_the_next_start(gateway: Gateway) -> None:
    join = await form(gateway)
    await gateway.house.intake.stop()
    await left(gateway, join, ANA)
    await gateway.restart()

    async def done() -> bool:
        return await outcomes(gateway) == ["opted_in"]

    await eventually(done)
    [ana] = await gateway.whose(f"email:{ANA}")
    assert await gateway.verdict(ana["id"], "email") == "opted_in"


async def test_a_no_by_ones_own_link_follows_who_became_another_before_it_was_carried_out(gateway: Gateway) -> None:
    drama = await box(gateway, "Drama")
    join = await form(gateway, confirm="double", preferences=[drama])
    gone = await gateway.person(f"email:{ANA}", consent={"preferences": {"Drama": "yes"}})
    kept = await gateway.person(f"sms:{CLEO}", consent={"preferences": {"Drama": "yes"}})
    await gateway.house.intake.stop()
    sent = Submission(join, 3, "email", ANA, {drama["id"]: False}, at=gateway.clock(), profile_id=gone["id"])
    await gateway.house.database.transact(lambda conn: intake.keep(conn, "sub_0", sent, now=gateway.clock()))
    await gateway.api("POST", f"/v1/profiles/{kept['id']}/merge", json={"from": gone["id"]})
    await gateway.restart()

    async def done() -> bool:
        return {row["status"] for row in await gateway.rows("submissions")} == {"done"}

    await eventually(done)
    assert (await gateway.profile(kept["id"]))["consent"]["preferences"]["Drama"]["state"] == "no"


async def test_a_no_that_came_before_it_was_carried_out_stands(gateway: Gateway) -> None:
    """The submission had to wait, and meanwhile its owner said no."""
    drama = await box(gateway, "Drama")
    join = await form(gateway, preferences=[drama])
    ana = await gateway.person(f"email:{ANA}")
    await gateway.house.intake.stop()
    await left(gateway, join, ANA)
    gateway.clock.advance(seconds=5)
    await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer"})
    await gateway.restart()

    async def done() -> bool:
        return await outcomes(gateway) == ["asked"]

    await eventually(done)
    assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"
    path = await confirm_path(gateway, ANA)
    assert (await gateway.ask("POST", path)).status == 410, "the no came after it"


async def test_one_that_always_fails_is_parked_and_holds_up_no_other(gateway: Gateway) -> None:
    good, bad = await form(gateway), await form(gateway)
    async with gateway.house.database.write() as conn:
        await conn.execute(update(form_versions).where(form_versions.c.form_id == bad).values(body={"broken": 1}))
    with capture_logs() as lines:
        await left(gateway, bad, ANA)
        for _ in range(intake.MOST_TRIES):
            await send_in(gateway, good, BEN)
    rows = {row["form_id"]: row for row in await gateway.rows("submissions")}
    assert (rows[bad]["status"], rows[bad]["tries"]) == ("parked", intake.MOST_TRIES)
    assert rows[bad]["body"] is not None
    assert rows[good]["status"] == "done"
    assert [line["event"] for line in lines if line["log_level"] == "error"] == (
        ["submission.failed"] * intake.MOST_TRIES + ["submission.parked"]
    )
    assert (await gateway.send("GET", "/readyz")).status == 200


async def test_what_was_parked_is_seen_by_operators_until_it_is_forgotten_like_others(gateway: Gateway) -> None:
    good, bad = await form(gateway), await form(gateway)
    async with gateway.house.database.write() as conn:
        await conn.execute(update(form_versions).where(form_versions.c.form_id == bad).values(body={"broken": 1}))
    await send_in(gateway, good, BEN)
    [told] = await submissions_check.findings(gateway.house.database)
    assert (told.level, told.sentence) == ("ok", "none is parked, 0 wait to be carried out")
    await left(gateway, bad, ANA)
    for _ in range(intake.MOST_TRIES):
        gateway.house.intake.wake()
        await asyncio.sleep(0.1)
    await gateway.house.intake.stop()
    await left(gateway, good, "cleo@example.org", "sub_1")
    [told] = await submissions_check.findings(gateway.house.database)
    assert told.level == "warn"
    assert told.sentence.startswith("1 sent in by forms could not be carried out")
    seen = (await gateway.app[WATCH].page()).decode()
    assert 'optgate_submissions{status="parked"} 1.0' in seen
    assert 'optgate_submissions{status="new"} 1.0' in seen
    gateway.clock.advance(days=36)
    gateway.house.tidier.wake()
    await asyncio.sleep(0.2)
    assert sorted(row["status"] for row in await gateway.rows("submissions")) == ["done", "new", "parked"]
    gateway.clock.advance(days=2)
    gateway.house.tidier.wake()

    async def forgotten() -> bool:
        return sorted(row["status"] for row in await gateway.rows("submissions")) == ["done", "new"]

    await eventually(forgotten)


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_two_replicas_carry_each_out_once(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    replica = Gateway(gateway.settings)
    await replica.start()
    await asyncio.gather(
        *(send_in((gateway, replica)[one % 2], join, f"v.ictim+{one}@gmail.com") for one in range(20)),
        *(send_in((gateway, replica)[one % 2], join, f"p{one}@example.org") for one in range(10)),
    )

    async def done() -> bool:
        return {row["status"] for row in await gateway.rows("submissions")} == {"done"}

    await eventually(done, seconds=60)
    await replica.stop()
    assert len(await gateway.rows("confirmations")) == 11
    assert len(await gateway.rows("deliveries")) == 11
    async with gateway.house.database.read() as conn:
        asked = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert (await conn.execute(asked)).scalar_one() == 0


async def test_an_answer_waits_for_what_a_no_must_settle(gateway: Gateway, twilio: TwilioStandIn) -> None:
    """An unchecked box is a no: once it is answered, nothing to that person begins any more, or is under way."""
    drama = await box(gateway, "Drama")
    join = await form(gateway, "sms", preferences=[drama])
    cleo = await gateway.person(f"sms:{CLEO}", consent={"channels": {"sms": "yes"}})
    twilio.default = accepted(0.6)
    broadcast = await gateway.broadcast({"profiles": [cleo["id"]]})

    async def under_way() -> bool:
        return bool(twilio.log)

    await eventually(under_way)
    await send_in(gateway, join, CLEO, {drama["id"]: False})
    assert [one["state"] for one in await gateway.rows("attempts")] == ["accepted"]
    assert await gateway.verdict(cleo["id"], "sms", preference="Drama") == "preference_no"
    await gateway.all_sent(broadcast)


async def test_what_was_never_confirmed_is_forgotten(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    await send_in(gateway, join, ANA, names={"first_name": "Ana"})
    await sandbox(gateway, ANA)
    gateway.clock.advance(days=36)
    gateway.house.tidier.wake()
    await asyncio.sleep(0.2)
    assert len(await gateway.rows("submissions")) == 1
    gateway.clock.advance(days=2)
    gateway.house.tidier.wake()

    async def forgotten() -> bool:
        return not await gateway.rows("confirmations") and not await gateway.rows("submissions")

    await eventually(forgotten)
    [address] = await gateway.rows("addresses")
    assert address["value"] is None


async def test_an_address_that_is_not_asked_is_not_kept(gateway: Gateway) -> None:
    join = await form(gateway, confirm="double")
    for typed in (ANA, "ana+1@example.org", ANA, "ana+2@example.org"):
        await send_in(gateway, join, typed)
    assert await outcomes(gateway) == ["asked", "asked_before", "asked_before", "asked_before"]
    assert {row["value"] for row in await gateway.rows("addresses")} == {ANA, None}
    await gateway.ask("POST", await confirm_path(gateway, ANA))
    assert len(await gateway.whose(f"email:{ANA}")) == 1, "the question that is open is answered still"


async def test_a_submission_waits_where_the_loop_is_behind_and_is_late_in_the_end(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = await form(gateway)
    monkeypatch.setattr(intake, "PATIENCE_SECONDS", 0.2)
    await gateway.house.intake.stop()
    await send_in(gateway, join, ANA)
    [row] = await gateway.rows("submissions")
    assert row["status"] == "new"
    async with gateway.house.database.write() as conn:
        await conn.execute(update(submissions).values(status="done"))
