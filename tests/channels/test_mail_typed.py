"""What a person typed: a table of replies as programs write them, and what holds for whatever comes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from email.message import EmailMessage
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.mail import quotes
from channels.mail.typed import HTML_READ, TEXT_READ, what_was_typed
from tests.channels.letters import letter_of
from tests.channels.replies import Reply, replies

REPLIES = {reply.id: reply for reply in replies()}

# What is known to come out otherwise, and as what. Nothing else may; and what mends one of these takes it out here.
KNOWN_TO_FAIL = {
    # Lost: the person's words are taken for a quote.
    "no_quote_and_odd:en-own-mark": "",  # only ">" tells a quote in plain text, and here the person typed it
    "yahoo_and_aol:en-bottom-of-an-unmarked-quote": "",  # nothing tells where the quote ends
    "outlook_desktop:en-answers-in-the-quote": "See my answers below.",
    # Too much: what is quoted or added is kept, below the person's own words.
    "business_mail:en-notes-table": "Stop\n\nExample Theatre <hello@example.org>\n23/11/2026 10:00\n"
    "To lee@example.com\nSubject The season opens\n\nThe season opens.",
    "business_mail:en-unmarked-long-signature": "Please stop.\n\nBest regards,\nLee\n\nLee Long | Managing Director\n"
    "Long & Sons Ltd | 1 High Street | London\nT +44 20 7946 0000 | www.example.com",
    "no_quote_and_odd:en-unknown-language-attribution-unmarked": "stop\n\n"
    "Ar 23 Tachwedd 2026 am 10:00, ysgrifennodd Example Theatre:\nThe season opens.",
    "yahoo_and_aol:en-android": "Stop please\n\nOn Mon, Nov 23, 2026 at 10:00 AM, "  # its HTML tells
    "Example Theatre<hello@example.org> wrote:   The season opens on 5 December.",
    "android_apps:en-samsung-carrier": "take me off\n\nSent via the Samsung Galaxy S23 5G, an AT&T 5G smartphone",
    # Too much, above the person's own words.
    "business_mail:en-emacs-supercite": "Example> The season opens.\n\nDrop me, please.",
    "no_quote_and_odd:en-bars": "| The season opens on 5 December.\n| Unsubscribe\n\nStop.",
    "no_quote_and_odd:en-wrapped-quote-remainder": "before.\n\nStop.",  # or it would take answers between quotes
    # On purpose: people write in Outlook's signature, so that it counts where nothing else was written.
    "outlook_web_and_mobile:en-only-a-signature-html": "Sue Smith\nStop Motion Films Ltd",
}


def typed(reply: Reply) -> str:
    return what_was_typed(reply.text, reply.html)


def test_the_table_is_wide_enough():
    assert len(REPLIES) >= 200
    assert len({reply.language for reply in REPLIES.values()}) >= 10
    assert sum(reply.html is not None and reply.text is None for reply in REPLIES.values()) >= 30


def test_what_a_person_typed_is_found_but_where_it_is_known_not_to_be(capsys: pytest.CaptureFixture[str]):
    otherwise = {name: typed(reply) for name, reply in REPLIES.items() if typed(reply) != reply.typed}
    first = sum(typed(reply).split("\n")[0] == reply.typed.split("\n")[0] for reply in REPLIES.values())
    with capsys.disabled():
        print(
            f"\n  what was typed: {len(REPLIES) - len(otherwise)} of {len(REPLIES)} replies exactly,"
            f" the first line of {first}; in {len({reply.language for reply in REPLIES.values()})} languages"
        )
    assert otherwise == KNOWN_TO_FAIL


@pytest.mark.parametrize("reply", [pytest.param(reply, id=name) for name, reply in REPLIES.items()])
def test_line_ends_and_a_byte_order_mark_do_not_matter(reply: Reply):
    text = reply.text and "\ufeff" + reply.text.replace("\n", "\r\n")
    html = reply.html and reply.html.replace("\n", "\r\n")
    assert what_was_typed(text, html) == typed(reply)


@pytest.mark.parametrize("reply", [pytest.param(reply, id=name) for name, reply in REPLIES.items()])
def test_what_was_typed_is_what_was_typed(reply: Reply):
    """Found once it is found again, but for a quote that shows only when what hid it is gone."""
    once = typed(reply)
    assert what_was_typed(once, None) == once


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
@pytest.mark.parametrize("reply", [pytest.param(reply, id=name) for name, reply in REPLIES.items()])
def test_it_is_the_same_out_of_a_whole_mail(reply: Reply, encoding: str):
    mail = EmailMessage()
    if reply.text is not None:
        mail.set_content(reply.text, cte=encoding)
    if reply.html is not None:
        add = mail.set_content if reply.text is None else mail.add_alternative
        add(reply.html, subtype="html", cte=encoding)
    letter = letter_of(mail.as_string())
    assert what_was_typed(letter.text, letter.html) == typed(reply)


# --- rules of its own ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "html", "words"),
    [
        (None, None, ""),
        ("", "", ""),
        ("  \n", "<p>STOP</p>", "STOP"),
        ("STOP", None, "STOP"),
        ("\u200b\n\u200e\u200f\u200b\u200c\u200d\u2060\u2061\nSTOP\n", None, "STOP"),
        ("", "<div>&#8203;</div><div>&zwnj;&nbsp;</div><div>STOP</div>", "STOP"),
        ("STOP", "<p>something else</p>", "STOP"),  # the text is believed
        ("STOP\nzzz quote in an unknown way", "<p>STOP</p><blockquote>zzz quote…</blockquote>", "STOP"),
        ("STOP\n\nand more of mine", "<p>STOP</p><p>and more of mine</p>", "STOP\n\nand more of mine"),
        ("This message requires an HTML viewer.", "<p>STOP</p>", "STOP"),
        ("Your e-mail program does not show HTML messages.\n", "<div>Unsubscribe me</div>", "Unsubscribe me"),
        ("is the HTML version gone?", "<p>is the HTML version gone?</p>", "is the HTML version gone?"),
    ],
)  # fmt: skip
def test_text_and_html_together(text: str | None, html: str | None, words: str):
    assert what_was_typed(text, html) == words


def test_what_stands_behind_the_cap_is_not_read():
    assert what_was_typed("a" * TEXT_READ + "STOP", None) == "a" * TEXT_READ
    assert what_was_typed(None, "a" * HTML_READ + "STOP") == "a" * HTML_READ
    assert "STOP" in what_was_typed("> quoted\n" * 1000 + "STOP", None)


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("&#83;&#x54;OP&nbsp;now", "STOP now"),
        ("&#" + "1" * 10_000 + ";STOP", "&#" + "1" * 10_000 + ";STOP"),  # int() refuses so many digits
        ("&#xD800;&#0;&#1114112;STOP", "STOP"),
        ("&#²;&#x_1;&#-1;&bogus;&;STOP&", "&#²;&#x_1;&#-1;&bogus;&;STOP&"),
        ("1 < 2 <3 <> </> STOP", "1 < 2 <3 <> STOP"),
        ("STOP<!-- never closed <p>no</p>", "STOP"),
        ("STOP<style>never closed <p>no</p>", "STOP"),
        ("STOP<b never closed", "STOP"),
        ("<a title=\"never closed>STOP", "STOP"),
        ("<p title='a\"b'>STOP</p>", "STOP"),
        ("<P\nCLASS=x\n>ST<b>O</b>P</P\n>", "STOP"),
        ("<br/>STOP<br />now<hr>here", "STOP\nnow\nhere"),
        ("\u0130<style>x</style>STOP", "\u0130STOP"),  # whose small form is two characters long
        ("<blockquote>a</blockquote>STOP<blockquote>b<blockquote>c</blockquote>d</blockquote>now", "STOP\n\nnow"),
        ("<div class=gmail_signature>Ann</div><blockquote>a</blockquote>STOP", "STOP"),
        ("<div class='gmail_signature'>Ann<blockquote>a</blockquote>Lee</div>STOP", "STOP"),
        ("<blockquote>only a quote", ""),
        ("<div title='get a quote'>STOP</div>", "STOP"),
        ("<div class=yahoo_quoted>a</div><div id='quote' style='font:\"x\"'>b</div>STOP", "STOP"),
        ("<p>STOP</p></blockquote></div></p><p>now</p>", "STOP\n\nnow"),
    ],
)  # fmt: skip
def test_broken_markup_is_read_as_browsers_do(html: str, words: str):
    assert what_was_typed(None, html) == words


# --- whatever comes ------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "STOP", "\n", "\n\n", "\r\n", "> ", ">", "-- \n", "--\n", "____________\n", "On 23/11/2026, A <a@b.c> wrote:\n",
        "Am 23.11.2026 schrieb\n", "From: ", "Sent: ", "De:\n", "To: x\n", "Sent from my iPhone\n", "wrote:\n", ":\n",
        "-----Original Message-----\n", "This email and any attachments are confidential. " * 2, "\0", "\ufeff",
        "&nbsp;", " " * 70, "\u0130", "\u200b", "á", "e\u0301", ">>> 2026 >>>\n", "\ud800", "12", "@",
        "Sent with love\n",
    ]
)  # fmt: skip
TAGS = st.sampled_from(
    [
        "<p>", "</p>", "<div>", "</div>", "<blockquote>", "</blockquote>", "<br>", "<pre>", "</pre>", "<", ">", "</",
        "/>", '<div class="', '">', "'", '"', "=", "<!--", "-->", "<style>", "</style>", "&#", "&amp;", "&", ";",
        "<td>", "<b>", '<div class="gmail_signature">', '<div id="divRplyFwdMsg">', '<div class="yahoo_quoted">', "<!",
        "<?", "x", " ",
    ]
)  # fmt: skip


def assembled(*pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*pieces, st.text(max_size=5)), max_size=40).map("".join)


def ends_of_lines(text: str) -> list[str]:
    return (text if "\n" in text else text.replace("\r", "\n")).split("\n")


def bare(line: str) -> str:
    """Without what only seems to be a sign, at its ends."""
    return line.strip().lstrip("\ufeff").strip()


def signs(text: str) -> list[str]:
    return [sign for sign in text if not sign.isspace()]


def stands_in(words: str, text: str) -> bool:
    """Whether the words' signs stand in the text in this order."""
    rest = iter(signs(text))
    return all(sign in rest for sign in signs(words))


@settings(max_examples=500, deadline=None)
@given(assembled(PIECES))
def test_whatever_text_comes_its_lines_come_out_and_nothing_else(text: str):
    words = what_was_typed(text, None)
    assert stands_in(words, text)
    assert words == words.strip()
    lines = ends_of_lines(text.replace("&nbsp;", " "))
    soft = any(len(line.strip()) >= 60 and line.endswith(" ") for line in lines)
    assert soft or not words or {bare(line) for line in words.split("\n")} <= {bare(line) for line in lines}


@settings(max_examples=500, deadline=None)
@given(assembled(PIECES, TAGS))
def test_whatever_html_comes_it_is_read(html: str):
    words = what_was_typed(None, html)
    assert words == words.strip()
    assert "&" in html or stands_in(words, html)


@settings(max_examples=300, deadline=None)
@given(assembled(PIECES), assembled(PIECES, TAGS))
def test_whatever_both_hold_the_words_are_those_of_one(text: str, html: str):
    assert what_was_typed(text, html) in (what_was_typed(text, None), what_was_typed(None, html))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="STOP abc.\n", max_size=60))
def test_plain_words_without_a_quote_all_stay(text: str):
    assert signs(what_was_typed(text, None)) == signs(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="STOP abc.!?\n", max_size=60), assembled(PIECES))
def test_what_stands_above_a_quote_stays_whatever_is_quoted(words: str, quoted: str):
    marked = "".join(f"> {line}\n" for line in quoted.split("\n"))
    text = f"{words}\n\nOn 23/11/2026 at 10:00, Ann <ann@example.org> wrote:\n\n{marked}"
    assert signs(what_was_typed(text, None)) == signs(words)


# --- the work it makes ---------------------------------------------------------------------------

STEPS = 20  # for each character, at most
HOSTILE = {
    **{repr(piece): piece for piece in (">", "> ", ">\n", "\n", "\r", " ", "\t\n", "a\n", "a \n", "ab\n", "abc\n")},
    **{repr(piece): piece for piece in ("<", "</", "<!", "<!--", "<a", "<a ", "<p>", "</p>", "<b>", "<br>", "<td>")},
    **{repr(piece): piece for piece in ("<blockquote>", "<blockquote></blockquote>", "<div><blockquote>", "<pre>\n")},
    **{repr(piece): piece for piece in ("<style>", "<style></style>", "<a b='", '<a b="', '<a b="">', "<a =>", "<a=")},
    **{repr(piece): piece for piece in ("<a b=\"' c='\"", "<a b=\">", "<a b='>\" ", "<a ====>", "<textarea>", "<!x")},
    **{repr(piece): piece for piece in ("&", "&#", "&#1", "&#x;", "&amp;", "&amp", ";", "&" + "a" * 30, "&nbsp;")},
    **{repr(piece): piece for piece in ("On ", "On \n", "On 1\n", "wrote:", "wrote:\n", ":\n", "1:\n", "@:\n")},
    **{repr(piece): piece for piece in ("From:\n", "De:\n", "A:\n", "To:\n", "From: Sent: ", "a:b\n", "2026 wrote:\n")},
    **{repr(piece): piece for piece in ("On 2026\n@\n\n", "x 2026\nwrote\n:\n", "On 1 a@b wrote:\n", "2026 @:\n\n")},
    **{repr(piece): piece for piece in ("--\n", "-- \n", "- \n", "-----\n", "__________\n", "-", "_", "- a -\n")},
    **{repr(piece): piece for piece in ("sent from my x\n", "get outlook for\n", "this email and any \n", "dis\n")},
    **{repr(piece): piece for piece in ("\u0130", "e\u0301", "\u0301", "\u200b", "\ufdfa", "\U0001f600", "\ufeff\n")},
    **{repr(piece): piece for piece in ("\xe9\n", "\xe9" * 7 + "\n", "Ж" * 5 + ":\n", "כתב:\n", "Ж\n", "От:\n")},
    **{repr(piece): piece for piece in ('<a """">', '<a class="">', '<div id="signature">', '<a x=">">', "<a '\">")},
    "long lines": "On 23/11/2026 wrote " * 19 + ":\n",
    "lines as long as can be": "x" * 398 + ":\n",
    "attributions": "On 23/11/2026 at 10:00, A <a@b.c> wrote:\n> a\n",
    "attributions in lines": "On 23/11/2026 at\n10:00, A\n<a@b.c>\nwrote:\n> a\n",
    "classes": '<div class="a b c d e f g h">',
    "signatures": '<div class="signature">a</div>',
    "digits": "11/11 " * 60 + ":\n",
}  # fmt: skip


class Steps:
    """How many lines of Python are run, and how many characters are looked at by what is written in C.

    A method of a string looks at all of it; what is found, at what lies before it. (`in` is not seen: it is asked a few
    times of a line of at most 400 characters.)
    """

    def __init__(self) -> None:
        self.made = 0

    def search(self, text: str) -> object:
        """In place of the pattern's: it looks at at most ten characters from each digit on, and every other once."""
        self.made += sum(10 if character.isdecimal() else 1 for character in text)
        return DATE.search(text)

    def count(self, work: Callable[[], object]) -> int:
        before = sys.gettrace(), sys.getprofile()
        sys.settrace(self._line)
        sys.setprofile(self._method)
        try:
            work()
        finally:
            sys.setprofile(before[1])
            sys.settrace(before[0])
        return self.made

    def _line(self, frame: FrameType, event: str, argument: object) -> object:
        if frame.f_code.co_filename == __file__:
            return None
        self.made += event == "line"
        return self._line

    def _method(self, frame: FrameType, event: str, function: object) -> None:
        text = getattr(function, "__self__", None)
        if event != "c_call" or not isinstance(text, str) or frame.f_code.co_filename == __file__:
            return
        name = function.__name__  # type: ignore[attr-defined]
        ends = name in ("startswith", "endswith", "isascii") or (name == "isspace" and not text.isspace())
        self.made += 1 if ends else 0 if name == "find" else len(text)


class Searched(str):
    """A text that counts what its `find` looks at."""

    steps: Steps

    def of(self, steps: Steps) -> Searched:
        self.steps = steps
        return self

    def find(self, sought: str, start: int = 0, end: int = sys.maxsize) -> int:  # type: ignore[override]
        found = str.find(self, sought, start, end)
        self.steps.made += 1 + (found if found >= 0 else min(end, len(self))) - start
        return found

    def lower(self) -> Searched:
        self.steps.made += len(self)
        return Searched(str.lower(self)).of(self.steps)

    def replace(self, old: str, new: str, count: int = -1) -> Searched:  # type: ignore[override]
        self.steps.made += len(self)
        return Searched(str.replace(self, old, new, count)).of(self.steps)

    def __getitem__(self, at: object) -> str:
        taken = str.__getitem__(self, at)  # type: ignore[index]
        return Searched(taken).of(self.steps) if len(taken) == len(self) else taken


DATE = quotes._DATE


@pytest.mark.parametrize("part", ["text", "html"])
@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_hostile_mail_takes_at_most_20_steps_per_character(
    piece: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps()
    monkeypatch.setattr(quotes, "_DATE", steps)
    text = Searched(piece * (10_000 // len(piece))).of(steps)
    made = steps.count(lambda: what_was_typed(text if part == "text" else None, text if part == "html" else None))
    assert made <= STEPS * len(text) + 500
