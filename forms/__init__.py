"""The public pages: what stands behind the links in a message.

Lives here: `unsubscribe` and `confirm`, and what they have in common (`page`). Owns no table. May know: broadcasts' and
inbox's floor and below; writes consent by outbox.heed only.
"""
