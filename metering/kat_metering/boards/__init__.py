"""The platform's dashboards on one static page, for who has no Grafana: read from the very files that Grafana reads."""
