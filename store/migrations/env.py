"""Alembic's entry: the connection is handed in by `store.migrate`."""

from alembic import context

from store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    user_module_prefix="types.",
    compare_type=True,
)
context.run_migrations()
