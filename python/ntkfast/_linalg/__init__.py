"""Linear algebra on large symmetric matrices: with SciPy, or with CuPy on a CUDA device."""
