"""The resident process of a sandbox: executions, contexts, and who is ready for the next."""
