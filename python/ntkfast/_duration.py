"""Times in words."""

from __future__ import annotations

__all__ = ["duration"]

_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def duration(seconds: float) -> str:
    """Return a time as "3.2 us", "12 ms", "1.6 min" or "2.5 h".

    Examples
    --------
    >>> from ntkfast._duration import duration
    >>> duration(0.0123), duration(95), duration(9000), duration(0)
    ('12 ms', '1.6 min', '2.5 h', '0 s')
    """
    for unit, name in _UNITS:
        if seconds >= unit:
            number = seconds / unit
            return f"{number:,.0f} {name}" if number >= 10 else f"{number:.2g} {name}"
    return "0 s"
