"""The public pages: what customers meet without a login.

Lives here: every page under /forms, /preferences, /unsubscribe and /confirm, how they look (`look`, pages/), what they
share (`desk`), what a form is (`catalogue`) and what becomes of what is sent in (`submission`): `intake` keeps it and
has it carried out by `carry`, as `decision` says. Everybody's own page is `centre`: `centre_state` reads it, `boxes`
says what ticks come to, `centre_save` keeps them; `link_requests` sends who asks a link to it. Owns the tables: forms,
form_versions, submissions, spent, budgets. May know: broadcasts' and inbox's floor and below; writes consent by
outbox.heed only.
"""
