"""Metering: keeps each tenant's usage in Postgres, prices it, and computes what auto-think saved."""
