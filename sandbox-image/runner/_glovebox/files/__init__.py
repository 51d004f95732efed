"""What is done with a session's files."""
