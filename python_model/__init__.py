"""The float model of Ballast: the margin methodology in NumPy, written independently of the contracts."""
