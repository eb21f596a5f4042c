"""Twilio, for SMS and WhatsApp: `adapter.Twilio` is the connection; `signature` and `inbound` are its way in,
`send`, `client` and `codes` its way out, `lookup` asks what became of it.

Sources: twilio.com/docs/messaging/guides/webhook-request, /docs/usage/webhooks/webhooks-security,
/docs/messaging/api/message-resource, /docs/api/errors/NUMBER; the twilio library 9.13.
"""
