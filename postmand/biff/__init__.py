"""biff: tells members on IRC that mail has come, and nothing more to anyone."""
