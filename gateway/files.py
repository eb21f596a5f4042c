"""`optgate import` and `optgate export`: people out of files and into files, beside a running gateway."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from gateway.terminal import Failed, settings_of, with_config, with_database

if TYPE_CHECKING:
    from audience.exporting import Export
    from audience.importing import Summary
    from audience.plans import Result
    from audience.spreadsheet import Spreadsheet
    from gateway.settings import Settings
    from store.engine import Database

SOME_REFUSED = 3  # the exit status
WHAT = ("profiles", "consent-events", "suppressions")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Tell what would become of each row, and write nothing.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where each row's result is written; else FILE.results.csv, and none for a dry run.",
)
@click.option("--json", "as_json", is_flag=True, help="A summary for machines, on standard output.")
@with_config
def import_command(file: Path, dry_run: bool, results: Path | None, as_json: bool, config: Path | None) -> None:
    """Take people, their yes and no from a CSV file.

    Nobody comes back by that who said no: it takes evidence of a later yes. The same file again changes nothing. Exit
    status 0 when every row was taken, 3 when some were refused: the results say why.
    """
    settings = settings_of(config)
    sheet = _inspected(file)
    path = results or (None if dry_run else _free(file))

    async def work(database: Database) -> Summary:
        await _understood(database, sheet)
        with _results_in(path) as write, _bar(sheet.size, "Importing") as bar:
            return await _imported(database, settings, sheet, dry_run, write, bar)

    summary = with_database(settings, work)
    told = _summed_up(summary, sheet, path, dry_run)
    click.echo(json.dumps(told) if as_json else _in_words(told))
    if summary.outcomes["refused"]:
        sys.exit(SOME_REFUSED)


def _inspected(file: Path) -> Spreadsheet:
    from audience import spreadsheet

    try:
        return spreadsheet.inspect(file)
    except spreadsheet.Unreadable as error:
        raise Failed(f"{file}: {error}; nothing was taken") from None
    except OSError as error:
        raise Failed(f"{file} cannot be read: {error.strerror}") from None


async def _understood(database: Database, sheet: Spreadsheet) -> None:
    """See that every column means something, before anything is written anywhere."""
    from audience import importing, spreadsheet

    try:
        await importing.understood(database, sheet)
    except spreadsheet.Unreadable as error:
        raise Failed(f"{sheet.path}: {error}; nothing was taken") from None


def _free(file: Path) -> Path:
    """FILE.results.csv, with a number where there is one already: no results are written over."""
    names = (f"{file.name}.results{number}.csv" for number in ("", *(f".{n}" for n in range(2, 10_000))))
    return next(path for name in names if not (path := file.with_name(name)).exists())


async def _imported(
    database: Database, settings: Settings, sheet: Spreadsheet, dry_run: bool, write: Any, bar: Any
) -> Summary:
    from audience import importing, spreadsheet
    from gateway import audit
    from gateway.mishaps import why
    from gateway.prepare import book_of
    from store.clock import utcnow
    from store.engine import DatabaseAway

    summary, position = importing.Summary(), 0

    async def note(action: str, told: dict[str, Any]) -> None:
        if not dry_run:
            noted = {"sha256": sheet.sha256} | told
            await database.transact(lambda conn: audit.note(conn, "system", action, None, noted, now=utcnow()))

    try:
        await note("people.import_began", {})  # what is cut short is not to be unknown
        async for taken in importing.run(database, sheet, await book_of(database, settings), clock=utcnow, dry=dry_run):
            summary.add(taken.results)
            write(taken.results)
            bar.update(taken.position - position)
            position = taken.position
    except spreadsheet.Unreadable as error:
        raise Failed(f"{sheet.path}: {error}") from None
    except DatabaseAway as error:
        words = why(error, database.url) or "the database went away"
        raise Failed(
            f"{words}\nThe rows so far were taken; import the file again, and it goes on with the rest."
        ) from None
    await note("people.imported", dict(summary.outcomes))
    return summary


@contextmanager
def _results_in(path: Path | None) -> Iterator[Any]:
    """A function that writes results, each on disk before the next rows are taken."""
    if path is None:
        yield len  # nobody keeps them
        return
    with _new(path) as opened:
        writer = csv.writer(opened)
        writer.writerow(("line", "outcome", "profile_id", "code", "reason"))

        def write(results: list[Result]) -> None:
            writer.writerows((r.line, r.outcome, r.profile_id or "", r.code or "", r.reason or "") for r in results)
            opened.flush()

        yield write


def _new(path: Path) -> IO[str]:
    """A file that was not there before."""
    try:
        return path.open("x", newline="", encoding="utf-8")
    except FileExistsError:
        raise Failed(f"{path} is there already: name another file, or take it away") from None
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror}") from None


def _bar(length: int, label: str, *, hidden: bool = False) -> Any:
    """A progress bar on a terminal, nothing elsewhere; on standard error, so that what is piped stays clean."""
    return click.progressbar(
        length=length, label=label, file=sys.stderr, hidden=hidden or not sys.stderr.isatty(), show_eta=True
    )


def _summed_up(summary: Summary, sheet: Spreadsheet, path: Path | None, dry_run: bool) -> dict[str, Any]:
    from audience.plans import OUTCOMES

    return {
        "file": str(sheet.path),
        "dry_run": dry_run,
        "rows": summary.outcomes.total(),
        **{outcome: summary.outcomes[outcome] for outcome in OUTCOMES},
        "refused_by_code": dict(sorted(summary.refusals.items())),
        "results": str(path) if path is not None else None,
    }


def _in_words(told: dict[str, Any]) -> str:
    lines = [
        f"{told['rows']} rows: {told['created']} created, {told['updated']} updated, {told['unchanged']} unchanged, "
        f"{told['refused']} refused."
    ]
    lines += [f"  {count} refused: {code}" for code, count in told["refused_by_code"].items()]
    if told["results"]:
        lines.append(f"What became of each row is in {told['results']}.")
    if told["dry_run"]:
        lines.append("It was a dry run: nothing was written to the database.")
    return "\n".join(lines)


# --- export ------------------------------------------------------------------------------------


@click.command("export")
@click.argument("what", type=click.Choice(WHAT))
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file; else it goes to standard output."
)
@click.option("--json", "as_json", is_flag=True, help="A summary for machines, on standard error.")
@with_config
def export_command(what: str, output: Path | None, as_json: bool, config: Path | None) -> None:
    """Write people, their history or what is suppressed as CSV.

    What `profiles` writes `optgate import` reads back, states, dates and evidence included.
    """
    settings = settings_of(config)

    async def work(database: Database) -> int:
        from audience.exporting import EXPORTS

        export = await EXPORTS[what](database)
        with _written_to(output) as opened, _bar(export.total, "Exporting", hidden=output is None) as bar:
            return await _exported(export, opened, bar)

    count = with_database(settings, work)
    if as_json:
        click.echo(json.dumps({"what": what, "rows": count, "output": str(output) if output else None}), err=True)
    elif output is not None:
        click.echo(f"{count} rows are in {output}.", err=True)


async def _exported(export: Export, opened: IO[str], bar: Any) -> int:
    from audience.spreadsheet import written

    writer, count = csv.writer(opened), 0
    writer.writerow(written(export.columns))
    async for page in export.pages:
        writer.writerows(written(row) for row in page)
        count += len(page)
        bar.update(len(page))
    return count


@contextmanager
def _written_to(output: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a new file, which is taken away again when it could not be finished."""
    if output is None:
        with open(sys.stdout.fileno(), "w", newline="", encoding="utf-8", closefd=False) as opened:
            try:
                yield opened
                opened.flush()
            except BrokenPipeError:  # whoever reads has enough; what is left must not be flushed at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        with _new(output) as opened:
            yield opened
    except BaseException as error:
        if not isinstance(error, Failed):
            with suppress(OSError):
                output.unlink()
        raise
