"""People and their addresses: one row per distinct address, shared by everybody who has it.

Lives here: `addresses` (normalisation and identity, pure), `records` (create, read, update, delete), `links` (who has
which address), `search`, `zones`. Its tables: profiles, profile_tags, addresses (but for what consent writes on them),
profile_addresses. May know: store.
"""
