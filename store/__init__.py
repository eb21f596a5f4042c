"""Where everything is kept: the engine, the tables, the migrations, and the order in which rows are locked.

Lives here: how a transaction opens on SQLite and on PostgreSQL, the data dictionary (`tables`), group commit.
Knows no other room; every other room may know it. Holds no rule of the domain.
"""
