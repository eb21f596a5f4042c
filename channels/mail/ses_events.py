"""What SES tells of mail that it sent: by a topic of the identity's, or of a configuration set.

Sources: docs.aws.amazon.com/ses/latest/dg/notification-contents.html, …/event-publishing-retrieving-sns-contents.html.
SES gives each mail a Message-ID of its own; what we gave it stands among `mail.headers`, where the topic is set to have
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from channels.mail.events import Event, Meaning, Odd, a_list, a_text, an_address, an_object, at_iso

_SILENT: Final = frozenset(
    {
        "Send",
        "Open",
        "Click",
        "DeliveryDelay",  # it tries on
        "AmazonSnsSubscriptionSucceeded",
    }
)
_OF_THE_MAIL: Final = frozenset({"Reject", "Rendering Failure"})


def read(message: Mapping[str, Any], sns_id: str) -> Iterator[Event]:
    """The events in a notification, one for each recipient. Raises Odd."""
    word = a_text(message.get("notificationType")) or a_text(message.get("eventType"))
    mail = an_object(message.get("mail"))
    if word in _SILENT:
        return
    for number, (meaning, address, code, at) in enumerate(_told(word, message, mail)):
        yield Event(
            meaning=meaning,
            event_id=f"{sns_id}#{number}",
            address=address,
            message_id=_message_id(mail),
            provider_id=a_text(mail.get("messageId")),
            code=code or None,
            at=at_iso(at),
        )


_Said = tuple[Meaning, str | None, str, object]  # of whom, with which code, and when


def _told(word: str, message: Mapping[str, Any], mail: Mapping[str, Any]) -> Iterator[_Said]:
    if word == "Bounce":
        bounce = an_object(message.get("bounce"))
        meaning = _bounced(a_text(bounce.get("bounceType")), a_text(bounce.get("bounceSubType")))
        for one in _recipients(bounce, "bouncedRecipients"):
            code = a_text(one.get("status")) or a_text(bounce.get("bounceSubType"))
            yield meaning, an_address(one.get("emailAddress")), code, bounce.get("timestamp")
    elif word == "Complaint":
        complaint = an_object(message.get("complaint"))
        if a_text(complaint.get("complaintFeedbackType")) == "not-spam":
            return
        for one in _recipients(complaint, "complainedRecipients"):
            code = a_text(complaint.get("complaintFeedbackType"))
            yield "complaint", an_address(one.get("emailAddress")), code, complaint.get("timestamp")
    elif word == "Delivery":
        delivery = an_object(message.get("delivery"))
        yield "delivered", None, "", delivery.get("timestamp")
    elif word == "Subscription":
        yield from _subscription(an_object(message.get("subscription")), mail)
    elif word in _OF_THE_MAIL:
        yield "failed", None, word, None
    else:
        raise Odd("missing or unknown: notificationType")


def _bounced(kind: str, subtype: str) -> Meaning:
    if subtype == "UnsubscribedRecipient":
        return "stop"
    return "hard_bounce" if kind == "Permanent" else "soft_bounce"


def _recipients(of: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = [an_object(one) for one in a_list(of.get(name))]
    if not listed:
        raise Odd(f"missing: {name}")
    return listed


def _subscription(change: Mapping[str, Any], mail: Mapping[str, Any]) -> Iterator[_Said]:
    """A person's word at SES's own page: all, or one topic of theirs; whoever leaves one has had too much of us."""
    new, old = (an_object(change.get(name)) for name in ("newTopicPreferences", "oldTopicPreferences"))
    topics = {
        a_text(an_object(one).get("subscriptionStatus")).lower() for one in a_list(new.get("topicSubscriptionStatus"))
    }
    meaning: Meaning | None = None
    if new.get("unsubscribeAll") is True or "optout" in topics:
        meaning = "stop"
    elif new.get("unsubscribeAll") is False and old.get("unsubscribeAll") is True:
        meaning = "resume"
    destinations = a_list(mail.get("destination"))
    if meaning is not None and len(destinations) == 1:  # of several nobody says whose word it was
        yield meaning, an_address(destinations[0]), a_text(change.get("source")), change.get("timestamp")


def _message_id(mail: Mapping[str, Any]) -> str | None:
    fields = [an_object(one) for one in a_list(mail.get("headers"))]
    found = (a_text(one.get("value")) for one in fields if a_text(one.get("name")).lower() == "message-id")
    return next(found, a_text(an_object(mail.get("commonHeaders")).get("messageId"))) or None
