"""Who: what a broadcast's audience means, as questions for the verdict.

Lives here: `select`, `lists` (segments, imports and exports come here). Its table: audience_parts.
May know: outbox, consent, profiles, store.
"""
