"""The door out, and the one door for a change of consent.

Consent: `heed` (record a change and stop what is queued), `word` (a no that comes from an address), `confirmations`
(what waits for one; `questions` asks for it, `confirmed`
does it), `undo` (an unsubscribing that is taken back), `interactions` (how a talk
with a customer ended, with one of the `dispositions`), `people` (what a changed address or a deleted profile means;
`merges`), `asking`, `verdicts` (the verdict on one, and on deliveries).
What is to be sent: `singles`, `resends`, `queue`.
Whether and when: `claims` (the last consent check), `lastlook`, `sources`, `pace`, `policy`, `hours`,
`jurisdictions`.
What stands below it: `optout_links`; what it says is `content`'s, of a mail put together by `letters`.
How it went: `dispatch`, `outcomes` (the table that decides duplicates), `endings`, `reports`, `address_reports`
(bounces, complaints, what people set at the provider), `settlement`, `pairing`, `sweeper`; `backlog` (what waits, for
whoever watches).
Its tables: deliveries, attempts, paces, sandbox_messages, confirmations, address_reports, dispositions, interactions.
May know: consent, profiles, content, rules, channels, store.
"""
