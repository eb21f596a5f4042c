"""Whether our own relay has proved who a mail is from: its Authentication-Results (RFC 8601). Pure.

Anyone can write such a field into a mail. Only the topmost that bears the configured name counts: a relay puts its own
above what came, and takes away what came under its name (RFC 8601, 5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from channels.mail.headers import Head
from channels.mail.mailbox import normal_domain

FIELD = "Authentication-Results"
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"|\\.|[();]|[^"\\();]+|.', re.DOTALL)
_RESULT = re.compile(r"([a-z0-9-]+)(?:\s*/\s*\d+)?\s*=\s*([a-z]+)", re.IGNORECASE)
_PROPERTY = re.compile(r"(?<!\S)header\.from\s*=\s*(\S+)", re.IGNORECASE)
_NOT_A_VALUE = re.compile(r"[\s=;()\"\\]+")


def dmarc_passed(head: Head, authserv_id: str, domain: str) -> bool:
    """Whether DMARC passed for this very domain, by the word of the relay with this name."""
    for value in head.all(FIELD):
        sections = _sections(value)
        if sections is None:  # it may be the relay's own, broken by what the sender wrote into it
            return False
        if _is_by(sections[0], authserv_id):
            return _passed(sections[1:], domain)
    return False


def _is_by(section: str, authserv_id: str) -> bool:
    words = section.split()
    return bool(words) and normal_domain(words[0]) == normal_domain(authserv_id)


def _passed(sections: Sequence[str], domain: str) -> bool:
    results = [(match, section) for section in sections if (match := _RESULT.match(section.strip()))]
    of_dmarc = [(match[2].lower(), section) for match, section in results if match[1].lower() == "dmarc"]
    return (
        bool(domain)
        and bool(of_dmarc)
        and all(
            result == "pass"
            and [normal_domain(one.rpartition("@")[2]) for one in _PROPERTY.findall(section)] == [domain]
            for result, section in of_dmarc
        )
    )


def _sections(value: str) -> list[str] | None:
    """What stands between the semicolons, without comments; None where a bracket or a quotation does not end.

    Of a quoted string no sign stays that could be taken for structure: what is quoted may be the sender's own.
    """
    sections, depth = [""], 0
    for match in _PIECE.finditer(value):
        piece = match[0]
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth -= 1
        elif depth:
            continue
        elif match[1] is not None:
            sections[-1] += _NOT_A_VALUE.sub("", match[1])
        elif piece == ";":
            sections.append("")
        elif piece[0] in '"\\':
            return None
        else:
            sections[-1] += piece
        if depth < 0:
            return None
    return None if depth else sections
