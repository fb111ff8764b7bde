"""How many replicas a service needs. Everything here but `prometheus` and `pod_metrics` is pure."""
