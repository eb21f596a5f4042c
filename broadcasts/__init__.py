"""One message to many: a broadcast, its plan with a reason for everyone, its counts.

Lives here: `records` (made and read), `plan` (the audience fixed with its verdicts), `planner` (the loop that plans),
`forecast` (what a plan would come to), `control` (paused, resumed, cancelled).
Its table: broadcasts; it plans rows into outbox's deliveries. May know: audience, outbox, consent, profiles, store.
"""
