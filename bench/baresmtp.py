"""The limit of mail out: aiosmtplib clients that post the same mails, made before, each on a connection of its own.

python -m bench.baresmtp PORT COUNT CONNECTIONS
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import aiosmtplib

from bench.mailing import CONTENT, ORGANISATION, ORIGIN, POSTAL_ADDRESS, SENDER, reader
from channels.mail.compose import Posted, compose
from channels.values import Mail, Outbound
from content import mail
from content.mail import Below
from outbox.optout_links import OptOutLinks


def mails(count: int) -> list[Posted]:
    """As the gateway sends them."""
    links = OptOutLinks(ORIGIN, ["a secret of the bench's"])
    made = []
    for number in range(count):
        url = links(f"adr_{number:026d}", "email")
        letter = mail.finish(CONTENT, Below(ORGANISATION, POSTAL_ADDRESS, url), subject="")
        value = Mail(letter.subject, letter.text, letter.html, unsubscribe_url=url)
        message = Outbound(f"att_{number:026d}", "email", reader(number))
        made.append(compose(message, value, sender=SENDER, inbound_domain=None, now=datetime.now(UTC)))
    return made


async def main() -> None:
    port, count, connections = (int(word) for word in sys.argv[1:4])
    waiting = iter(mails(count))

    async def client() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, local_hostname="bench", start_tls=False) as smtp:
            for one in waiting:
                await smtp.sendmail(one.return_path, [one.to], one.content)

    await asyncio.gather(*(client() for _ in range(connections)))
    print("{}")


if __name__ == "__main__":
    asyncio.run(main())
