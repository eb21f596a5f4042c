"""A claimed delivery as the mail that goes out: finished for one person, with their own way to opt out."""

from __future__ import annotations

from channels.values import Mail
from content import mail
from content.mail import Below
from outbox.claims import Claim
from outbox.policy import Policy


def mail_for(claim: Claim, policy: Policy) -> Mail:
    """The mail of a claim by e-mail.

    What can be unsubscribed from is marketing: the link stops nothing else. It is finished here and not in the claim,
    so that of a broadcast that says the same to all one copy waits, and not one for each.
    """
    below = _below(claim, policy) if claim.class_ == "marketing" else None
    letter = mail.finish(claim.content, below, subject=policy.organisation)
    is_reply = claim.class_ == "service"
    token = policy.unsubscribe_token
    return Mail(
        subject=letter.subject,
        text=letter.text,
        html=letter.page,
        html_end=letter.foot,
        from_name=letter.from_name,
        reply_to=letter.reply_to,
        unsubscribe_url=below.unsubscribe_url if below is not None else None,
        unsubscribe_token=token(claim.address_id) if below is not None and token is not None else None,
        answers=claim.content.get("answers") if is_reply else None,
        is_reply=is_reply,
    )


def _below(claim: Claim, policy: Policy) -> Below:
    own_page = policy.preferences_link
    return Below(
        organisation=policy.organisation,
        postal_address=policy.postal_address,
        unsubscribe_url=policy.unsubscribe_link(claim.address_id, claim.channel, claim.preference_id),
        preferences_url=own_page(claim.profile_id, claim.address_id) if own_page is not None else None,
        locale=claim.locale,
    )
