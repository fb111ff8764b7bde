"""What metering keeps in Postgres, and how it gets there."""
