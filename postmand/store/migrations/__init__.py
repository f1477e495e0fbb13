"""The history of the schema, for Alembic; `HEAD` names its newest version."""

HEAD = "0004"
