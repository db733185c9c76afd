"""Memory over time as the operating system counts it, for comparison with the analytic timeline."""
