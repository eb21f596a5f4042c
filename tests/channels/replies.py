"""Replies as people's mail programs write them, and what the person typed in each: `samples/replies/*.txt`.

A file is a client or a family of them. It begins with what is known of its format; then each reply is `=== NAME`, the
name's first word the language, and the sections `<<< typed`, `<<< text` and `<<< html`, of which one may be left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).parent / "samples" / "replies"


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
    return [reply for file in sorted(SAMPLES.glob("*.txt")) for reply in _read(file)]


def _read(file: Path) -> Iterator[Reply]:
    _about, *cases = file.read_text("utf-8").split("\n=== ")
    for case in cases:
        name, *sections = case.split("\n<<< ")
        held = {kind: body.removesuffix("\n") for kind, _, body in (section.partition("\n") for section in sections)}
        assert "typed" in held, f"{file.name}: {name}"
        assert held.keys() <= {"typed", "text", "html"}, f"{file.name}: {name}"
        yield Reply(file.stem, name, held["typed"].rstrip("\n"), held.get("text"), held.get("html"))
