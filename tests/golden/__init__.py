"""Golden files: what the planner and the command line say today; ``python -m tests.golden`` writes them anew."""
