"""The door in: what people write to us is kept, and done.

Lives here: `receive` (the way of a message), `identity` (who wrote), `receipts` (each event once, for ever),
`rulebook` (the rules as rows; `trial` tries one), `questions` (what a message leads us to ask, and a YES that answers),
`reviews` (what only reads like a no; `review_list` to read them, `overdue` where nobody decides), `tokens` (mail that
proves whose word it is), `parking` (what cannot be understood), `forwards` (what no rule matched goes on to `targets`,
by the loop `forwarder`), `mailbox` (messages as they are read). Its tables: rules, receipts, messages, rule_replies,
reviews, review_messages, parked, forwards.
May know: outbox, consent, profiles, rules, channels, store.
"""
