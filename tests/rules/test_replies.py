"""What is answered when a rule says nothing of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rules.builtin import PACKS, builtin_rules
from rules.replies import default_reply, render, reply_to
from rules.values import Rule

ORGANISATION, CONTACT = "Royal Harbour Theatre", "help@royalharbour.example"
GSM_7 = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)

OUT = Rule("r", "sms", "STOP", "starts_with", "opt_out", builtin="en")
IN = replace(OUT, action="opt_in")
HELP = replace(OUT, action="reply_only")
EVERY = [
    replace(rule, subject_kind=subject)
    for rule in (*(replace(OUT, builtin=pack) for pack in (*PACKS, None)), IN, HELP)
    for subject in ("channel", "everything", "preference")
]


def told(rule: Rule, organisation: str = ORGANISATION, contact: str = CONTACT) -> str:
    return reply_to(rule, organisation=organisation, contact=contact)


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: f"{rule.action}-{rule.builtin}-{rule.subject_kind}")
@pytest.mark.parametrize("contact", [CONTACT, "", "  "])
def test_a_default_reply_is_one_text_that_names_the_organisation(rule: Rule, contact: str) -> None:
    reply = told(rule, contact=contact)
    assert reply.startswith(ORGANISATION)
    assert len(reply) <= 160
    assert set(reply) <= GSM_7
    assert "[" not in default_reply(rule).replace("[organisation]", "").replace("[contact]", "")


def test_every_built_in_rule_has_a_reply() -> None:
    assert all(told(rule) for rule in builtin_rules(PACKS))


def test_an_opt_out_is_confirmed_and_says_that_no_more_messages_come() -> None:
    assert told(OUT) == (
        "Royal Harbour Theatre: you are unsubscribed and will receive no more messages from us. "
        "Reply START to come back."
    )


def test_an_opt_out_is_answered_in_the_language_of_its_pack() -> None:
    replies = {pack: told(replace(OUT, builtin=pack)) for pack in PACKS}
    assert len(set(replies.values())) == len(PACKS)
    assert "désinscription" in replies["fr"]
    assert "messaggi" in replies["it"]


def test_an_opt_out_of_one_preference_does_not_claim_to_be_one_of_all() -> None:
    reply = told(replace(OUT, subject_kind="preference", subject_name="Drama (internal)"))
    assert "of this kind" in reply
    assert "STOP" in reply
    assert "internal" not in reply


def test_an_opt_in_names_programme_frequency_help_stop_and_rates() -> None:
    reply = told(IN)
    for part in (ORGANISATION, "Frequency", "HELP", "STOP", "rates"):
        assert part in reply


def test_help_says_how_to_reach_us() -> None:
    assert f"for help, contact {CONTACT}." in told(HELP)
    assert "STOP" in told(HELP)


def test_help_without_a_contact_leaves_nothing_dangling() -> None:
    assert told(HELP, contact="") == (
        "Royal Harbour Theatre: Msg frequency varies. Msg & data rates may apply. "
        "Reply STOP to receive no more messages."
    )


def test_without_an_organisation_the_introduction_goes() -> None:
    assert told(OUT, organisation=" ").startswith("You are unsubscribed")
    assert told(replace(OUT, builtin="fr"), organisation="").startswith("Désinscription")


def test_a_rules_own_reply_comes_first_and_an_empty_one_is_silence() -> None:
    assert told(replace(OUT, reply="Bye from [organisation]")) == f"Bye from {ORGANISATION}"
    assert told(replace(OUT, reply="")) == ""


@pytest.mark.parametrize(
    ("template", "organisation", "contact", "reply"),
    [
        ("Hi, [organisation] here", "ACME", "", "Hi, ACME here"),
        ("Hi, [organization] here", "ACME", "", "Hi, ACME here"),
        ("[organisation] and [Organisation] and [other] [", "ACME", "", "ACME and [Organisation] and [other] ["),
        ("[organisation]: call [contact]", "ACME", "", ""),
        ("Write to [contact]. Bye!", "ACME", "", "Bye!"),
        ("Bye! Write to [contact].", "ACME", "a.b@c.example", "Bye! Write to a.b@c.example."),
        ("Note: write to [contact]. Bye", "ACME", "", "Bye"),
        ("[organisation] says [contact]", "[contact]", "[organisation]", "[contact] says [organisation]"),
        ("[organisation] \\1 \\g<0>", "A\\1", "", "A\\1 \\1 \\g<0>"),
        ("", "ACME", "x", ""),
    ],
)
def test_placeholders_are_filled_once_and_others_left_alone(
    template: str, organisation: str, contact: str, reply: str
) -> None:
    assert render(template, organisation=organisation, contact=contact) == reply
