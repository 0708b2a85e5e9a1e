"""What ``ntkfast compare`` runs: all comparisons on bundled data, and their page."""
