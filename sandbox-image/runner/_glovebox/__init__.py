"""The runner: one private package, which the code that runs in a sandbox does not see."""
