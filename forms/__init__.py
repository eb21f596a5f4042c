"""The public pages: opt-in forms made for an iframe, the preference centre, unsubscribe and confirm links.

Lives here: `unsubscribe`. Owns no table. May know: broadcasts' and inbox's floor and below; writes consent by
outbox.heed only.
"""
