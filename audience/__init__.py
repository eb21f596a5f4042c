"""Who: what a broadcast's audience means, as questions for the verdict; and people out of files and into files.

Lives here: `select`, `lists`; for a file that comes in `spreadsheet`, `columns` (pure), `naming`, `statements`,
`plans`, `importing`; for one that goes out `exporting`. Its table: audience_parts.
May know: outbox, consent, profiles, store.
"""
