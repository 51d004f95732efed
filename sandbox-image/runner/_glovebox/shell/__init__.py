"""The shell that stays between commands."""
