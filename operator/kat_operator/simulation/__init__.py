"""Autoscaling laws against a trace and a queueing model of replicas: what `kat simulate` runs."""
