"""How Alembic runs the steps: inside the transaction that `Database.open` hands it, over no connection of its own."""

from __future__ import annotations

from alembic import context

from quarterdeck.store.state.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
