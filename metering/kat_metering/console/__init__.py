"""The console: server-rendered pages for operators and tenants, mounted at `/console`."""
