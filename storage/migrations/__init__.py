"""Versions of the data model, applied by Alembic."""
