"""Addresses, masked: their owner knows them, nobody else learns them."""

from __future__ import annotations

import pytest

from profiles.masking import masked, masked_name


@pytest.mark.parametrize(
    ("channel", "value", "shown"),
    [
        ("email", "ana.ruiz@example.org", "a•••@e•••.org"),
        ("email", "a@b.example.co.uk", "a•••@b•••.uk"),
        ("email", "ana@localhost", "a•••@l•••"),
        ("sms", "+14155550123", "+1 ••• ••• •123"),
        ("voice", "+34600123456", "+34 ••• ••• •456"),
        ("whatsapp", "+35312345678", "+35 ••• ••• •678"),
        ("whatsapp", "US.1234567890", "U•••"),
        ("post", "12 Long Lane, London", "1•••"),
    ],
)
def test_an_address_is_shown_in_part(channel: str, value: str, shown: str) -> None:
    assert masked(channel, value) == shown


@pytest.mark.parametrize(("name", "shown"), [("Ana", "A•••"), ("Ana María", "A••• M•••"), ("", ""), ("李", "李•••")])
def test_of_a_name_the_first_letters_are_shown(name: str, shown: str) -> None:
    assert masked_name(name) == shown
