"""Who a mail says it is from: the mailboxes of a From (RFC 5322, 3.4). Pure, linear, and raises nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from channels.mail.charsets import clean
from channels.mail.headers import plain

FROM_CHARS = 4_096
MAILBOX_CHARS = 320  # RFC 5321: 64, the sign, and 255
NAME_CHARS = 200

# Strings, comments' brackets and all else that divides.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[()<>,;:]|[^"\\()<>,;:]+|.', re.DOTALL)
_MAILBOX = re.compile(r'(?:[^\s@<>()\[\],;:\\"]+|"(?:[^"\\]|\\.)*")@(?P<domain>[^\s@<>()\[\],;:\\"]+)')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_DIVIDES = re.compile(r'[\s<>()\[\],;:"]+')


@dataclass(frozen=True, slots=True)
class Author:
    """The one mailbox that a mail is from. `sure`: nothing in the field could be read otherwise."""

    address: str = ""  # as written; "" where there is none, or several
    name: str | None = None
    sure: bool = False

    @property
    def domain(self) -> str:
        return normal_domain(self.address.rpartition("@")[2])


NOBODY = Author()


def author(fields: list[str]) -> Author:
    """The author by all From fields of a mail, undecoded: two fields, or two mailboxes in one, are nobody.

    What is written against the rules is still read where it has one mailbox in angle brackets, or is nothing but one.
    """
    if len(fields) != 1 or len(fields[0]) > FROM_CHARS:
        return NOBODY
    mailboxes = _mailboxes(fields[0])
    if mailboxes is None:
        return _at_a_guess(fields[0])
    if len(mailboxes) != 1:
        return NOBODY
    return replace(mailboxes[0], sure=mailboxes[0].sure and not _hides_another(fields[0]))


def found_in(value: str) -> list[str]:
    """All that looks like a mailbox, in order; for fields of which nothing hangs on it."""
    return [one for one in _DIVIDES.split(value) if "@" in one[1:-1] and len(one) <= MAILBOX_CHARS]


def normal_domain(domain: str) -> str:
    """The domain to compare with. One in another script is equal to itself only: to turn it into what the DNS has there
    are two ways (IDNA 2003 and 2008), and with the wrong one it would be somebody else's."""
    return domain.rstrip(".").lower() if domain.isascii() else domain


def _mailboxes(value: str) -> list[Author] | None:
    """Those of a mailbox list; None where the value is none."""
    found: list[Author] = []
    phrase: list[str] = []
    angle: list[str] | None = None  # what stands in the brackets of this mailbox
    depth, open_ = 0, False
    for piece in [*_PIECE.findall(value), ","]:
        if piece in "()" or depth:
            depth += {"(": 1, ")": -1}.get(piece, 0)
            if depth < 0:
                return None
        elif piece in (";", ":") or (open_ and piece in "<,") or (not open_ and piece == ">"):
            return None  # a group, a route, or broken
        elif piece == "<":
            if angle is not None:
                return None
            angle, open_ = [], True
        elif piece == ">":
            open_ = False
        elif open_:
            assert angle is not None  # noqa: S101 - for the type
            angle.append(piece)
        elif piece == ",":
            one = _one("".join(phrase), None if angle is None else "".join(angle))
            if one is None:
                return None
            found += [] if one is NOBODY else [one]
            phrase, angle = [], None
        elif angle is not None and piece.strip():
            return None  # words behind the brackets
        else:
            phrase.append(piece)
    return None if depth or open_ else found


def _hides_another(value: str) -> bool:
    """Whether a reader that knows no comments, or no quoted strings, would find another mailbox."""
    return value.count("<") > 1 or _QUOTED.sub("", value).count("@") > 1


def _one(phrase: str, angle: str | None) -> Author | None:
    """One mailbox; NOBODY for nothing between two commas, None for what is none."""
    phrase = phrase.strip()
    if angle is None and not phrase:
        return NOBODY
    address = (phrase if angle is None else angle).strip()
    if len(address) > MAILBOX_CHARS or not _MAILBOX.fullmatch(address):
        return None
    if angle is None:
        return Author(clean(address), None, sure=True)
    if "@" in _QUOTED.sub("", phrase):
        return None  # a mailbox before the mailbox: some read that one
    return Author(clean(address), _name(phrase), sure=True)


def _name(phrase: str) -> str | None:
    bare = re.sub(r'"((?:[^"\\]|\\.)*)"', lambda match: re.sub(r"\\(.)", r"\1", match[1]), phrase)
    return plain(bare)[:NAME_CHARS].strip() or None


def _at_a_guess(value: str) -> Author:
    bracketed = re.findall(r"<\s*([^<>\s]{3,320})\s*>", value)
    given = bracketed if bracketed else found_in(value)
    whole = [one for one in given if _MAILBOX.fullmatch(one)]
    return Author(clean(whole[0])) if len(whole) == 1 else NOBODY
