"""The public pages: opt-in forms made for an iframe, the preference centre, unsubscribe and confirm links.

Nothing is served from here yet. May know: broadcasts' and inbox's floor and below; writes consent by outbox.heed only.
"""
