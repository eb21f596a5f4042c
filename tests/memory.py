"""How much memory this process has now."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def rss_bytes() -> int:
    """The resident set; where the system does not tell, its highest so far, which grows alike."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
