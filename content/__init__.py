"""Content: what a message says to one person, and what it weighs.

As an operator gives it (`composition`), filled in by Liquid with limits (`liquid`), with the line that tells how to
opt out (`notices`), counted in SMS segments (`segments`). An e-mail is put together by `mail`; `markup` cleans its
HTML, and reads it as plain text. Our own are `letters`, in the `languages` that we speak.
The room is pure (no clock of the day, no database, no logger), owns no tables, and knows no other room.
"""
