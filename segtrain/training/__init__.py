"""The loop, losses, metrics, schedules, callbacks and distribution."""
