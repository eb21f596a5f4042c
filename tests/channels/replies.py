"""Replies as people's mail programs write them, and what the person typed in each: `samples/replies/*.txt`.

A file is a client or a family. A name begins with the language; of `text` and `html` one may be left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.channels.cases import SAMPLES, cases


@dataclass(frozen=True)
class Reply:
    client: str  # the file's name
    name: str
    typed: str
    text: str | None
    html: str | None

    @property
    def id(self) -> str:
        return f"{self.client}:{self.name}"

    @property
    def language(self) -> str:
        return self.name.partition("-")[0]


def replies() -> list[Reply]:
    return [
        Reply(file.stem, name, case["typed"].rstrip("\n"), case.get("text"), case.get("html"))
        for file in sorted((SAMPLES / "replies").glob("*.txt"))
        for name, case in cases(file).items()
    ]
