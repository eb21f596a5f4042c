"""What a form is: versions that never change, for what was shown is what is proved.

A version holds the words that it shows, those of its preferences too: whoever edits a preference's text, a group's
headline or the terms calls `renew`, which makes a new version of every form that shows them.

Preferences are held before groups, and both before forms: else who edits a preference and renews the forms, and who
edits a form and reads the preference's words, would wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import terms
from consent.terms import Terms
from store import order
from store.ids import new_id
from store.tables import confirmations, form_versions, forms, preference_groups, preferences, submissions


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OnForm(Part):
    """A preference on a form, as it is wished and as it is shown."""

    id: str
    required: bool = False
    """Whether the form can be sent only with it."""
    shown_as: Literal["box", "statement"] = "box"
    """A statement has no box: the button is the yes."""


class Box(OnForm):
    """As it is shown."""

    text: str
    """As customers see it."""
    group: str | None = None
    """The headline that it stands under, of `Shown.groups`."""
    selected: bool = False
    """Whether it is preselected."""
    wished: bool | None = None
    """Whether the form itself says so; None: it is as the preference says."""
    retired: bool = False
    """It, or its group, is inactive: it is not shown."""


class Headline(Part):
    """A group of preferences, as a form shows it."""

    headline: str
    text: str | None = None


class Looks(Part):
    """What a form may change of its looks, all of it within bounds."""

    accent: str | None = Field(None, pattern=r"^#[0-9a-fA-F]{6}$")
    """The colour of button and links; what stands on it is black or white, whichever can be read."""
    paper: str | None = Field(None, pattern=r"^#[0-9a-fA-F]{6}$")
    corners: Literal["sharp", "round", "rounder"] = "round"
    logo: str | None = None
    """A PNG, JPEG or WebP as a data: URL, at most 12,000 characters; shown above the form."""


class Written(Part):
    """What an operator writes of a form, and what is shown as it was written."""

    channel: Literal["sms", "whatsapp", "email"]
    connection: str | None = None
    """By which its questions go, and to which people text; None: the first of the channel."""
    headline: str | None = None
    """None: says what comes by which channel, in the reader's language."""
    confirmation_message: str
    """What people agree to, above the button."""
    button_text: str
    success_message: str | None = None
    redirect_url: str | None = None
    """Where it leads when it is sent; its origin is one of `allowed_origins`."""
    fields: tuple[str, ...] = ()
    """`first_name`, `last_name`, or `attributes.NAME`."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """What stands above a field, by its name; without one its name in words."""
    keyword: str | None = None
    """What people text to us to opt in; None: the channel's opt-in rule."""
    tags: tuple[str, ...] = ()
    existing: Literal["update", "ignore"] = "update"
    allowed_origins: tuple[str, ...] = ()
    language: str | None = None
    """None: the reader's."""
    proof_of_work: bool = False
    own_html: bool = True
    """Whether pages of the `allowed_origins` may post it themselves: by that door come no nonce and no work."""
    show_terms: bool = True
    """Whether terms and conditions are shown, where there are any."""
    looks: Looks = Looks()


class Shown(Written):
    """One version of a form: all that it shows and does."""

    confirm: Literal["none", "double"]
    entry: Literal["typed", "text_us", "both"]
    preferences: tuple[Box, ...] = ()
    groups: tuple[Headline, ...] = ()
    """Of its preferences, in their order."""
    terms_version: int | None = None
    """Of the terms that are shown; None: none are."""

    @property
    def boxes(self) -> list[Box]:
        """The preferences that are shown, in their groups."""
        order = {None: -1} | {group.headline: place for place, group in enumerate(self.groups)}
        return sorted((box for box in self.preferences if not box.retired), key=lambda box: order[box.group])

    @property
    def is_typed(self) -> bool:
        return self.entry != "text_us"


@dataclass(frozen=True, slots=True)
class Form:
    """A form with the version that is shown now."""

    id: str
    description: str
    channel: str
    active: bool
    version: int
    shown: Shown
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    version: int
    shown: Shown
    created_by: str
    created_at: datetime


class InUse(Exception):
    """Something was sent in by the form: what it showed is a proof. The message says how much."""


# --- reading ----------------------------------------------------------------------------------


async def find(conn: AsyncConnection, form_id: str, *, lock: bool = False) -> Form | None:
    """The form; `lock` keeps it, and the words that it may show, as they are until the transaction ends."""
    if lock:
        await hold_words(conn)
        await conn.execute(select(forms.c.id).where(forms.c.id == form_id).with_for_update())
    row = (await conn.execute(_with_version().where(forms.c.id == form_id))).one_or_none()
    return _form(row) if row is not None else None


async def listed(conn: AsyncConnection, *, after: str | None = None, limit: int | None = None) -> list[Form]:
    """Forms in the order of their making, from behind `after`."""
    statement = _with_version().order_by(forms.c.id)
    if after is not None:
        statement = statement.where(forms.c.id > after)
    if limit is not None:
        statement = statement.limit(limit)
    return [_form(row) for row in await conn.execute(statement)]


async def find_version(conn: AsyncConnection, form_id: str, version: int) -> Shown | None:
    """What a version showed."""
    statement = select(form_versions.c.body).where(
        form_versions.c.form_id == form_id, form_versions.c.version == version
    )
    body = (await conn.execute(statement)).scalar_one_or_none()
    return Shown.model_validate(body) if body is not None else None


async def versions(conn: AsyncConnection, form_id: str, *, before: int | None, limit: int) -> list[Version]:
    """The versions, the newest first, from before `before`."""
    version = form_versions.c
    statement = select(form_versions).where(version.form_id == form_id).order_by(version.version.desc()).limit(limit)
    if before is not None:
        statement = statement.where(version.version < before)
    rows = await conn.execute(statement)
    return [Version(row.version, Shown.model_validate(row.body), row.created_by, row.created_at) for row in rows]


def _with_version() -> Select[Any]:
    is_shown = (form_versions.c.form_id == forms.c.id) & (form_versions.c.version == forms.c.version)
    return select(forms, form_versions.c.body).join(form_versions, is_shown)


def _form(row: Any) -> Form:
    shown = Shown.model_validate(row.body)
    return Form(row.id, row.description, row.channel, row.active, row.version, shown, row.created_at, row.updated_at)


# --- writing ----------------------------------------------------------------------------------


async def create(
    conn: AsyncConnection, shown: Shown, *, description: str, active: bool = True, actor: str, now: datetime
) -> Form:
    """A new form, its words those that its preferences have now; the caller holds them (`hold_words`)."""
    form_id = new_id("frm")
    row = {"id": form_id, "description": description, "channel": shown.channel, "active": active, "version": 1}
    await conn.execute(insert(forms), [{**row, "created_at": now, "updated_at": now}])
    shown = worded(shown, await current_words(conn, _ids([shown])))
    await _add_version(conn, form_id, 1, shown, actor=actor, now=now)
    return Form(form_id, description, shown.channel, active, 1, shown, now, now)


async def change(
    conn: AsyncConnection,
    form: Form,
    shown: Shown,
    *,
    description: str | None = None,
    active: bool | None = None,
    actor: str,
    now: datetime,
) -> Form:
    """Change what is given of a form that the caller holds (`find` with `lock`).

    It becomes a new version where something else is shown, or what is sent in leads to something else.
    """
    shown = worded(shown, await current_words(conn, _ids([shown])))
    version = form.version
    if shown != form.shown:
        version += 1
        await _add_version(conn, form.id, version, shown, actor=actor, now=now)
    description = form.description if description is None else description
    active = form.active if active is None else active
    if (version, description, active) == (form.version, form.description, form.active):
        return form
    values = {"description": description, "active": active, "version": version, "updated_at": now}
    await conn.execute(update(forms).where(forms.c.id == form.id).values(**values))
    return Form(form.id, description, form.channel, active, version, shown, form.created_at, now)


async def remove(conn: AsyncConnection, form_id: str) -> None:
    """Take a form away that nobody has used; raises InUse. The caller holds it."""
    sent = select(func.count()).select_from(submissions).where(submissions.c.form_id == form_id)
    asked = select(func.count()).select_from(confirmations).where(confirmations.c.form_id == form_id)
    counts = (await conn.execute(select(sent.scalar_subquery(), asked.scalar_subquery()))).one()
    if any(counts):
        raise InUse(f"it was sent in {max(counts):,} times")
    await conn.execute(delete(form_versions).where(form_versions.c.form_id == form_id))
    await conn.execute(delete(forms).where(forms.c.id == form_id))


async def hold_words(conn: AsyncConnection) -> None:
    """Let nobody else change what a preference says until the transaction ends. Taken before all else."""
    await order.still(conn, preferences)


async def renew(conn: AsyncConnection, *, actor: str, now: datetime) -> list[str]:
    """After words have changed (a preference, a group, the terms): a new version of each form that shows them.

    Returns the ids of those forms. One call makes one version each, however much has changed. The caller holds the
    preference that it has changed (`preferences.hold`), or else the words (`hold_words`).
    """
    await conn.execute(select(forms.c.id).order_by(forms.c.id).with_for_update())
    found = await listed(conn)
    words = await current_words(conn, _ids([form.shown for form in found]))
    renewed = [form.id for form in found if worded(form.shown, words) != form.shown]
    for form in found:
        if form.id in renewed:
            shown = worded(form.shown, words)
            await _add_version(conn, form.id, form.version + 1, shown, actor=actor, now=now)
            values = {"version": form.version + 1, "updated_at": now}
            await conn.execute(update(forms).where(forms.c.id == form.id).values(**values))
    return renewed


async def _add_version(
    conn: AsyncConnection, form_id: str, version: int, shown: Shown, *, actor: str, now: datetime
) -> None:
    row = {"form_id": form_id, "version": version, "body": shown.model_dump(mode="json")}
    await conn.execute(insert(form_versions), [{**row, "created_by": actor, "created_at": now}])


# --- the words of preferences and terms --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """The words that are no form's own, as they are now."""

    preferences: Mapping[str, Any]  # by id: text, selected_by_default, active, headline, headline_text
    terms_version: int | None


async def current_words(conn: AsyncConnection, ids: Collection[str]) -> Words:
    """Those of these preferences and of the terms."""
    rows: Iterable[Any] = ()
    if ids:
        rows = await conn.execute(_worded_preferences().where(preferences.c.id.in_(sorted(ids))))
    newest = await terms.newest(conn)
    return Words({row.id: row for row in rows}, newest.version if newest.texts else None)


def _worded_preferences() -> Select[Any]:
    preference, group = preferences.c, preference_groups.c
    return select(
        preference.id,
        preference.text,
        preference.selected_by_default,
        preference.active,
        group.headline,
        group.text.label("headline_text"),
        group.active.label("group_active"),
    ).outerjoin(preference_groups, group.id == preference.group_id)


def _ids(shown: Sequence[Shown]) -> set[str]:
    return {box.id for one in shown for box in one.preferences}


def worded(shown: Shown, words: Words) -> Shown:
    """The form in these words. Pure.

    What stands under one headline is shown together; the headlines in the order in which the form first names one.
    """
    boxes = tuple(_box(box, words.preferences.get(box.id)) for box in shown.preferences)
    texts = {row.headline: row.headline_text for row in words.preferences.values() if row.headline is not None}
    headlines = dict.fromkeys(box.group for box in boxes if box.group is not None and not box.retired)
    groups = tuple(Headline(headline=headline, text=texts.get(headline)) for headline in headlines)
    version = words.terms_version if shown.show_terms else None
    return shown.model_copy(update={"preferences": boxes, "groups": groups, "terms_version": version})


def _box(box: Box, row: Any) -> Box:
    if row is None:  # it is gone: nobody has ever answered it
        return box.model_copy(update={"retired": True})
    retired = not row.active or row.group_active is False
    selected = row.selected_by_default if box.wished is None else box.wished
    update = {
        "text": row.text,
        "group": None if retired else row.headline,
        "selected": selected and box.shown_as == "box",
        "retired": retired,
    }
    return box.model_copy(update=update)


async def terms_of(conn: AsyncConnection, shown: Shown, language: str) -> Terms | None:
    """The terms that a version shows, in this language, else in English, else in any."""
    return terms.chosen(await terms.at(conn, shown.terms_version), language) if shown.terms_version else None
