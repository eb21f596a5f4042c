"""What keeps machines off the forms: each defence by itself, over the real page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import structlog.testing

from forms import defence
from forms.desk import DESK, Desk
from gateway.settings import Settings
from tests.flows.posting import behind_a_proxy, challenge_in, form_of, nonce_in, opened, press, refused, send_in, worked
from tests.flows.running import Gateway, eventually

ANA = "ana@example.org"
TAKEN, SHOWN_AGAIN, FULL = 200, 422, 429
SITE = "https://www.example.org"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return behind_a_proxy(settings)


async def taken(gateway: Gateway) -> int:
    """How much was taken in so far."""
    return len(await gateway.rows("submissions"))


def desk_of(gateway: Gateway) -> Desk:
    return gateway.app[DESK]


# --- the nonce ---------------------------------------------------------------------------------


async def test_a_nonce_works_once_after_three_seconds_and_for_a_day(gateway: Gateway) -> None:
    path = await form_of(gateway)
    nonce = nonce_in(await opened(gateway, path))
    fields = {"nonce": nonce, "address": ANA}
    gateway.clock.advance(seconds=2)
    quick = await press(gateway, path, **fields)
    assert quick.status == SHOWN_AGAIN
    assert nonce_in(quick.body.decode()) == nonce, "which is old enough in a moment"
    gateway.clock.advance(seconds=2)
    assert (await press(gateway, path, **fields)).status == TAKEN
    again = await press(gateway, path, **fields)
    assert again.status == SHOWN_AGAIN
    assert nonce_in(again.body.decode()) not in ("", nonce)
    assert ANA in again.body.decode(), "what was typed is kept"
    assert "This page was sent in before." in again.body.decode()
    assert await taken(gateway) == 1


@pytest.mark.parametrize(("hours", "status"), [(23.9, TAKEN), (24, SHOWN_AGAIN), (9000, SHOWN_AGAIN)])
async def test_a_page_that_was_open_for_a_day_is_shown_again(gateway: Gateway, hours: float, status: int) -> None:
    path = await form_of(gateway)
    nonce = nonce_in(await opened(gateway, path))
    gateway.clock.advance(hours=hours)
    got = await press(gateway, path, nonce=nonce, address=ANA)
    assert got.status == status
    if status == SHOWN_AGAIN:
        gateway.clock.advance(seconds=4)
        assert (await press(gateway, path, nonce=nonce_in(got.body.decode()), address=ANA)).status == TAKEN
    assert await taken(gateway) == 1


async def test_fifty_at_once_with_one_nonce_are_one(gateway: Gateway) -> None:
    path = await form_of(gateway)
    nonce = nonce_in(await opened(gateway, path))
    gateway.clock.advance(seconds=4)
    got = await asyncio.gather(*(press(gateway, path, nonce=nonce, address=ANA) for _ in range(50)))
    assert sorted(one.status for one in got) == [TAKEN, *[SHOWN_AGAIN] * 49]
    assert await taken(gateway) == 1


async def test_a_nonce_that_is_not_this_forms_opens_nothing(gateway: Gateway) -> None:
    path, other = await form_of(gateway), await form_of(gateway)
    nonce = nonce_in(await opened(gateway, path))
    gateway.clock.advance(seconds=4)
    signed_else = desk_of(gateway).signed.sign("undo")
    for wrong in (nonce_in(await opened(gateway, other)), signed_else, nonce[:-1], nonce + "A", "", "x" * 5000, "\0"):
        gateway.clock.advance(seconds=4)
        got = await press(gateway, path, nonce=wrong, address=ANA)
        assert got.status == SHOWN_AGAIN, wrong
    assert await taken(gateway) == 0
    assert await gateway.rows("spent") == []


async def test_the_page_that_shows_the_form_is_told_by_its_nonce_however_odd_it_is(gateway: Gateway) -> None:
    path = await form_of(gateway)
    for page in ("https://www.example.org/news?who=ana", "https://www.example.org/" + "ü" * 2000):
        nonce = nonce_in(await opened(gateway, path, Referer=page))
        gateway.clock.advance(seconds=4)
        assert (await press(gateway, path, nonce=nonce, address=ANA)).status == TAKEN
    desk = desk_of(gateway)
    for odd in ("ü", '"', "\\"):
        page, form_id = f"https://x.example/{odd * 5000}", "frm_0198c2f54d1a7c3e9b00d3f1a2b4c5d6"
        seen = defence.Seen(form_id, 1_000_000, page, "pt", is_filled_in=True)
        nonce = defence.hand_out(desk, seen, at=desk.clock())
        assert defence.seen_by(desk, nonce) is not None, odd


# --- who is none -------------------------------------------------------------------------------


async def test_who_fills_in_what_nobody_sees_is_thanked_and_nothing_is_written(gateway: Gateway) -> None:
    path = await form_of(gateway)
    before = await gateway.everything()
    got = await send_in(gateway, path, ANA, **{defence.HONEYPOT: "https://cheap.example"})
    assert got.status == TAKEN
    assert await gateway.everything() == before
    person = await send_in(gateway, path, ANA)
    assert (person.status, len(person.body)) == (got.status, len(got.body))


# --- work --------------------------------------------------------------------------------------


async def test_a_form_may_have_the_browser_work(gateway: Gateway) -> None:
    path = await form_of(gateway, proof_of_work=True)
    page = await opened(gateway, path)
    nonce, solution = nonce_in(page), worked(challenge_in(page))
    gateway.clock.advance(seconds=4)
    idle = await press(gateway, path, nonce=nonce, address=ANA)
    assert idle.status == SHOWN_AGAIN
    assert nonce_in(idle.body.decode()) == nonce
    assert await taken(gateway) == 0
    assert (await press(gateway, path, nonce=nonce, address=ANA, work=solution)).status == TAKEN
    other = nonce_in(await opened(gateway, path))
    gateway.clock.advance(seconds=4)
    assert (await press(gateway, path, nonce=other, address=ANA, work=solution)).status == SHOWN_AGAIN
    assert await taken(gateway) == 1


# --- budgets -----------------------------------------------------------------------------------


async def let_through(gateway: Gateway, path: str, posts: Sequence[tuple[str, str]]) -> int:
    """How many of these (address, client) are taken in; to who sends them all look taken, or are told to come again."""
    before, told = await taken(gateway), 0
    for address, client in posts:
        got = await send_in(gateway, path, address, client=client)
        told += got.status == FULL
        assert (got.status, b"Thank you" in got.body) in ((TAKEN, True), (FULL, False))
    found = await taken(gateway) - before
    assert told in (0, len(posts) - found)
    return found


async def with_budgets(gateway: Gateway, **most: int) -> None:
    await gateway.restart(forms=gateway.settings.forms.model_copy(update=most))


async def test_a_mailbox_however_it_is_written_is_taken_in_five_times_a_day_over_all_forms(gateway: Gateway) -> None:
    path, other = await form_of(gateway), await form_of(gateway)
    written = ["ana.ruiz@gmail.com", "anaruiz+1@gmail.com", "A.n.a.Ruiz@Gmail.com", "ANARUIZ@GMAIL.COM"]
    posts = [(one, f"198.51.{n}.1") for n, one in enumerate(written)]
    assert await let_through(gateway, path, posts) == 4
    assert await let_through(gateway, other, posts) == 1
    assert await let_through(gateway, path, [("ben@gmail.com", "198.51.0.1")]) == 1
    gateway.clock.advance(hours=24)
    assert await let_through(gateway, path, posts) == 4


@pytest.mark.parametrize(
    ("clients", "through"),
    [
        (["198.51.100.1", "198.51.100.250", "198.51.100.7"], 2),  # one /24
        (["198.51.100.1", "198.51.101.1", "198.51.102.1"], 3),
        (["2001:db8:0:1::1", "2001:db8:0:1:ffff::1", "2001:db8:0:1:8000::"], 2),  # one /64
        (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"], 3),
        (["::ffff:198.51.100.1", "198.51.100.2", "198.51.100.3"], 2),
        (["10.1.2.3"] * 3, 3),  # a proxy of our own that nobody has told us of: it is everybody
    ],
)
async def test_a_network_has_a_budget_for_an_hour(gateway: Gateway, clients: list[str], through: int) -> None:
    await with_budgets(gateway, posts_per_network=2)
    path = await form_of(gateway)
    posts = [(f"p{n}@example.org", client) for n, client in enumerate(clients)]
    assert await let_through(gateway, path, posts) == through
    gateway.clock.advance(hours=1)
    assert await let_through(gateway, path, posts) == through


async def test_who_is_over_one_budget_uses_up_none_that_others_share(gateway: Gateway) -> None:
    await with_budgets(gateway, posts_per_network=2, posts_per_form=4)
    path, other = await form_of(gateway), await form_of(gateway)
    flood = [(f"p{n}@example.org", "198.51.100.1") for n in range(8)]
    assert await let_through(gateway, path, flood) == 2
    people = [(f"q{n}@example.org", f"203.0.{n}.1") for n in range(4)]
    assert await let_through(gateway, path, people) == 2
    assert await let_through(gateway, other, people[2:]) == 2, "each form has its own"


async def test_budgets_name_nobody(gateway: Gateway) -> None:
    path = await form_of(gateway)
    await let_through(gateway, path, [(ANA, "198.51.100.77")])
    names = str([row["name"] for row in await gateway.rows("budgets")])
    assert not any(word in names for word in ("ana@", "example.org", "198.51", "51.100"))


async def test_a_budget_that_is_spent_is_told_once(gateway: Gateway) -> None:
    await with_budgets(gateway, posts_per_form=1)
    path = await form_of(gateway)
    with structlog.testing.capture_logs() as lines:
        await let_through(gateway, path, [(f"p{n}@example.org", f"198.51.{n}.1") for n in range(4)])
    told = [line for line in lines if line["event"] == "forms.budget_spent"]
    assert [(line["why"], line["log_level"]) for line in told] == [("posts_per_form", "warning")]


@pytest.mark.parametrize(
    ("channel", "budget", "hours"),
    [
        ("email", "posts_per_network", 1),
        ("email", "posts_per_form", 1),
        ("sms", "numbers_per_form", 24),
        ("sms", "numbers_per_country", 24),
    ],
)
async def test_who_meets_a_budget_of_many_spent_is_told_so_and_keeps_what_was_typed(
    gateway: Gateway, channel: str, budget: str, hours: int
) -> None:
    await with_budgets(gateway, **{budget: 1})
    path = await form_of(gateway, channel, entry="typed", fields=["first_name"])
    first, second = ("ana@example.org", "ben@example.org") if channel == "email" else ("+14155550123", "+14155550124")
    assert (await send_in(gateway, path, first, client="198.51.100.1")).status == TAKEN
    got = await send_in(gateway, path, second, client="198.51.100.2", first_name="Benedict")
    assert got.status == FULL
    assert hours * 3600 - 60 <= int(got.headers["Retry-After"]) <= hours * 3600
    page = got.body.decode()
    assert "Too many requests just now. Please try again in a while." in page
    assert f'value="{second}"' in page
    assert 'value="Benedict"' in page
    in_german = await send_in(gateway, f"{path}?lang=de", second, client="198.51.100.2")
    assert (in_german.status, b"Too many" in in_german.body) == (FULL, False)
    assert refused(gateway) == {budget: 2}
    gateway.clock.advance(hours=hours)
    if hours < 24:  # the page that was shown again is good still
        again = await press(gateway, path, client="198.51.100.2", nonce=nonce_in(page), address=second)
    else:
        again = await send_in(gateway, path, second, client="198.51.100.2")
    assert again.status == TAKEN


async def test_the_budget_of_an_address_is_silent_and_counted(gateway: Gateway) -> None:
    await with_budgets(gateway, posts_per_address=1)
    path = await form_of(gateway)
    got = [await send_in(gateway, path, ANA, client=f"198.51.{n}.1") for n in range(3)]
    assert len({(one.status, len(one.body)) for one in got}) == 1
    assert await taken(gateway) == 1
    assert refused(gateway) == {"posts_per_address": 2}


async def test_a_full_form_is_full_for_an_address_that_was_typed_too_often_as_well(gateway: Gateway) -> None:
    """Else it would tell what others have typed."""
    await with_budgets(gateway, posts_per_address=1, posts_per_form=2)
    path = await form_of(gateway)
    for address in (ANA, "ben@example.org"):
        assert (await send_in(gateway, path, address, client="198.51.100.1")).status == TAKEN
    for address in (ANA, "cleo@example.org"):
        assert (await send_in(gateway, path, address, client="198.51.101.1")).status == FULL


async def test_a_page_of_the_site_is_told_of_a_spent_budget_as_of_other_limits(gateway: Gateway) -> None:
    await with_budgets(gateway, posts_per_form=1, posts_per_address=1)
    path = await form_of(gateway, allowed_origins=[SITE])
    url, headers = f"/v1{path}/submissions", {"Origin": SITE, "Content-Type": "application/json"}
    posts = [b'{"address": "%s@example.org"}' % name for name in (b"ana", b"ben")]
    taken_in, full = [await gateway.send("POST", url, data=one, headers=headers) for one in posts]
    assert (taken_in.status, full.status) == (202, FULL)
    assert full.json["type"].endswith("/too-many-posts")
    assert 3500 <= int(full.headers["Retry-After"]) <= 3600
    assert full.headers["RateLimit-Policy"] == '"posts_per_form";q=1;w=3600'
    assert full.headers["RateLimit"].startswith('"posts_per_form";r=0;t=3')
    assert full.headers["Access-Control-Allow-Origin"] == SITE
    assert "Retry-After" in full.headers["Access-Control-Expose-Headers"]
    plain = {"Origin": SITE, "Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    page = await gateway.send("POST", url, data=b"address=ben%40example.org", headers=plain)
    assert (page.status, b'value="ben@example.org"' in page.body) == (FULL, True)
    assert int(page.headers["Retry-After"]) > 3500
    assert refused(gateway) == {"posts_per_form": 2}


async def test_whatever_is_not_let_through_is_counted_by_its_reason(gateway: Gateway) -> None:
    path, worked_for = await form_of(gateway), await form_of(gateway, proof_of_work=True)
    await press(gateway, path, address=ANA)
    await send_in(gateway, path, ANA, **{defence.HONEYPOT: "https://cheap.example"})
    await send_in(gateway, worked_for, ANA)
    assert refused(gateway) == {"nonce": 1, "honeypot": 1, "work": 1}


async def test_what_counts_no_longer_is_swept_away(gateway: Gateway) -> None:
    path = await form_of(gateway)
    await let_through(gateway, path, [(ANA, "198.51.100.1")])
    assert await gateway.rows("spent")
    assert await gateway.rows("budgets")
    gateway.clock.advance(hours=26)
    gateway.house.tidier.wake()

    async def swept() -> bool:
        return not await gateway.rows("spent") and not await gateway.rows("budgets")

    await eventually(swept)
