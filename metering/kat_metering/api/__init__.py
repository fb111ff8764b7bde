"""The HTTP edge of metering."""
