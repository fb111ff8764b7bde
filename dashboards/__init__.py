"""Grafana's dashboards and Prometheus' rules: built here, committed as JSON and YAML, kept fresh by `--check`."""
