"""OpenTelemetry traces: a span for each call, turn and stage, made of the lines of the call's journal."""
