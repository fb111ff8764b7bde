"""Alembic's folder. The schema of tables.py, step by step."""
