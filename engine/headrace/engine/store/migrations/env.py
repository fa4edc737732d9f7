"""Runs the migrations on the connection that the caller gives, who holds a lock: each in a transaction of its own, but in one of
the caller's where he has begun one."""

from __future__ import annotations

from alembic import context

from headrace.engine.store.tables import metadata, schema_version, tell_postgresql

tell_postgresql()
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=schema_version.name,
    transactional_ddl=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
