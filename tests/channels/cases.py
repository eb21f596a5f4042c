"""Cases kept as text: a file begins with what it is about; each is `=== NAME`, and its sections `<<< SECTION`."""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).parent / "samples"


def cases(file: Path) -> dict[str, dict[str, str]]:
    """The sections of each case, without the blank line below."""
    _about, *found = file.read_text("utf-8").split("\n=== ")
    read: dict[str, dict[str, str]] = {}
    for case in found:
        name, *sections = case.split("\n<<< ")
        assert name not in read, f"{file.name}: {name} is there twice"
        read[name] = {
            kind: body.removesuffix("\n") for kind, _, body in (section.partition("\n") for section in sections)
        }
    return read
