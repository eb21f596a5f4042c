"""Who said yes to what: the states and their moves, the append-only history, the verdict.

Lives here: `states` (pure moves and fold), `ledger` (the one writer), `verdict` (the one definition of "may we send"),
`preferences` and their `groups`, `questions` (which of them a page asks), `terms`, `defaults`, `holds`, `chain` (the
hash chain and its proof), `tally` (what the history gained, counted).
Its tables: consent_events, evidence, consent_chains, consent_states, preferences, preference_groups, terms, defaults,
pauses, and the `version`, `suppressed_at` and `held_at` of addresses. May know: store. Rooms above come in by
`outbox.heed` only.
"""
