"""The engine timed in a process of its own: its job, its answer, and how it is started.

Nothing is imported here: the process that is timed would load it too.
"""
