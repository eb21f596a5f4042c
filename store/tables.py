"""The data dictionary: every table, the room that owns it, and what its words mean.

A table is written by its owner only; any room above may read it in its own statements.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Sequence,
    SmallInteger,
    Table,
    Text,
    false,
    text,
    true,
)

from store.types import Json, Key, UTCDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# --- the house itself (owner: gateway) --------------------------------------------------------

settings = Table(
    "settings",
    metadata,
    # secret: signs links · old_secrets: did before · address_key: hashes addresses, never rotates
    Column("key", Key, primary_key=True),
    Column("value", Json, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Key, nullable=False),
    Column("hash", Key, nullable=False, unique=True),  # SHA-256 of the key; the key itself is never stored
    Column("scopes", Json, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("revoked_at", UTCDateTime),
    # A name is free again once its key is revoked.
    Index("uq_api_keys_live_name", "name", unique=True, sqlite_where=text("revoked_at IS NULL"),
          postgresql_where=text("revoked_at IS NULL")),
)  # fmt: skip

audit = Table(
    "audit",  # who did what that is not consent: keys, rules, settings, broadcasts, deletions
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", UTCDateTime, nullable=False, index=True),
    Column("actor", Text, nullable=False),  # key:NAME | user:NAME | system
    Column("action", Text, nullable=False),  # such as rule.updated
    Column("target", Key),
    Column("detail", Json),  # never personal data
)

idempotency_keys = Table(
    "idempotency_keys",  # what was asked once, and answered: the same again gets the same answer, for a day
    metadata,
    Column("api_key_id", Key, primary_key=True),
    Column("path", Key, primary_key=True),
    Column("name", Key, primary_key=True),
    Column("fingerprint", Key, nullable=False),  # SHA-256 of the body
    Column("status", Integer),  # this and the rest are NULL only until the transaction that claimed it commits
    Column("content_type", Text),
    Column("body", LargeBinary),
    Column("closed", Text),  # JSON: addresses or broadcasts that are settled before it is answered
    Column("created_at", UTCDateTime, nullable=False, index=True),
)

# --- people (owner: profiles) -----------------------------------------------------------------

profiles = Table(
    "profiles",
    metadata,
    Column("id", Key, primary_key=True),
    Column("external_id", Key, unique=True),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("locale", Text),
    Column("timezone", Text),
    Column("attributes", Json, nullable=False),
    Column("defaults_version", Integer, nullable=False),  # the defaults in force when the profile was made
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False, index=True),
)

profile_tags = Table(
    "profile_tags",
    metadata,
    Column("profile_id", Key, ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", Key, primary_key=True),
    Index("ix_profile_tags_tag", "tag", "profile_id"),
)

profile_merges = Table(
    "profile_merges",  # who has become whom
    metadata,
    Column("profile_id", Key, primary_key=True),  # it is gone
    Column("into_id", Key, nullable=False, index=True),  # never one that has become another itself
    Column("at", UTCDateTime, nullable=False),
)

addresses = Table(
    "addresses",  # one row per distinct (channel, value), for ever: what outlives the person hangs on the hash
    metadata,
    Column("id", Key, primary_key=True),
    Column("channel", Key, nullable=False),  # sms | whatsapp | email | voice | post
    Column("value", Key),  # normalised; NULL once nobody has it any more
    Column("hash", Key, nullable=False, unique=True),  # HMAC of channel and canonical value under `address_key`
    Column("status", Text, nullable=False, server_default="ok"),  # ok | undeliverable | invalid
    Column("version", BigInteger, nullable=False, server_default="0"),  # seq of the last event concerning it; the lock
    Column("suppressed_at", UTCDateTime),  # it left a profile that had said no
    Column("held_at", UTCDateTime),  # a message from it waits for review
    Column("held_message_id", Key),
    Column("created_at", UTCDateTime, nullable=False),
)

profile_addresses = Table(
    "profile_addresses",
    metadata,
    Column("profile_id", Key, ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True),
    Column("address_id", Key, ForeignKey("addresses.id"), primary_key=True),
    Column("channel", Key, nullable=False),  # as in addresses
    Column("is_primary", Boolean, nullable=False, server_default=false()),
    Column("position", Integer, nullable=False),
    Column("since", UTCDateTime, nullable=False),  # a channel's yes said before covers it only if made with it
    Index("ix_profile_addresses_address_id", "address_id", "profile_id"),
)

# --- consent (owner: consent) -----------------------------------------------------------------

event_seq = Sequence("consent_event_seq", metadata=metadata)  # PostgreSQL; on SQLite the writer counts

defaults = Table(
    "defaults",  # never changed: a new version is added
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("channel", Key, primary_key=True),
    Column("state", Text, nullable=False),  # yes | no
    Column("set_at", UTCDateTime, nullable=False),
    Column("set_by", Text, nullable=False),
)

preference_groups = Table(
    "preference_groups",
    metadata,
    Column("id", Key, primary_key=True),
    Column("headline", Key, nullable=False, unique=True),
    Column("text", Text),
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("partner", Boolean, nullable=False, server_default=false()),  # the one in which partner preferences stand
    Column("position", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Index("uq_preference_groups_partner", "partner", unique=True, sqlite_where=text("partner"),
          postgresql_where=text("partner")),
)  # fmt: skip

preferences = Table(
    "preferences",
    metadata,
    Column("id", Key, primary_key=True),
    Column("group_id", Key, index=True),  # NULL: before all groups, without a headline
    Column("name", Key, nullable=False, unique=True),
    Column("text", Text, nullable=False),
    Column("description", Text),
    Column("selected_by_default", Boolean, nullable=False, server_default=false()),
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("linked_channel", Key),
    Column("contexts", Json, nullable=False),
    Column("partner", Text),
    Column("position", Integer, nullable=False, server_default="0"),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
)

terms = Table(
    "terms",  # terms and conditions, never changed: a new version is added
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("language", Key, primary_key=True),  # of forms.languages
    Column("text", Text, nullable=False),
    Column("link", Text),
    Column("set_at", UTCDateTime, nullable=False),
    Column("set_by", Text, nullable=False),
)

consent_events = Table(
    "consent_events",  # the history: triggers refuse UPDATE and DELETE
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Key, nullable=False, unique=True),
    Column("change_id", Key, nullable=False, index=True),
    Column("profile_id", Key, nullable=False),  # no foreign key: the history outlives the person
    Column("position", BigInteger, nullable=False),  # in the profile's chain, from 1
    Column("subject_kind", Text, nullable=False),  # everything | channel | address | preference
    Column("subject_key", Key, nullable=False),  # '' | the channel | the address's id | the preference's id
    Column("address_id", Key),  # the address the act came from
    Column("with_address", Boolean, nullable=False),  # the act turns that address's flag too (STOP, START)
    Column("from_state", Text, nullable=False),  # yes | no | not_asked
    Column("to_state", Text, nullable=False),
    Column("basis", Text),  # of a yes: express | implied | soft_opt_in; of a no by a link that of the yes it turned
    Column("expires_at", UTCDateTime),
    Column("at", UTCDateTime, nullable=False),  # when it came to us; never before what was recorded by then
    Column("provider_at", UTCDateTime),  # when it was said, where we were told, or when a yes came that was overtaken
    Column("source", Text, nullable=False),  # see consent.states.SOURCES
    Column("actor", Text, nullable=False),
    Column("personal", Boolean, nullable=False),  # the person's own act, by whichever door it came
    Column("via", Text),  # NULL: said; link | everything: the effect of what was said about another subject
    Column("superseded", Boolean, nullable=False),  # it arrived after something said later
    Column("evidence_hash", Key, nullable=False),
    Column("previous_hash", Key, nullable=False),
    Column("hash", Key, nullable=False),
    Index("uq_consent_events_profile_position", "profile_id", "position", unique=True),
    Index("ix_consent_events_at", "at"),
    Index("ix_consent_events_address_id", "address_id"),
)

evidence = Table(
    "evidence",  # apart from the history, so that it can be erased and the chain still verifies
    metadata,
    Column("event_id", Key, primary_key=True),
    Column("salt", Key),  # NULL once erased
    Column("body", Json),  # NULL once erased
    Column("erased_at", UTCDateTime),
)

consent_chains = Table(
    "consent_chains",  # the head of each profile's chain: finds a missing last line
    metadata,
    Column("profile_id", Key, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("head", Key, nullable=False),
)

consent_states = Table(
    "consent_states",  # the fold of the history; a subject never asked has no row
    metadata,
    Column("profile_id", Key, primary_key=True),
    Column("kind", Key, primary_key=True),
    Column("key", Key, primary_key=True),
    Column("state", Text, nullable=False),  # yes | no | not_asked
    Column("basis", Text),
    Column("expires_at", UTCDateTime),
    Column("at", UTCDateTime, nullable=False),  # effective
    Column("order_at", UTCDateTime, nullable=False),  # effective, a coarse no at the end of its second
    Column("recorded_at", UTCDateTime, nullable=False),
    Column("source", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("via", Text),
    Column("change_id", Key, nullable=False),
    Column("event_id", Key, nullable=False),
    Column("opens", Boolean, nullable=False),  # a yes later than the no on the next wider subject
    Column("firm", Boolean, nullable=False),  # a no that the person said, whoever has repeated it since
    # Ends in the profile: else PostgreSQL takes it for the verdict, and reads a whole channel for each person.
    Index("ix_consent_states_subject", "kind", "key", "profile_id"),
)

pauses = Table(
    "pauses",
    metadata,
    Column("profile_id", Key, primary_key=True),
    Column("channel", Key, primary_key=True),  # '' is all
    Column("until", UTCDateTime, nullable=False),
)

# --- the door in (owner: inbox) ---------------------------------------------------------------

rules = Table(
    "rules",
    metadata,
    Column("id", Key, primary_key=True),
    Column("channel", Key, nullable=False),
    Column("received_on", Key),
    Column("keyword", Text, nullable=False),
    Column("match", Text, nullable=False),  # starts_with | exact
    Column("action", Text, nullable=False),  # opt_in | opt_out | reply_only
    Column("subject_kind", Text, nullable=False),  # channel | everything | preference
    Column("preference_id", Key, ForeignKey("preferences.id")),
    Column("reply", Text),  # NULL: the default of the action; '': silence
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("builtin", Text),  # the pack it comes from
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
)

receipts = Table(
    "receipts",  # every event a provider ever told us, with the answer it got: a replay gets the same bytes
    metadata,
    Column("account", Key, primary_key=True),
    Column("provider_id", Key, primary_key=True),
    Column("message_id", Key, nullable=False),
    Column("content_type", Text),  # this and the answer are NULL only until the transaction that claimed it commits
    Column("answer", LargeBinary),
    Column("received_at", UTCDateTime, nullable=False),
)

messages = Table(
    "messages",  # what people wrote to us
    metadata,
    Column("id", Key, primary_key=True),
    Column("connection", Key, nullable=False),
    Column("channel", Key, nullable=False),
    Column("account", Key, nullable=False),
    Column("provider_id", Key, nullable=False),
    Column("address_id", Key),  # NULL: the sender is no address
    Column("profile_id", Key),  # the oldest profile of the address
    Column("sender", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("payload", Text),
    Column("fields", Json, nullable=False),
    Column("verdict", Text),  # the provider's own: opt_in | opt_out | help
    Column("subject", Text),  # of an e-mail
    Column("typed", Text),  # of an e-mail: what the person wrote, which is all that a rule reads
    Column("authentic", Boolean, nullable=False, server_default=true()),  # that the sender wrote it is proved
    Column("automatic", Text),  # no person wrote it: auto_reply | bounce | list | system
    Column("rule_id", Key),
    Column("change_id", Key),
    Column("provider_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    Index("ix_messages_profile_id", "profile_id", "id"),
    Index("ix_messages_address_id", "address_id", "id"),
)

rule_replies = Table(
    "rule_replies",  # one reply per address and rule in ten minutes; rule '': a mailbox's one of a day, nothing proved
    metadata,
    Column("channel", Key, primary_key=True),
    Column("sender", Key, primary_key=True),
    Column("rule_id", Key, primary_key=True),
    Column("at", UTCDateTime, nullable=False),
)

parked = Table(
    "parked",  # what came in a genuine request and could not be understood
    metadata,
    Column("id", Key, primary_key=True),
    Column("connection", Key, nullable=False),
    Column("hash", Key, nullable=False),  # SHA-256 of what came: the same again is not kept again
    Column("raw", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Index("uq_parked_hash", "connection", "hash", unique=True),
)

reviews = Table(
    "reviews",  # what no rule matched and reads like a no: until it is decided, marketing to the address is held
    metadata,
    Column("id", Key, primary_key=True),
    Column("message_id", Key, nullable=False, unique=True),  # the first; all are in review_messages
    Column("address_id", Key, nullable=False),
    Column("channel", Key, nullable=False),
    Column("phrase", Key, nullable=False),  # which of rules.phrases it is like
    Column("status", Key, nullable=False),  # open | opted_out | dismissed
    Column("due_at", UTCDateTime, nullable=False),  # an open one becomes an opt-out then
    Column("decided_at", UTCDateTime),
    Column("decided_by", Text),  # key:NAME | user:NAME | system | customer, whose later word was clear
    Column("note", Text),  # of whoever decided
    Column("change_id", Key),  # of an opt-out
    Column("created_at", UTCDateTime, nullable=False),  # when the first message came
    Index("ix_reviews_open", "due_at", sqlite_where=text("status = 'open'"), postgresql_where=text("status = 'open'")),
    Index("ix_reviews_address_id", "address_id", "status"),
)

review_messages = Table(
    "review_messages",  # the messages of each review: what reads like a no joins the review that is open of its address
    metadata,
    Column("message_id", Key, primary_key=True),
    Column("review_id", Key, nullable=False),
    Column("phrase", Key, nullable=False),
    Column("came_at", UTCDateTime, nullable=False),
    Index("ix_review_messages_review_id", "review_id", "came_at"),
)

forwards = Table(
    "forwards",  # ordinary messages on their way to where they are read
    metadata,
    Column("id", Key, primary_key=True),
    Column("message_id", Key, nullable=False, unique=True),
    Column("connection", Key, nullable=False),
    Column("status", Key, nullable=False),  # queued | done | parked
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("due_at", UTCDateTime, nullable=False),
    Column("done_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    Index("ix_forwards_queue", "due_at", sqlite_where=text("status = 'queued'"),
          postgresql_where=text("status = 'queued'")),
    Index("ix_forwards_status", "status", "connection"),
)  # fmt: skip

# --- the door out (owner: outbox) -------------------------------------------------------------

deliveries = Table(
    "deliveries",  # one message to one person; what is meant to happen
    metadata,
    Column("id", Key, primary_key=True),
    Column("broadcast_id", Key),
    Column("profile_id", Key),
    Column("address_id", Key),
    Column("address", Key),  # as asked for, where no profile has it
    Column("by_address", Boolean, nullable=False, server_default=false()),  # the address was asked for, not the person
    Column("channel", Key, nullable=False),
    Column("connection", Key, nullable=False),
    Column("class", Key, nullable=False),  # marketing | transactional | service
    Column("priority", SmallInteger, nullable=False),  # 0 replies · 1 single messages · 2 broadcasts
    Column("preference_id", Key),
    Column("content", Json),  # NULL: the broadcast's; of a reply by e-mail {"body", "answers"}
    Column("status", Key, nullable=False),  # see outbox.statuses
    Column("reason", Text),  # of skipped
    Column("error", Text),
    Column("provider_id", Key),
    Column("rule_id", Key),  # of a reply
    Column("in_reply_to", Key),  # the inbound message
    Column("created_by", Text),  # of a single message: the key that asked for it
    Column("resend_of", Key),  # the message of unknown end that this one repeats, by an operator's wish
    Column("not_after", UTCDateTime),  # this and the hours as in broadcasts: of a resend, what its broadcast said
    Column("quiet_hours", Json),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("due_at", UTCDateTime, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Index("ix_deliveries_queue", "connection", "priority", "due_at", "id",
          sqlite_where=text("status = 'queued' AND broadcast_id IS NULL"),
          postgresql_where=text("status = 'queued' AND broadcast_id IS NULL")),
    Index("ix_deliveries_broadcast_queue", "broadcast_id", "connection", "due_at", "id",
          sqlite_where=text("status = 'queued'"), postgresql_where=text("status = 'queued'")),
    Index("ix_deliveries_queued_address", "address_id", sqlite_where=text("status = 'queued'"),
          postgresql_where=text("status = 'queued'")),
    Index("ix_deliveries_broadcast", "broadcast_id", "status", "reason"),
    # A broadcast reaches an address once; what it skips may stand beside.
    Index("uq_deliveries_broadcast_address", "broadcast_id", "address_id", unique=True,
          sqlite_where=text("status <> 'skipped' AND broadcast_id IS NOT NULL"),
          postgresql_where=text("status <> 'skipped' AND broadcast_id IS NOT NULL")),
    Index("ix_deliveries_profile_id", "profile_id", "id"),
)  # fmt: skip

attempts = Table(
    "attempts",  # one try to hand a delivery to the provider; what did happen
    metadata,
    Column("id", Key, primary_key=True),  # the tag in the status callback's URL
    Column("delivery_id", Key, nullable=False, index=True),
    Column("broadcast_id", Key),
    Column("profile_id", Key),  # NULL: a question to an address that nobody has yet
    Column("address_id", Key, nullable=False),
    Column("channel", Key, nullable=False),
    Column("class", Key, nullable=False),
    Column("preference_id", Key),
    Column("consent_version", BigInteger, nullable=False),  # the address's version the verdict was taken at
    Column("state", Key, nullable=False),  # sending | abandoned | not_sent | rejected | accepted | in_doubt
    Column("owner", Key, nullable=False),  # the dispatcher's id
    Column("provider_id", Key),
    Column("error", Text),
    Column("at", UTCDateTime, nullable=False),
    Column("ended_at", UTCDateTime),
    Column("tag", Key),  # NULL: its own id; else of the first attempt, which this one repeats
    Column("sent", Json),  # what was sent, where it is not the content word for word
    Column("asked", Integer, nullable=False, server_default="0"),  # how often the provider was asked about it
    Column("ask_at", UTCDateTime),  # when to ask next; NULL: never
    # One literal each: SQLite uses a partial index only for the very predicate it was made with.
    Index("ix_attempts_sending_address", "address_id", sqlite_where=text("state = 'sending'"),
          postgresql_where=text("state = 'sending'")),
    Index("ix_attempts_ask_at", "ask_at", sqlite_where=text("state = 'in_doubt'"),
          postgresql_where=text("state = 'in_doubt'")),
    # Of a report that does not bring the attempt's tag back, as Meta's may.
    Index("ix_attempts_provider_id", "provider_id", sqlite_where=text("channel = 'whatsapp'"),
          postgresql_where=text("channel = 'whatsapp'")),
    # What a person was sent, or may have been: for the frequency cap and the first SMS.
    Index("ix_attempts_marketing", "profile_id", "at",
          sqlite_where=text("class = 'marketing' AND state IN ('sending', 'accepted', 'in_doubt')"),
          postgresql_where=text("class = 'marketing' AND state IN ('sending', 'accepted', 'in_doubt')")),
    # Invariant I3, at most one.
    Index("uq_attempts_once", "broadcast_id", "channel", "address_id", unique=True,
          sqlite_where=text("broadcast_id IS NOT NULL AND state IN ('sending', 'accepted', 'in_doubt')"),
          postgresql_where=text("broadcast_id IS NOT NULL AND state IN ('sending', 'accepted', 'in_doubt')")),
)  # fmt: skip

address_reports = Table(
    "address_reports",  # what providers told of addresses, each event once, for ever
    metadata,
    Column("account", Key, primary_key=True),
    Column("event_id", Key, primary_key=True),
    Column("connection", Key, nullable=False),
    Column("channel", Key, nullable=False),
    Column("address_id", Key),  # NULL: neither the address nor the attempt is known here
    Column("kind", Key, nullable=False),  # stop | resume | complaint | hard_bounce | soft_bounce
    Column("code", Text),
    Column("provider_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    Index("ix_address_reports_address_id", "address_id", "kind", "created_at"),
)

confirmations = Table(
    "confirmations",  # what was asked for and is not so yet: it waits for a word from the address itself
    metadata,
    Column("id", Key, primary_key=True),
    Column("address_id", Key, nullable=False),
    Column("same_as", Key),  # hash of what mostly is the same mailbox, so that none is asked twice in a day
    Column("profile_id", Key),  # whose; NULL: everyone who has the address then, or somebody new
    Column("channel", Key, nullable=False),
    Column("wishes", Json, nullable=False),  # [{"kind", "key", "to"}], as in consent_events
    Column("details", Json),  # what else is to be kept then: names, attributes, tags, locale
    Column("evidence", Json, nullable=False),  # what was asked for, where and in which words
    Column("form_id", Key),
    Column("at_no", Boolean, nullable=False, server_default=false()),  # whoever has the address had said no by then
    Column("asked_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("confirmed_at", UTCDateTime),
    Column("change_id", Key),  # once confirmed
    Index("ix_confirmations_address_id", "address_id", "asked_at"),
    Index("ix_confirmations_same_as", "same_as", "asked_at"),
    # What nobody has confirmed: it is forgotten.
    Index("ix_confirmations_unconfirmed", "asked_at",
          sqlite_where=text("confirmed_at IS NULL"), postgresql_where=text("confirmed_at IS NULL")),
)  # fmt: skip

dispositions = Table(
    "dispositions",  # how a talk with a customer ended, and what that changes: see outbox.dispositions
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Key, nullable=False, unique=True),
    Column("changes", Json, nullable=False),  # [{"kind", "to", "channel"?, "address"?, "preference_id"?}]
    Column("undeliverable", Boolean, nullable=False, server_default=false()),  # the address reached somebody else
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("position", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
)

interactions = Table(
    "interactions",  # a talk with a customer
    metadata,
    Column("id", Key, primary_key=True),
    Column("profile_id", Key, nullable=False),
    Column("disposition_id", Key, nullable=False, index=True),
    Column("channel", Key, nullable=False),
    Column("address_id", Key),  # NULL: none of theirs was named
    Column("note", Text),
    Column("reference", Text),  # of the caller's own records, such as a call's id
    Column("by", Text),  # who of the staff
    Column("change_id", Key),
    Column("created_by", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Index("ix_interactions_profile_id", "profile_id", "id"),
)

paces = Table(
    "paces",  # how fast: what a connection or a broadcast may begin, whichever process sends
    metadata,
    Column("name", Key, primary_key=True),  # the connection's name, or the broadcast's id
    Column("free_at", UTCDateTime, nullable=False),  # when the next segment may begin
)

sandbox_messages = Table(
    "sandbox_messages",  # what the sandbox connections sent
    metadata,
    Column("id", Key, primary_key=True),
    Column("connection", Key, nullable=False),
    Column("sender", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
)

# --- what customers see (owner: forms) --------------------------------------------------------

forms = Table(
    "forms",
    metadata,
    Column("id", Key, primary_key=True),
    Column("description", Text, nullable=False),  # for staff
    Column("channel", Key, nullable=False),  # sms | whatsapp | email
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("version", Integer, nullable=False),  # the one that is shown
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
)

form_versions = Table(
    "form_versions",  # never changed: what was shown is what is proved
    metadata,
    Column("form_id", Key, ForeignKey("forms.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", Json, nullable=False),  # forms.catalogue.Shown
    Column("created_by", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

submissions = Table(
    "submissions",  # what was sent in by a form, until it is done; the answer given for it tells nothing of anybody
    metadata,
    Column("id", Key, primary_key=True),
    Column("form_id", Key, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("status", Key, nullable=False),  # new | done | parked
    Column("body", Json),  # forms.intake.Submission; NULL once it is done
    Column("outcome", Key),  # of done: see forms.carry
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("created_at", UTCDateTime, nullable=False),
    Column("done_at", UTCDateTime),
    Index("ix_submissions_new", "id", sqlite_where=text("status = 'new'"), postgresql_where=text("status = 'new'")),
    # What nobody could carry out: it is counted, and forgotten too.
    Index("ix_submissions_parked", "created_at",
          sqlite_where=text("status = 'parked'"), postgresql_where=text("status = 'parked'")),
    # What nobody's yes or no rests on: it is forgotten.
    Index("ix_submissions_passing", "done_at",
          sqlite_where=text("outcome IN ('asked', 'asked_before', 'nothing', 'gone')"),
          postgresql_where=text("outcome IN ('asked', 'asked_before', 'nothing', 'gone')")),
)  # fmt: skip

spent = Table(
    "spent",  # what works once: a form's nonce, a proof of work, an undo
    metadata,
    Column("hash", Key, primary_key=True),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
)

budgets = Table(
    "budgets",  # how often something was done within a span of time
    metadata,
    Column("name", Key, primary_key=True),  # of whom, what, and which span; people and networks by a keyed hash
    Column("count", Integer, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
)

# --- one message to many (owner: broadcasts) --------------------------------------------------

broadcasts = Table(
    "broadcasts",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("channel", Key, nullable=False),  # the first of `routes`
    Column("connection", Key, nullable=False),
    Column("routes", Json, nullable=False, server_default="[]"),  # [{"channel", "connection"}] in order of wish
    Column("content", Json, nullable=False),
    Column("audience", Json, nullable=False),  # of a list the members stand in audience_parts
    Column("preference_id", Key),
    Column("send_at", UTCDateTime),
    Column("not_after", UTCDateTime),  # what has not begun by then is skipped: too_late
    Column(
        "quiet_hours", Json
    ),  # NULL: as [sending] says; false: none; {"from", "to"}: these, in the person's own time
    Column("rate", Numeric(asdecimal=False)),  # SMS segments a second; NULL: the connection's
    Column("status", Key, nullable=False),  # planning | scheduled | sending | paused | done | cancelled
    Column("held", Text),  # why marketing on the channel waits, such as gap_repair
    Column("plan_cursor", Key),  # the last key that is planned; a restart goes on behind it
    Column("planned_at", UTCDateTime),
    Column("done_at", UTCDateTime),
    Column("created_by", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Index("ix_broadcasts_status", "status"),
)

# --- who (owner: audience) --------------------------------------------------------------------

audience_parts = Table(
    "audience_parts",  # the members of an audience that is a list; see audience.lists
    metadata,
    Column("broadcast_id", Key, primary_key=True),
    Column("last", Key, primary_key=True),  # the greatest key in the part
    Column("members", Text, nullable=False),  # JSON, in the order of the keys, which no JSON column of PostgreSQL keeps
)
