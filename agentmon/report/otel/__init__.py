"""Rounds as OpenTelemetry traces and metrics. Only `sending` imports the SDK, inside."""
