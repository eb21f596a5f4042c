"""Who is in a story: of the people who are there already, who may text, be sent to, be merged, and who keeps silent."""

from __future__ import annotations

import random
from collections import Counter

from tests.campaign.seed import SENT, Seeded
from tests.torture.crm import Crm
from tests.torture.provider import OPTED_OUT
from tests.torture.records import Record
from tests.torture.script import NEWCOMERS, Script

MERGEABLE = 40  # people who may turn out to be one with another
SILENT = 4  # people who said yes before, and say nothing


def cast(seeded: Seeded, chance: random.Random, name: str, record: Record) -> Script:
    """The story of one database; who was what before it is noted in the record."""
    known = sorted({number for person in seeded.people for number in person.numbers})
    sendable = sorted({person.sent_at for person in seeded.people if person.comes_to == SENT and person.sent_at})
    households = Counter(number for person in seeded.people for number in person.numbers)
    alone = {p.numbers[0]: p for p in seeded.people if len(p.numbers) == 1 and households[p.numbers[0]] == 1}
    record.second = {p.numbers[0]: p.numbers[1] for p in seeded.people if len(p.numbers) == 2}
    record.said_no = frozenset(n for n, person in alone.items() if person.comes_to == "opted_out_channel")
    silent = [n for n in sendable if n in alone and not n.endswith(OPTED_OUT)][-SILENT:]
    record.silent = frozenset(silent)
    quiet = {*silent, *record.second.values()}
    people = [n for n in [*known, *NEWCOMERS[:20]] if n not in quiet and not n.endswith(OPTED_OUT)]
    mergeable = chance.sample([n for n in people if n in alone], MERGEABLE)
    crm = Crm(chance, name, {number: alone[number].profile_id for number in mergeable}, record)
    audience = sendable + known[::5] + NEWCOMERS[:4] + sorted(mergeable)
    return Script(chance, name, people, audience, silent, record, crm)
