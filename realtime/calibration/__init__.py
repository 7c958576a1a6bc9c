"""Levels of quiet and of breath: measured at a microphone, kept for it."""
