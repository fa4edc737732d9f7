"""The store on SQLAlchemy: one schema for SQLite and PostgreSQL."""
