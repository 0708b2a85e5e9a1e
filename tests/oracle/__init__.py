"""Slow, independent float64 and 60-digit evaluations that the tests compare the library with."""
