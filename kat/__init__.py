"""What every part of kat-serving shares: the usage event, the tenant directory, the `kat` command."""
