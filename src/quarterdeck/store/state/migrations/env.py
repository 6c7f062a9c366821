"""The environment of Alembic: it runs the steps in the transaction of `Database.open`."""

from __future__ import annotations

from alembic import context

from quarterdeck.store.state.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
