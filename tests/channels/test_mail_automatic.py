"""Whether a person wrote a mail: what machines set, and what people's mail may carry all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.mail.automatic import why_automatic
from channels.mail.letter import Letter
from channels.values import Automatic
from tests.channels.letters import letter_of

OURS = "<att_00000000000000000000000001@example.org>"
STOP = "Please stop and read this: STOP"


def mail(*headers: str, subject: str = "Re: The season opens", sender: str = "ana@example.net") -> Letter:
    return letter_of("\n".join((f"From: Ana <{sender}>", f"Subject: {subject}", *headers, "", STOP)))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        # RFC 3834 §5
        ("Auto-Submitted: auto-replied", "auto_reply"),
        ("Auto-Submitted: auto-replied (vacation)", "auto_reply"),
        ("auto-submitted: AUTO-REPLIED; owner-email=a@b", "auto_reply"),
        ("Auto-Submitted: auto-generated", "system"),
        ("Auto-Submitted: auto-notified", "system"),
        ("Auto-Submitted: something-new", "system"),
        ("Auto-Submitted: no\nAuto-Submitted: auto-replied", "auto_reply"),
        (f"Auto-Submitted: auto-generated\nIn-Reply-To: {OURS}", "auto_reply"),
        # the non-standard ones
        ("X-Autoreply: yes", "auto_reply"),
        ("X-Autorespond: The season opens", "auto_reply"),
        ("X-Auto-Reply-From: ana@example.net", "auto_reply"),
        ("X-Amazon-Auto-Reply: true", "auto_reply"),
        ("X-FC-MachineGenerated: true", "auto_reply"),
        ("X-Vacation: yes", "auto_reply"),
        ("Precedence: auto_reply", "auto_reply"),
        ("Precedence: bulk", "auto_reply"),
        ("Precedence: JUNK", "auto_reply"),
        ("X-Precedence: auto_reply", "auto_reply"),
        ("Preference: auto_reply", "auto_reply"),
        ("Delivered-To: Autoresponder", "auto_reply"),
        ("X-MS-Exchange-Inbox-Rules-Loop: ana@example.net", "auto_reply"),  # a rule in Ana's own mailbox
        # bounces
        ("Return-Path: <>", "bounce"),
        (f"Return-Path: <>\nIn-Reply-To: {OURS}", "auto_reply"),
        ("X-Failed-Recipients: eva@example.net", "bounce"),
        ('Content-Type: multipart/report; report-type=delivery-status; boundary="b"', "bounce"),
        ('Content-Type: multipart/report; report-type=disposition-notification; boundary="b"', "system"),
        ('Content-Type: multipart/report; report-type=feedback-report; boundary="b"', "system"),
        # lists
        ("List-Id: Friends <friends.example.com>", "list"),
        ("List-Unsubscribe: <mailto:leave@example.com>", "list"),
        ("Precedence: list", "list"),
        ("Mailing-List: list friends@example.com", "list"),
        ("List-Id: <friends.example.com>\nIn-Reply-To: <somebody@example.com>", "list"),
    ],
)  # fmt: skip
def test_what_only_machines_set(header: str, why: Automatic):
    assert why_automatic(mail(header)) == why


@pytest.mark.parametrize(
    "header",
    [
        "Subject-Prefix: none",
        "Auto-Submitted: no",
        "Auto-Submitted: No (a person)",
        "Auto-Submitted:",
        "X-Auto-Response-Suppress: All",  # asks others to be silent; Outlook and help desks set it on people's mail
        "X-Auto-Response-Suppress: OOF, DR, RN, NRN, AutoReply",
        "X-Autoreply: no",
        "X-Autorespond: false",
        "Precedence: normal",
        "Precedence: first-class",
        "Precedence: bulk\nAuto-Submitted: no",  # as help desks send what their agents write
        "X-Loop: hello@example.org",
        "X-MS-Exchange-Inbox-Rules-Loop: hello@example.org",  # a rule of ours that redirects
        "X-Forwarded-To: gateway@example.org\nX-Forwarded-For: hello@example.org gateway@example.org",
        "Resent-From: hello@example.org",
        "Return-Path: <ana@example.net>",
        "Return-Path: <SRS0=abc=xy=example.net=ana@relay.example.com>",
        "Return-Receipt-To: ana@example.net",
        "Feedback-ID: 1:2:3",
        "X-Mailer: PHP/8.3",
        "Importance: high\nX-Priority: 1",
        'Content-Type: text/calendar; method=REPLY; charset="utf-8"',
        # our one address is a group of Google's, or a list of our own
        "List-Id: <hello.example.org>\nList-Post: <mailto:hello@example.org>\nPrecedence: list\n"
        "List-Unsubscribe: <mailto:hello+unsubscribe@example.org>",
        "Mailing-list: list hello@example.org; contact hello+owners@example.org\nList-ID: <hello.example.org>",
        "List-Id: <office.lists.example.org>\nPrecedence: bulk",
        # through whatever list it comes, it answers us
        f"List-Id: <friends.example.com>\nIn-Reply-To: {OURS}",
        f"Precedence: list\nReferences: <x@example.com> {OURS}",
    ],
)  # fmt: skip
def test_a_persons_stop_is_not_thrown_away_for_odd_headers(header: str):
    assert why_automatic(mail(header)) is None


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: The season opens",
        "Automatic reply",
        "AUTOMATIC REPLY: The season opens",
        "Out of Office: The season opens",
        "Out of Office",
        "Out of office.",
        "OOO: back on Monday",
        "Autoreply: The season opens",
        "[Auto-Reply] The season opens",
        "Automatische Antwort: Die Spielzeit",
        "Abwesenheitsnotiz: Die Spielzeit",
        "Abwesend: Die Spielzeit",
        "Abwesenheitsnotiz",
        "Réponse automatique : La saison",
        "Réponse automatique: La saison",
        "Absent du bureau : La saison",
        "Respuesta automática: La temporada",
        "Fuera de la oficina: La temporada",
        "Resposta automática: A temporada",
        "Ausência temporária: A temporada",
        "Risposta automatica: La stagione",
        "Fuori sede: La stagione",
        "Automatisch antwoord: Het seizoen",
        "Afwezig: Het seizoen",
        "Automatiskt svar: Säsongen",
        "Automatisk svar: Sæsonen",
        "Automaattinen vastaus: Kausi",
        "Autoodpowiedź: Sezon",
        "Odpowiedź automatyczna: Sezon",
        "Automatická odpověď: Sezona",
        "Automatikus válasz: Az évad",
        "Răspuns automat: Stagiunea",
        "Otomatik Yanıt: Sezon",
        "Автоматический ответ: Сезон",
        "Автоответ: Сезон",
        "Автоматична відповідь: Сезон",
        "Αυτόματη απάντηση: Η σεζόν",
        "תשובה אוטומטית: העונה",
        "رد تلقائي: الموسم",
        "自動応答: シーズン",
        "自动答复: 演出季",
        "自动回复：演出季",
        "自動回覆: 演出季",
        "자동 회신: 시즌",
        "Trả lời tự động: Mùa diễn",
    ],
)  # fmt: skip
def test_an_out_of_office_that_says_please_stop_is_no_persons(subject: str):
    assert why_automatic(mail(subject=subject)) == "auto_reply"


@pytest.mark.parametrize(
    "subject",
    [
        "STOP",
        "unsubscribe",
        "",
        "Re: Automatic reply: The season opens",  # a person answers a machine
        "AW: Abwesenheitsnotiz: Die Spielzeit",
        "Your automatic reply",
        "I was out of office, now: STOP",
        "Out of office hours you write too often",
        "Automatic replies from you are too many",
        "Abwesenheit meiner Frau",
        "Autoreifen: bitte abmelden",
        "Absence de réponse",
        "Vacation plans",
        "Auto: bitte abmelden",
        "Urlaub: bitte keine Mails mehr",
        "Absence : je me désabonne",
        "Stop the auto reply",
        "Undeliverable: my parcel",
    ],
)
def test_a_person_may_write_of_it_all_the_same(subject: str):
    assert why_automatic(mail(subject=subject)) is None


@pytest.mark.parametrize(
    ("sender", "subject", "why"),
    [
        ("MAILER-DAEMON@example.net", "Hello", "bounce"),
        ("mailer-daemon@example.net", "Hello", "bounce"),
        ("postmaster@example.net", "Undeliverable: The season opens", "bounce"),
        ("postmaster@example.net", "Delivery Status Notification (Failure)", "bounce"),
        ("postmaster@example.net", "STOP", None),  # the one who keeps the mail of a small house
        ("noreply@example.net", "Hello", "system"),
        ("no-reply@example.net", "Hello", "system"),
        ("do_not_reply@example.net", "Hello", "system"),
        ("no.reply+123@example.net", "Hello", "system"),
        ("NoReply-Support@example.net", "Hello", "system"),
        ("auto-reply@example.net", "Hello", "system"),
        ("norbert.reply@example.net", "STOP", None),
        ("reply@example.net", "STOP", None),
        ("", "STOP", None),
    ],
)
def test_who_sends(sender: str, subject: str, why: Automatic | None):
    assert why_automatic(mail(sender=sender, subject=subject)) == why


@pytest.mark.parametrize(
    ("list_id", "recipient", "is_ours"),
    [
        ("<hello.example.org>", "gateway@in.example.org", True),
        ("<hello.example.co.uk>", "gateway@in.example.co.uk", True),
        ("<hello.example.co.uk>", "gateway@other.co.uk", False),
        ("<hello.example.org>", "abc@inbound.postmark.example", False),
        ("<hello.example.org.evil.example>", "gateway@example.org", False),
        ("nothing", "gateway@example.org", False),
        ("<" + "a." * 400 + ">", "gateway@example.org", False),
    ],
)
def test_a_list_is_ours_by_its_domain(list_id: str, recipient: str, is_ours: bool):
    letter = Letter("id", (("List-Id", list_id),), None, (recipient,), "ana@example.net", "STOP")
    assert why_automatic(letter) == (None if is_ours else "list")


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=50))), st.text(max_size=50), st.text(max_size=20))
def test_whatever_comes_is_judged(headers: list[tuple[str, str]], subject: str, sender: str):
    named = [(name or "List-Id", value) for name, value in headers]
    letter = Letter("id", (*named, ("List-Post", subject)), None, (sender,), sender, subject)
    assert why_automatic(letter) in (None, "auto_reply", "bounce", "list", "system")
