"""WhatsApp by Meta's Cloud API: `adapter.Meta` is the connection; `signature`, `batch`, `inbound`, `status` and
`preferences` are its way in, `send` and `codes` its way out, `account` asks whether Meta knows us.

Sources: developers.facebook.com/documentation/business-messaging/whatsapp: /webhooks/overview, /webhooks/override,
/webhooks/reference/messages (and its pages system, status, edit, group), /webhooks/reference/standby,
/webhooks/reference/user_preferences, /business-scoped-user-ids, /support/error-codes;
developers.facebook.com/docs/graph-api/webhooks/getting-started.
"""
