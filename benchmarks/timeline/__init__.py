"""Memory over time as the kernel of the operating system counts it: what the analytic timeline is held against."""
