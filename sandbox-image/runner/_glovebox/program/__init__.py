"""The process that runs one execution's code."""
