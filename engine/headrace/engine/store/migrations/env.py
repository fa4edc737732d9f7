"""Runs the migrations on the connection that the caller gives, in the transaction that the caller has begun."""

from __future__ import annotations

from alembic import context

from headrace.engine.store.tables import metadata, schema_version, tell_postgresql

tell_postgresql()
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=schema_version.name,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
