"""The engine timed in a process of its own: what the process is told, what it answers, and how it is run.

Nothing is imported here: the process that is timed would load it too.
"""
