"""The door in: what people write to us is kept, and done.

Lives here: `receive` (the way of a message), `identity` (who wrote), `receipts` (each event once, for ever),
`rulebook` (the rules as rows), `reviews` (what only reads like a no; `overdue` where nobody decides), `parking` (what
cannot be understood). Its tables: rules, receipts, messages, rule_replies, reviews, parked.
May know: outbox, consent, profiles, rules, channels, store.
"""
