"""Golden files: current output of planner and command line; ``python -m tests.golden`` writes them again."""
