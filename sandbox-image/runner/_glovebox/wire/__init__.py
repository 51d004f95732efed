"""The channel to the control plane, and what else connects processes."""
