"""E-mail: what comes in, by whichever provider, and what goes out by SMTP.

A mail is a `Letter` (`letter`), whoever brought it: the gateway's own SMTP or LMTP listener (`listener`), or a webhook
(`sendgrid`, `mailgun`, `postmark`, `ses`). `mime` makes it of bytes: `headers`, `multipart` and `charsets` read,
`mailbox` says who it is from, `authentication` whether that is proved. `told` says what it is to us: a message, of
which `typed` finds what the person wrote; an automatic reply (`automatic`), a bounce (`bounces`), a complaint
(`complaints`).
`markup` reads HTML, `quotes` finds where a quote begins, `boilerplate` knows what programs write (`boilerplate.toml`),
`fields` reads a posted form, `report_fields` what machines report.
What goes out is made by `compose` and handed over by `smtp`. `adapter` puts a connection together.
"""
