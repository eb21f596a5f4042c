"""The numbers of the send protocol, which claims and opt-outs must agree on (docs/architecture.md)."""

from __future__ import annotations

# δ: a claim may begin to send this long after it was taken; then it is given back. Seconds.
LEASE_SECONDS = 1.0
# An opt-out is answered once no claim taken before it can begin any more. Seconds after its commit.
SETTLE_SECONDS = 1.1 * LEASE_SECONDS
# How often a waiting opt-out looks again. Seconds.
SETTLE_POLL_SECONDS = 0.02
# The locks of a process that stands still in the middle of a transaction are given to the others after this, however
# long it stands; when it goes on it begins that transaction again. An opt-out that waits for them and then for a send
# under way is answered within 2.5 s. Longer than a busy process is kept from its
# transactions. Seconds; PostgreSQL only.
FROZEN_SECONDS = 1.0
# An attempt whose process never told how it ended is in doubt after this. Seconds.
ABANDONED_AFTER_SECONDS = 60.0
