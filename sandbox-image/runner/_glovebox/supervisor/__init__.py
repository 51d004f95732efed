"""The process between the runner and one program."""
