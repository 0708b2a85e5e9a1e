"""The demonstration behind ``ntkfast demo``.

- `reading`: a CSV or NPZ file becomes arrays, or a `DataError` that names the cell.
- `tables`: the bundled data sets and the user's own, as one `Table` each.
- `contenders`: the methods that are compared.
- `contest`: splits, scores, timings, learning curve, spectrum, checks.
- `report`: results as text and JSON.
- `figure`: results as a PNG.
"""
