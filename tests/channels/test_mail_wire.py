"""Lines and mails out of bytes: only CR LF ends anything, however the bytes are cut on the way."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.mail.wire import NoLine, Wire, has_lone_ends


def wire(*parts: bytes, line_bytes: int = 64) -> Wire:
    """A client that sends these, each a packet, and closes."""
    return Wire(_Packets(parts), line_bytes=line_bytes)  # type: ignore[arg-type]


class _Packets(asyncio.StreamReader):
    def __init__(self, parts):
        super().__init__()
        self._parts = [part for part in parts if part]

    async def read(self, n=-1):
        return self._parts.pop(0) if self._parts else b""


def anything(_count: int) -> bool:
    return True


async def test_lines_come_one_by_one_with_their_ends():
    reading = wire(b"EHLO x\r", b"\nMAIL FROM:<a@b", b">\r\nQUIT\r\n")
    assert [await reading.line() for _ in range(3)] == [b"EHLO x\r\n", b"MAIL FROM:<a@b>\r\n", b"QUIT\r\n"]
    with pytest.raises(ConnectionError):
        await reading.line()


@pytest.mark.parametrize(
    "sent", [b"EHLO x\n", b"\n", b"EHLO x\n\r\n", b"NOOP\rRSET\r\n", b"NOOP\r\r\n", b"x" * 64 + b"\r\n", b"x" * 500_000]
)
async def test_what_is_no_line_is_none_however_it_comes(sent):
    for parts in ([sent], [bytes([one]) for one in sent[:100]] + [sent[100:]]):
        with pytest.raises(NoLine):
            await wire(*parts).line()


ENDS = [
    b"\n.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\r\r\n",
    b"\n.\r",
    b"\r\n.\x00\r\n",
]


@pytest.mark.parametrize("end", ENDS)
async def test_no_other_end_of_a_mail_is_one(end):
    smuggled = b"Subject: x\r\n\r\nHello" + end + b"MAIL FROM:<b@c>\r\nDATA\r\nSTOP"
    text = await wire(smuggled + b"\r\n.\r\nQUIT\r\n").text(anything)
    assert text is not None
    assert text.endswith(b"STOP\r\n"), "all of it is the text of one mail"
    assert has_lone_ends(text) is (b"\x00" not in end)


TEXTS = st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"..", b"\r\n.", b"\r\n..\r\n"])).map(b"".join)


@given(TEXTS, st.data())
async def test_a_mail_is_the_same_however_it_is_cut(text, data):
    """What is written by the book (RFC 5321, 4.5.2) is read as it was meant, and what follows it is left."""
    text += b"\r\n"
    dotted = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]
    sent = dotted + b".\r\nQUIT\r\nNOOP\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    reading = wire(*(sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)))
    assert await reading.text(anything) == text
    assert await reading.line() == b"QUIT\r\n"
    assert await reading.line() == b"NOOP\r\n"


async def test_an_empty_mail_is_one():
    reading = wire(b".\r\nQUIT\r\n")
    assert await reading.text(anything) == b""
    assert await reading.line() == b"QUIT\r\n"


async def test_what_there_is_no_room_for_is_read_to_its_end_and_not_kept():
    asked = []

    def take(count):
        asked.append(count)
        return sum(asked) <= 100

    reading = wire(*[b"x" * 50] * 10, b"\r", b"\n", b".\r", b"\nQUIT\r\n")
    assert await reading.text(take) is None
    assert asked == [0, 50, 50, 50], "nobody is asked again, once there was none"
    assert await reading.line() == b"QUIT\r\n"


async def test_a_client_that_goes_in_the_middle_brought_nothing():
    with pytest.raises(ConnectionError):
        await wire(b"Subject: x\r\n", b"\r\nSTOP\r\n.\r").text(anything)


@pytest.mark.parametrize(
    ("text", "lone"),
    [
        (b"", False),
        (b"a\r\nb\r\n", False),
        (b"a\nb\r\n", True),
        (b"a\rb\r\n", True),
        (b"a\r\r\n", True),
        (b"a\n\r", True),
        (b"a\r\n\n", True),
    ],
)
def test_a_lone_end_is_seen(text, lone):
    assert has_lone_ends(text) is lone
