"""E-mail: what comes in, by whichever provider, and what goes out by SMTP.

In: a mail is a `Letter` (`letter`), whoever brought it. That is the gateway's own listener for SMTP and LMTP
(`listener`; `session` speaks, `wire` cuts lines and mails, `limits` says how much, `identity` tells one mail from
another), or a webhook: `sendgrid`, `mailgun`, `postmark`, `ses` (by `sns`), which read forms (`fields`), passwords
(`basic`) and events (`events`, `sendgrid_events`, `ses_events`). `mime` makes it of bytes: `headers`, `multipart` and
`charsets` read, `mailbox` says who it is from, `authentication` whether that is proved. `told` says what it is to us:
a message, of which `typed` finds what the person wrote (`markup` reads HTML, `quotes` finds where a quote begins,
`boilerplate` knows what programs write); an automatic reply (`automatic`), a bounce (`bounces`), a complaint
(`complaints`), in which `report_fields` reads what machines report.
Out: `compose` makes the mail, `smtp` hands it over on a connection of `relay`, `answers` says what the relay's answer
means. `adapter` puts both together.
"""
