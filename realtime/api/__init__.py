"""The way in for programs: events from microphones, files and arrays, in a few lines."""
