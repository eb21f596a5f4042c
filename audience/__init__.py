"""Who: what a broadcast's audience means, as questions for the verdict.

Lives here: `select`. Has no table of its own yet (segments, imports and exports come here).
May know: outbox, consent, profiles, store.
"""
