"""The interpreter that stays between calls."""
