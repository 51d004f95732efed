"""What every process of the code has: streams, packages, stacks, errors, and the way it ends."""
