"""Provider adapters: bytes ↔ values.

What a provider posts becomes `Inbound` values, an `Outbound` value becomes a request and ends in an `Outcome`
(`values`). Here live too what every adapter shares: the lease that a send is bound to (`lease`), the gateway's one
HTTP session (`http`), and the part of the outcome table that no provider changes (`outcomes`).

No database, no logging of personal data; no tables of its own; may know no other room.
"""
