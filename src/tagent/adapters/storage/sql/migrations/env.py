"""What Alembic runs to migrate: on the connection and in the transaction of whoever called it."""

from alembic import context

from tagent.adapters.storage.sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",  # it cannot alter a table in place
)
with context.begin_transaction():
    context.run_migrations()
