"""Rich results: what the code displays, and what libraries display by themselves."""
