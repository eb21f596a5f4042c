"""The door out, and the one door for a change of consent.

Lives here: `heed` (record a change and stop what is queued), `people` (what a changed address or a deleted profile
means), `claims` and `dispatch` (the queue, the last consent check, the sending), `outcomes` (the table that decides
duplicates), `sandbox`. Its tables: deliveries, attempts, sandbox_messages.
May know: consent, profiles, rules, channels, store.
"""
