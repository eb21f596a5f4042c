"""The command line. Every command runs beside a running gateway and takes effect at once.

What a command needs is imported by the command: `optgate --help` needs next to nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.checkup import check_command
from gateway.demo import demo_command
from gateway.files import export_command, import_command
from gateway.scopes import SCOPES
from gateway.terminal import Failed, Usage, run, settings_of, with_config, with_database, with_prepared
from gateway.version import VERSION

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from inbox.trial import Trial
    from store.engine import Database


def main() -> None:
    """Run a command; what went wrong is one line on standard error."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, message="%(version)s")
def cli() -> None:
    """Optgate: a messaging gateway that knows who said yes."""


# --- running ----------------------------------------------------------------------------------


@cli.command("serve")
@click.option("--first-steps", is_flag=True, help="Print three commands to try, with a fresh key in them.")
@with_config
def serve_command(first_steps: bool, config: Path | None) -> None:
    """Migrate the database, then run the gateway."""
    from gateway import logs, serve

    settings = settings_of(config)
    logs.set_up()
    run(settings, serve.serve(settings, with_first_steps=first_steps))


@cli.command()
@with_config
def worker(config: Path | None) -> None:
    """Run dispatcher and scheduler only, on PostgreSQL."""
    from gateway import logs, serve

    settings = settings_of(config)
    logs.set_up()
    run(settings, serve.work(settings))


@cli.command("migrate")
@with_config
def migrate_command(config: Path | None) -> None:
    """Bring the database up to date, or make it."""
    from gateway.mishaps import must_be_usable
    from gateway.prepare import exists, prepare
    from store.clock import utcnow
    from store.engine import Database
    from store.migrate import is_current

    settings = settings_of(config)

    async def work() -> bool:
        database = Database(settings.database.url)
        try:
            must_be_usable(database.url)
            was_current = exists(database) and await is_current(database)
            await prepare(database, settings, now=utcnow())
            return was_current
        finally:
            await database.dispose()

    done = "was up to date" if run(settings, work()) else "is up to date now"
    click.echo(f"The database {done}.")


cli.add_command(check_command)
cli.add_command(demo_command)


# --- people in files --------------------------------------------------------------------------

cli.add_command(import_command)
cli.add_command(export_command)


# --- keys -------------------------------------------------------------------------------------


@cli.group()
def key() -> None:
    """Make, list and revoke API keys."""


@key.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What the key opens; without, all but admin.",
)
@with_config
def key_create(name: str, scopes: tuple[str, ...], config: Path | None) -> None:
    """Print a new API key, this once."""
    from gateway import keys
    from store.clock import utcnow

    async def work(database: Database) -> str:
        try:
            return await database.transact(lambda conn: keys.create(conn, name, scopes, now=utcnow()))
        except keys.KeyNameTaken:
            raise Failed(
                f"there is a key named {name}: choose another name, or `optgate key revoke {name}` first"
            ) from None

    if not keys.is_name(name):
        raise Usage("a key needs a name of 1 to 100 printable characters, without ` for ` in it")
    click.echo(with_prepared(settings_of(config), work))


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_config
def key_list(as_json: bool, config: Path | None) -> None:
    """List the live keys."""
    from gateway import keys

    async def work(database: Database) -> Any:
        async with database.read() as conn:
            return await keys.listed(conn)

    for found in with_database(settings_of(config), work):
        scopes = sorted(found.scopes)
        if as_json:
            click.echo(json.dumps({"name": found.name, "scopes": scopes, "created_at": found.created_at.isoformat()}))
        else:
            click.echo(f"{found.name}\t{found.created_at:%Y-%m-%d}\t{' '.join(scopes)}")


@key.command("revoke")
@click.argument("name")
@with_config
def key_revoke(name: str, config: Path | None) -> None:
    """End a key at once."""
    from gateway import keys
    from store.clock import utcnow

    async def work(database: Database) -> None:
        try:
            await database.transact(lambda conn: keys.revoke(conn, name, now=utcnow()))
        except keys.UnknownKey:
            raise Failed(f"there is no key named {name}") from None

    with_database(settings_of(config), work)


# --- rules ------------------------------------------------------------------------------------


@cli.group()
def rules() -> None:
    """Try the rules."""


@rules.command("test")
@click.argument("text")
@click.option("--channel", required=True, type=click.Choice(["sms", "whatsapp", "email"]))
@click.option("--received-on", help="The receiving number or mailbox.")
@click.option("--email-subject", help="The subject of an e-mail; TEXT is then what was typed in it.")
@click.option("--json", "as_json", is_flag=True)
@with_config
def rules_test(
    text: str, channel: str, received_on: str | None, email_subject: str | None, as_json: bool, config: Path | None
) -> None:
    """Say what a message would do, and why."""
    from inbox.trial import attempt

    settings = settings_of(config)

    async def work(database: Database) -> Trial:
        async with database.read() as conn:
            return await attempt(
                conn,
                text,
                channel=channel,
                received_on=received_on,
                organisation=settings.organisation.name,
                contact=settings.organisation.contact,
                email_subject=email_subject,
            )

    trial = with_database(settings, work)
    if as_json:
        from gateway.api.answers import spelled
        from gateway.api.rules import trial_shown

        click.echo(json.dumps(trial_shown(trial), default=spelled, ensure_ascii=False))
    else:
        click.echo(_told(trial))


def _told(trial: Trial) -> str:
    if trial.matched is None:
        lines = [f"No rule matches {trial.normalized!r}: the message is kept, and no flag moves."]
        if trial.review:
            lines.append("  It reads like a no: marketing to the sender is held until somebody has decided.")
    else:
        rule = trial.matched.rule
        kind = "built-in rule" if rule.builtin else "rule"
        lines = [f"{rule.keyword} ({rule.match}, {kind} {rule.id}) wins: {rule.action.replace('_', ' ')}"]
        for change in trial.changes:
            subject = change["subject"]
            named = subject.get("name") or subject.get("address") or subject.get("channel") or ""
            lines.append(f"  {subject['kind']} {named}".rstrip() + f" becomes {change['to']}")
        lines.append(f"  reply: {trial.reply}" if trial.reply else "  no reply")
    lines += [f"  not {row.rule.keyword} ({row.rule.id}): {why}" for row, why in trial.others]
    return "\n".join(lines)


# --- proof ------------------------------------------------------------------------------------


@cli.group()
def ledger() -> None:
    """Check the history, or derive the states from it."""


@ledger.command("verify")
@with_config
def ledger_verify(config: Path | None) -> None:
    """Check every line of every chain; exit status 1 when one does not hold."""
    from consent import proof

    _report(config, proof.verify, "The ledger verifies: no line is altered, missing or added.")


@ledger.command("rebuild")
@click.option("--check", is_flag=True, help="Only compare; write nothing.")
@with_config
def ledger_rebuild(check: bool, config: Path | None) -> None:
    """Derive the present states from the history."""
    from consent import proof

    if check:
        _report(config, proof.rebuild_check, "The states equal the history's fold.")
        return
    count = with_database(settings_of(config), lambda database: database.transact(proof.rebuild))
    click.echo(f"States were derived again; {count} differed.")


def _report(config: Path | None, check: Callable[[AsyncConnection], AsyncIterator[Any]], well: str) -> None:
    async def work(database: Database) -> int:
        from consent import proof

        count = 0
        async with database.read() as conn:
            await proof.see_one_moment(conn)
            async for finding in check(conn):
                click.echo(str(finding), err=True)
                count += 1
        return count

    if with_database(settings_of(config), work):
        sys.exit(1)
    click.echo(well)


@cli.command("verify")
@with_config
def verify_command(config: Path | None) -> None:
    """Check the invariants on a live database; exit status 1 when one is violated."""
    from gateway import verify

    violations = with_database(settings_of(config), verify.verify)
    for violation in violations:
        click.echo(str(violation), err=True)
    if violations:
        sys.exit(1)
    click.echo(f"No violation of {', '.join(verify.CHECKED)}.")


if __name__ == "__main__":
    main()
