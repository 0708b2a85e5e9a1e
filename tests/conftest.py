"""What several test modules share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `import oracle`, in every import mode

from hypothesis import settings

collect_ignore = ["peer_scripts"]  # run by test_stax_scripts.py under another library's name

# Derandomised: a test run says the same thing twice. NTKFAST_HYPOTHESIS=explore draws anew.
settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("NTKFAST_HYPOTHESIS", "fixed"))
