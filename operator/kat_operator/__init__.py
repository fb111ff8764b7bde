"""The operator: turns an AutoThinkService into a running, autoscaled fleet."""
