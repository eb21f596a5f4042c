"""What an API key can open."""

SCOPES = (
    "consent:read",
    "consent:write",
    "profiles:read",
    "profiles:write",
    "send",
    "send:transactional",
    "configure",
    "metrics",  # nothing but GET /metrics
    "admin",  # includes every other
)
