"""Time, memory and bits on one machine."""
