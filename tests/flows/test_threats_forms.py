"""The threats to what customers see, a test for each row of the table; a browser's part is in pages/."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

import forms
from forms import defence, intake
from forms.desk import DESK
from gateway.providers.sandbox import Sandbox
from gateway.settings import Settings
from outbox.manage_links import Opened
from tests.flows.forms import confirm_path
from tests.flows.posting import FORM, behind_a_proxy, form_of, nonce_in, opened, press, send_in
from tests.flows.running import ANA as ANAS_NUMBER
from tests.flows.running import BEN as BENS_NUMBER
from tests.flows.running import Gateway, Got
from tests.flows.test_intake import statements
from tests.standins.twilio import TwilioStandIn

ANA, BEN, VICTIM = "ana@example.org", "ben@example.org", "victim@example.org"
SITE = "https://www.example.org"
POSTS = int(os.environ.get("OPTGATE_VICTIM_POSTS", "300"))
PAGES = Path(forms.__file__).parent / "pages"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mail = Sandbox.model_validate({"provider": "sandbox", "channel": "email", "from": "news@example.com"})
    return behind_a_proxy(settings.model_copy(update={"connections": settings.connections | {"mail": mail}}))


async def questions(gateway: Gateway, address: str) -> list[dict[str, Any]]:
    """What was written to an address, or waits to be."""
    ids = {row["id"] for row in await gateway.rows("addresses") if row["value"] == address}
    return [row for row in await gateway.rows("deliveries") if row["address_id"] in ids]


SEEN_ANEW = re.compile(rb'nonce="[^"]+"|name="nonce" value="[^"]+"|href="/[a-z]+/[^"]*lang=[a-z]+"')


def quiet(got: Got) -> bytes:
    """A page without what is new each time it is shown."""
    return SEEN_ANEW.sub(b"", got.body)


# --- F1 to F6: what is sent in -----------------------------------------------------------------


async def test_f1_a_bot_gets_nothing_written_whichever_way_it_comes(gateway: Gateway) -> None:
    path, worked = await form_of(gateway), await form_of(gateway, proof_of_work=True)
    nonce, idle = nonce_in(await opened(gateway, path)), nonce_in(await opened(gateway, worked))
    before = await gateway.everything()
    await press(gateway, path, address=ANA)  # it has not seen the page
    await press(gateway, path, address=ANA, nonce=nonce)  # it needs no time
    gateway.clock.advance(seconds=4)
    await press(gateway, path, address=ANA, nonce=nonce, **{defence.HONEYPOT: "x"})  # it fills in all that there is
    await press(gateway, worked, address=ANA, nonce=idle)  # it does not work
    await press(gateway, worked, address=ANA, nonce=nonce, work="e30=")  # it shows another form's page
    gateway.clock.advance(hours=24)
    await press(gateway, path, address=ANA, nonce=nonce)  # it has collected pages
    assert await gateway.everything() == before


async def test_f2_whoever_posts_for_one_victim_from_wherever_they_get_one_message(gateway: Gateway) -> None:
    """10,000 posts with OPTGATE_VICTIM_POSTS=10000; each from a network of its own, and the mailbox spelled anew."""
    path = await form_of(gateway)
    spelled = ["victim@example.org", "Victim@Example.org", "VICTIM+{}@example.org", "victim+x.{}@example.org"]
    answers: set[tuple[int, int]] = set()
    for start in range(0, POSTS, 25):
        batch = range(start, min(start + 25, POSTS))
        nonces = [nonce_in(await opened(gateway, path)) for _ in batch]
        gateway.clock.advance(seconds=4)
        got = await asyncio.gather(
            *(
                press(gateway, path, client=f"2001:db8:{n:x}::1", nonce=nonce, address=spelled[n % 4].format(n))
                for n, nonce in zip(batch, nonces, strict=True)
            )
        )
        answers |= {(one.status, len(quiet(one))) for one in got}
    assert len(answers) == 1
    assert len(await gateway.rows("submissions")) == 5
    assert len([row for row in await gateway.rows("deliveries") if row["class"] == "service"]) == 1


async def test_f3_nobody_makes_us_text_numbers_that_pay_them(gateway: Gateway, twilio: TwilioStandIn) -> None:
    usual = await form_of(gateway, "sms")
    page = await opened(gateway, usual)
    assert 'name="address"' not in page, "a form for texts takes no number unless it says so"
    assert "sms:" in page
    assert (await press(gateway, usual, address=ANAS_NUMBER)).status == 410
    typed = await form_of(gateway, "sms", entry="both")
    for number in ("+18005550199", "+447700900123", "+88213300000", "+19005550123", "12345", "+1"):
        assert (await send_in(gateway, typed, number)).status == 422, number
    await gateway.restart(forms=gateway.settings.forms.model_copy(update={"numbers_per_country": 3}))
    numbers = [f"+1415555{n:04}" for n in range(130, 138)]
    got = [await send_in(gateway, typed, number, client=f"203.0.{n}.1") for n, number in enumerate(numbers)]
    assert [one.status for one in got] == [200] * 3 + [429] * 5
    assert len(await gateway.rows("submissions")) == 3
    assert len([row for row in await gateway.rows("deliveries") if row["class"] == "service"]) == 3
    gateway.clock.advance(hours=24)
    await send_in(gateway, typed, numbers[-1])
    assert len(await gateway.rows("submissions")) == 4


@pytest.mark.parametrize("budget", ["numbers_per_form", "numbers_per_country"])
async def test_f3_a_form_for_mail_knows_no_such_budgets(gateway: Gateway, budget: str) -> None:
    await gateway.restart(forms=gateway.settings.forms.model_copy(update={budget: 0}))
    await send_in(gateway, await form_of(gateway), ANA)
    assert len(await gateway.rows("submissions")) == 1
    await send_in(gateway, await form_of(gateway, "sms", entry="both"), ANAS_NUMBER)
    assert len(await gateway.rows("submissions")) == 1


async def test_f4_a_stranger_opts_nobody_in(gateway: Gateway, twilio: TwilioStandIn) -> None:
    path, typed = await form_of(gateway, confirm="none"), await form_of(gateway, "sms", entry="both")
    consent = {"channels": {"email": "no", "sms": "no"}, "by": {"kind": "customer"}}
    ana = await gateway.person(f"email:{ANA}", f"sms:{ANAS_NUMBER}", consent=consent)
    for day in range(40):
        if day:
            gateway.clock.advance(days=1)
        await send_in(gateway, path, ANA)
        await send_in(gateway, typed, ANAS_NUMBER)
    assert [await gateway.verdict(ana["id"], one) for one in ("email", "sms")] == ["opted_out_channel"] * 2
    assert len(await questions(gateway, ANA)) == 2, "one in thirty days"
    assert await questions(gateway, ANAS_NUMBER) == [], "and none by text"


async def test_f5_whether_somebody_is_known_changes_no_status_no_length_and_no_statement(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is compared in bench/forms.py."""
    path = await form_of(gateway)
    said = {"channels": {"email": "no"}, "by": {"kind": "customer"}}
    for n, more in enumerate(({}, {"consent": {"channels": {"email": "yes"}}}, {"consent": said}), 1):
        await gateway.person(f"email:known{n}@example.org", **more)
    desk = gateway.app[DESK]
    await desk.intake.stop()  # what comes behind the answer is hidden by its slot of time
    monkeypatch.setattr(intake, "PATIENCE_SECONDS", 0.0)
    seen = []
    for address in ("unknown@example.org", *(f"known{n}@example.org" for n in range(1, 4))):
        nonce = nonce_in(await opened(gateway, path))
        gateway.clock.advance(seconds=4)
        async with statements(gateway) as asked:
            got = await press(gateway, path, nonce=nonce, address=address)
        seen.append((got.status, len(got.body), [" ".join(one.split()) for one in asked]))
    assert len(seen[0][2]) >= 4
    for one in seen[1:]:
        assert one == seen[0]


async def test_f6_no_word_of_the_senders_stands_in_what_we_send(gateway: Gateway) -> None:
    lure = "win money http://evil.example"
    path = await form_of(gateway, fields=["first_name", "last_name", "attributes.seat"])
    fields = {"first_name": lure, "last_name": lure, "attributes.seat": lure}
    got = await send_in(gateway, path, VICTIM, **fields)
    assert got.status == 200
    [question] = await questions(gateway, VICTIM)
    assert not any(word in str(question["content"]) for word in ("money", "evil", VICTIM))
    page = await gateway.send("GET", await confirm_path(gateway, VICTIM))
    assert b"evil" not in page.body


# --- F7 to F9: frames --------------------------------------------------------------------------


async def test_f7_f8_pages_are_framed_by_whom_they_name_and_errors_by_nobody(gateway: Gateway) -> None:
    path, closed = await form_of(gateway, allowed_origins=[SITE]), await form_of(gateway, active=False)
    tokens = await every_token(gateway)
    framed = {path: [SITE], f"/preferences/{tokens['account, framed']}": [SITE]}
    paths = [path, closed, "/forms/frm_none", "/forms", "/preferences", "/nothing", "/%00", "/v1/profiles", "/docs"]
    paths += ["/healthz", "/metrics", "/webhooks/sms", "/embed.js", "/unsubscribe/then", "/confirm/x/y"]
    paths += [f"/{page}/{token}" for page in ("unsubscribe", "preferences", "confirm") for token in tokens.values()]
    seen = set()
    for one in paths:
        for method in ("GET", "POST", "DELETE"):
            if method != "GET" and one.startswith("/unsubscribe"):
                continue
            got = await gateway.send(method, one, headers={"Accept": "text/html"})
            policy = got.headers["Content-Security-Policy"]
            wanted = "'none'" if got.status == 405 else " ".join(framed.get(one, ["'none'"]))
            assert f"frame-ancestors {wanted};" in f"{policy};", (method, one, got.status)
            assert "unsafe" not in policy
            seen.add(got.status)
    assert {200, 404, 405, 410, 401} <= seen


async def test_f9_a_page_tells_its_parent_a_height_and_a_parent_tells_it_nothing() -> None:
    """What they do in a browser: pages/test_forms.py."""
    for file in PAGES.glob("*.js"):
        script = file.read_text()
        sent = re.findall(r"postMessage\(([^)]*)\)", script)
        assert sent == (["{ optgate: 1, height }, one"] if file.name == "frame.js" else []), file
        assert ('addEventListener("message"' in script) == (file.name == "embed.js")
        assert not re.search(r"\beval\b|innerHTML|document\.write|\bfetch\(|XMLHttp|cookie|Storage", script), file


# --- F10: scanners -----------------------------------------------------------------------------


async def every_token(gateway: Gateway) -> dict[str, str]:
    """One of every kind that we hand out, none of them used."""
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama", "linked_channel": "email"})
    consent = {"channels": {"email": "yes"}, "preferences": {"Drama": "yes"}}
    ana = await gateway.person(f"email:{ANA}", first_name="Anastasia", consent=consent)
    ben = await gateway.person(f"email:{BEN}", f"sms:{BENS_NUMBER}", consent=consent)
    ids = {row["value"]: row["id"] for row in await gateway.rows("addresses")}
    [preference] = [row["id"] for row in await gateway.rows("preferences")]
    house, now, form = gateway.house, gateway.clock(), (await form_of(gateway)).rpartition("/")[2]

    def manage(way: Any, **more: str) -> str:
        return house.manage_links.token(Opened(ana["id"], ids[ANA], way, now, **more))

    await send_in(gateway, f"/forms/{form}", VICTIM)
    done = await gateway.send("POST", f"/unsubscribe/{house.links.token(ids[BEN], 'email', preference)}")
    topic, everything, undo = re.findall(r'name="act" value="([^"]+)"', done.body.decode())
    asked = await gateway.send("GET", f"/unsubscribe/{house.links.token(ids[ANA], 'email')}")
    [pressed] = re.findall(r'name="press" value="([^"]+)"', asked.body.decode())
    assert await gateway.verdict(ben["id"], "email") == "opted_out_channel"
    return {
        "unsubscribe": house.links.token(ids[ANA], "email"),
        "unsubscribe, about a preference": house.links.token(ids[ANA], "email", preference),
        "unsubscribe by mail": house.links.mail_token(ids[ANA]),
        "confirm": (await confirm_path(gateway, VICTIM)).rpartition("/")[2],
        "message": manage("message"),
        "asked": manage("asked"),
        "account": manage("account"),
        "account, framed": manage("account", embed_origin=SITE),
        "account, form": manage("account", form_id=form),
        "nonce": nonce_in(await opened(gateway, f"/forms/{form}")),
        "press": pressed,
        "topic": topic,
        "everything": everything,
        "undo": undo,
        "none": "x",
    }


def public_gets(gateway: Gateway) -> set[str]:
    """The paths that are answered without a key."""
    return {
        route.resource.canonical
        for route in gateway.app.router.routes()
        if route.method in ("GET", "HEAD")
        and route.resource is not None
        and (not route.resource.canonical.startswith("/v1/") or route.resource.canonical == "/v1/openapi.json")
    }


async def test_f10_no_get_changes_a_row_in_any_table_whatever_token_it_brings(gateway: Gateway) -> None:
    tokens = await every_token(gateway)
    fills = {
        "{id}": [(await form_of(gateway, channel, **more)).rpartition("/")[2] for channel, more in (
            ("email", {}), ("sms", {}), ("sms", {"entry": "both"}), ("email", {"active": False}))] + ["frm_none"],
        "{token}": [quote(token, safe="") for token in tokens.values()],
        "{connection}": ["sms", "mail", "none"],
    }  # fmt: skip
    queries = [
        "",
        "act=stop&yes=channel:email",
        *(f"for={quote(token)}&token={quote(token)}" for token in tokens.values()),
    ]
    before = await gateway.everything()
    asked = 0
    for path in sorted(public_gets(gateway)):
        hole = re.search(r"\{[a-z]+\}", path)
        for filled in [path.replace(hole[0], one) for one in fills[hole[0]]] if hole else [path]:
            for query in queries if path.startswith(("/forms", "/unsubscribe", "/confirm")) else queries[:3]:
                for method in ("GET", "HEAD"):
                    got = await gateway.send(method, f"{filled}?{query}", headers={"Accept": "text/html"})
                    assert got.status < 500, (filled, got.status)
                    assert "Set-Cookie" not in got.headers
                    asked += 1
    assert asked > 500
    assert await gateway.everything() == before


async def test_f10_no_page_sends_a_form_by_itself() -> None:
    """The one script that does, does as its reader pressed."""
    for file in PAGES.iterdir():
        text = file.read_text()
        assert "http-equiv" not in text, file
        assert len(re.findall(r"submit\(", text, re.I)) == (1 if file.name == "work.js" else 0), file
    assert re.search(r"if \(!pressed\) return;[^}]*form\.requestSubmit\(pressed\)", (PAGES / "work.js").read_text())


# --- F11: one click ----------------------------------------------------------------------------


@pytest.mark.parametrize("about", [False, True])
async def test_f11_one_click_works_years_later_under_a_changed_key_and_answers_done(
    gateway: Gateway, about: bool
) -> None:
    tokens = await every_token(gateway)
    path = "/unsubscribe/" + tokens["unsubscribe, about a preference" if about else "unsubscribe"]
    for secret in ("another secret of ours", "and yet another secret"):
        server = gateway.settings.server.model_copy(update={"secret": Settings.model_validate(
            {"server": {"secret": secret}}).server.secret})  # fmt: skip
        await gateway.restart(server=server)
    gateway.clock.advance(days=8 * 365)
    [ana] = await gateway.whose(f"email:{ANA}")
    multipart = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    for kind, body in ((FORM, b"List-Unsubscribe=One-Click"), ("multipart/form-data; boundary=x", multipart)) * 2:
        got = await gateway.send("POST", path, data=body, headers={"Content-Type": kind})
        assert (got.status, got.body, got.type) == (200, b"Done\n", "text/plain")
        assert not {"Set-Cookie", "Location", "WWW-Authenticate"} & set(got.headers)
        assert await gateway.verdict(ana["id"], "email") == "opted_out_channel"


# --- F12 to F14: links that get about ----------------------------------------------------------


async def test_f12_a_guessed_link_opens_nothing_and_is_answered_as_any_other(gateway: Gateway) -> None:
    tokens = await every_token(gateway)
    [ana] = await gateway.whose(f"email:{ANA}")
    before = await gateway.everything()
    for page, kind in (("unsubscribe", "unsubscribe"), ("preferences", "asked"), ("confirm", "confirm")):
        token = tokens[kind]
        text, dot, signature = token.rpartition(".")
        guesses = [text, f"{text}{dot}", f"{text}{dot}{signature[::-1]}", f"{text}x{dot}{signature}", token[:-1]]
        guesses += [token + "A", token.swapcase(), ana["id"], f"{ana['id']}{dot}{signature}", "%00", "a" * 2000]
        for method in ("GET", "POST"):
            got = [await gateway.send(method, f"/{page}/{one}", headers={"Content-Type": FORM}) for one in guesses]
            assert {one.status for one in got} == {404}, page
            assert len(set(map(quiet, got))) == 1, page
    assert await gateway.everything() == before


async def test_f13_a_token_of_one_kind_is_none_of_another(gateway: Gateway) -> None:
    """A forwarded message stops what it came by, and opens nothing else."""
    tokens = await every_token(gateway)
    opens = {
        "unsubscribe": {"unsubscribe", "unsubscribe, about a preference"},
        "preferences": {"message", "asked", "account", "account, framed"},
        "confirm": {"confirm"},
    }
    for page, kinds in opens.items():
        for kind, token in tokens.items():
            got = await gateway.send("GET", f"/{page}/{quote(token, safe='')}")
            assert (got.status == 200) == (kind in kinds), (page, kind)
            if page != "preferences":
                assert not any(word in got.body for word in (b"Anastasia", ANA.encode(), VICTIM.encode(), b"ana@"))
    before = await gateway.everything()
    for kind, token in tokens.items():
        if kind not in opens["unsubscribe"]:
            assert (await gateway.send("POST", f"/unsubscribe/{quote(token, safe='')}")).status == 404
        if kind not in ("topic", "everything", "undo"):
            body = urlencode({"act": token}).encode()
            got = await gateway.send("POST", "/unsubscribe/then", data=body, headers={"Content-Type": FORM})
            assert got.status == 410, kind
    assert await gateway.everything() == before


async def test_f14_a_leaked_link_tells_little_and_stands_in_no_log(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = await every_token(gateway)
    for page, kind in (("preferences", "message"), ("unsubscribe", "unsubscribe"), ("confirm", "confirm")):
        for method in ("GET", "POST"):
            got = await gateway.send(method, f"/{page}/{tokens[kind]}")
            assert got.headers["Referrer-Policy"] == "no-referrer"
            assert got.headers["Cache-Control"] == "no-store"
            assert got.headers["X-Robots-Tag"] == "noindex"
            assert not any(word in got.body for word in (ANA.encode(), b"Anastasia", VICTIM.encode()))
    key = await gateway.key("metrics:read")
    metrics = await gateway.send("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
    written = capsys.readouterr()
    told = metrics.body.decode() + written.out + written.err
    assert "/unsubscribe/{token}" in told
    assert not any(token in told for token in tokens.values() if len(token) > 20)


# --- F15, F16: what operators write ------------------------------------------------------------


async def test_f15_no_word_of_an_operator_is_markup_and_no_page_runs_but_ours(gateway: Gateway) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>{{ 7*7 }}"
    await gateway.api("POST", "/v1/preference-groups", json={"headline": "<b>Stage</b>", "text": evil})
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama", "text": evil, "group": "<b>Stage</b>"})
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": {"en": {"text": evil, "link": f"{SITE}/terms"}}})
    path = await form_of(
        gateway, headline=evil, confirmation_message=evil, success_message=evil, fields=["attributes.seat"],
        labels={"attributes.seat": evil}, preferences=[{"name": "Drama"}], allowed_origins=[SITE], confirm="none",
    )  # fmt: skip
    ana = await gateway.person(f"email:{ANA}", first_name=evil, consent={"channels": {"email": "yes"}})
    [address] = [row["id"] for row in await gateway.rows("addresses")]
    [preference] = [row["id"] for row in await gateway.rows("preferences")]
    own = gateway.house.manage_links.token(Opened(ana["id"], address, "asked", gateway.clock()))
    token = gateway.house.links.token(address, "email", preference)
    pages = [
        await gateway.send("GET", path),
        await send_in(gateway, path, BEN, first_name=evil),
        await press(gateway, path, address=evil),
        await gateway.send("GET", f"/preferences/{own}"),
        await gateway.send("POST", f"/unsubscribe/{token}"),
    ]
    for page in pages:
        text = page.body.decode()
        assert page.type == "text/html"
        assert not re.search(r"<script>|<img[^>]+onerror|<b>Stage|\b49\b", text)
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'nonce-")
        assert "unsafe" not in policy
        [nonce] = set(re.findall(r"<s(?:cript|tyle) nonce=\"([^\"]+)\"", text))
        assert f"'nonce-{nonce}'" in policy
        assert len(re.findall(r"<script", text)) == policy.count("script-src")
    assert b"&lt;script&gt;" in pages[0].body
    for logo in ("data:image/svg+xml;base64,PHN2Zy8+", "https://evil.example/x.png", "javascript:alert(1)"):
        wrong = await gateway.ask("PATCH", f"/v1{path}", json={"looks": {"logo": logo}})
        assert wrong.status == 422, logo
    for accent in ("red;background:url(//evil.example)", "#fff}body{display:none", "#12345"):
        assert (await gateway.ask("PATCH", f"/v1{path}", json={"looks": {"accent": accent}})).status == 422
    for link in ("javascript:alert(1)", "data:text/html,x"):
        terms = {"texts": {"en": {"text": "x", "link": link}}}
        assert (await gateway.ask("PUT", "/v1/settings/terms", json=terms)).status == 422, link


async def test_f16_a_form_leads_to_the_sites_that_it_names_and_nowhere_else(gateway: Gateway) -> None:
    wrong = {"description": "x", "channel": "email", "confirmation_message": "x", "button_text": "x"}
    for url in ("https://evil.example/", "//evil.example", "javascript:alert(1)", f"{SITE}.evil.example/",
                f"{SITE}@evil.example/", "http://www.example.org/", "/thanks"):  # fmt: skip
        asked = wrong | {"redirect_url": url, "allowed_origins": [SITE]}
        assert (await gateway.ask("POST", "/v1/forms", json=asked)).status == 422, url
    path = await form_of(gateway, redirect_url=f"{SITE}/thanks", allowed_origins=[SITE])
    evil = "https://evil.example/"
    fields = dict.fromkeys(("redirect_url", "redirect", "next", "url", "return", "page"), evil)
    nonce = nonce_in(await opened(gateway, f"{path}?redirect_url={quote(evil)}&next={quote(evil)}"))
    gateway.clock.advance(seconds=4)
    body = urlencode({"nonce": nonce, "address": ANA} | fields).encode()
    headers = {"Content-Type": FORM, "Sec-Fetch-Dest": "document", "Referer": evil, "Origin": evil[:-1]}
    got = await gateway.send("POST", f"{path}?next={quote(evil)}", data=body, headers=headers, follow=False)
    assert (got.status, got.headers["Location"]) == (303, f"{SITE}/thanks")
    left = await gateway.ask("PATCH", f"/v1{path}", json={"allowed_origins": []})
    assert left.status == 422, "it would lead to a site that it no longer names"
