"""The report as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from ntkfast._report.claims import CLAIMS
from ntkfast.compare import GaussianLimit, Slope
from ntkfast.plot import COLORS, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntkfast._report.session import Finished

__all__ = ["page"]


def page(record: dict[str, Any], finished: Sequence[Finished]) -> str:
    """Return the page.

    Parameters
    ----------
    record : dict
        What ``report.json`` holds.
    finished : sequence of Finished
        The results.

    Returns
    -------
    str
        HTML with all pictures inside, as SVG.
    """
    template = files("ntkfast._report").joinpath("page.html").read_text(encoding="utf-8")
    slopes = [(_label(f, name), slope) for f in finished for name, slope in _slopes(f.result)]
    budget, minutes = record["budget"]["name"], record["seconds"] / 60
    return Template(template).substitute(
        version=escape(record["version"]),
        subtitle=f"Budget {escape(budget)}, {minutes:.1f} minutes of measuring, "
        f"{escape(record['date'][:10])}. Rows of scikit-learn's digits, of unit norm; the last "
        "section uses all digits and the diabetes data.",
        summary_picture=_picture(
            [lambda ax: _forest(ax, slopes)],
            "exponents of width beside theory",
            (11.0, 0.8 + 0.22 * len(slopes)),
        ),
        summary_table=_table([["quantity", "theory", "measured", "95 % interval"], *_rows(slopes)]),
        contents="".join(
            f'<a href="#{key}">{escape(claim.heading)}</a>' for key, claim in CLAIMS.items()
        ),
        sections="\n".join(
            _section(key, [f for f in finished if f.part.claim == key]) for key in CLAIMS
        ),
        facts=_table([["", ""], *_facts(record)]),
        times=_table([["part", "seeds per width", "seconds"], *_times(finished)]),
    )


def _section(key: str, finished: Iterable[Finished]) -> str:
    heading, _, text = CLAIMS[key]  # the text is HTML
    cards = "\n".join(map(_card, finished))
    return (
        f'<section id="{key}"><h2>{escape(heading)}</h2><p>{text}</p>'
        f'<div class="parts">{cards}</div></section>'
    )


def _card(finished: Finished) -> str:
    part, result = finished.part, finished.result
    if result is None:
        return (
            f'<div class="part"><h3>{escape(part.name)}</h3>'
            f'<p class="note">No result: {escape(finished.problem)}</p></div>'
        )
    draw = [partial(plot, result) for plot in part.plots]
    picture = _picture(draw, f"{CLAIMS[part.claim].heading}: {part.name}", (6.4 * len(draw), 4.2))
    note = f'<p class="note">{escape(part.note(result))}</p>' if part.note else ""
    caption, rows = _markdown(result.table())
    wide = " wide" if len(draw) > 1 else ""
    return (
        f'<div class="part{wide}"><h3>{escape(part.name)}</h3>{picture}{note}'
        f"<details><summary>the numbers</summary>"
        f'<p class="caption">{escape(caption)}</p><div class="scroll">{_table(rows)}</div>'
        "</details></div>"
    )


def _picture(
    draw: Sequence[Callable[[Axes], Any]], description: str, size: tuple[float, float]
) -> str:
    """Return panels side by side as an image element with its data inside."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    for one, ax in zip(draw, figure.subplots(1, len(draw), squeeze=False)[0], strict=True):
        one(ax)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    # An image, and not SVG inline: identifiers within pictures cannot clash.
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{escape(description)}" src="data:image/svg+xml;base64,{data}">'


def _slopes(result: Any) -> list[tuple[str, Slope]]:
    """Return all slopes for which there is a theory."""
    if result is None:
        return []
    if isinstance(result, GaussianLimit):
        named: dict[str, Callable[[], Slope]] = {"excess kurtosis": result.slope}
    else:
        named = {name: partial(result.slope, name) for name in result.theory}
    found = []
    for name, slope in named.items():
        try:
            found.append((name, slope()))
        except ValueError:  # nothing to fit: too few networks, or a quantity that is zero
            continue
    return found


def _label(finished: Finished, name: str) -> str:
    part = finished.part
    return f"{CLAIMS[part.claim].short}, {part.name}: {name}"


def _rows(slopes: Iterable[tuple[str, Slope]]) -> list[list[str]]:
    return [
        [label, f"{s.theory:g}", f"{s.value:.3f}", f"{s.low:.3f} to {s.high:.3f}"]
        for label, s in slopes
    ]


def _forest(ax: Axes, slopes: Sequence[tuple[str, Slope]]) -> None:
    places = range(len(slopes), 0, -1)
    for place, (_, s) in zip(places, slopes, strict=True):
        ax.plot([s.low, s.high], [place, place], color=COLORS[1], lw=2)
        ax.plot(s.value, place, "o", color=COLORS[1], ms=5)
        ax.plot(s.theory, place, "x", color=COLORS[0], ms=6, mew=2)
    ax.set_yticks(list(places), [label for label, _ in slopes], fontsize="small")
    ax.set_ylim(0.3, len(slopes) + 0.7)
    ax.set_xlim(-2, 0.6)  # a few networks may leave an interval that is wider
    ax.set_xlabel("exponent of width: measured with 95 % interval, and theory (cross)")
    finish(ax)


def _markdown(text: str) -> tuple[str, list[list[str]]]:
    """Return the caption and the cells of a table in Markdown."""
    caption, *lines = [line for line in text.splitlines() if line]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return caption.replace("**", ""), [rows[0], *rows[2:]]


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = [f"<tr>{cells}</tr>"] if any(head) else []
    for row in body:
        kind = ' class="slope"' if row[0] == "slope" else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>")
    return f"<table>{''.join(lines)}</table>"


def _facts(record: dict[str, Any]) -> list[list[str]]:
    found = record["environment"]
    engine = found["engine"]
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return [
        ["command", record["command"]],
        ["date", record["date"]],
        ["ntkfast", f"{record['version']}, {found['build']['compiler']}"],
        ["Python", f"{found['python']}; {packages}"],
        ["device", f"{engine['device']}, {engine['isa']}, {record['jobs']} networks at a time"],
        ["processor", f"{found['cpu']['model']}, {found['cpu']['cores']} cores"],
        ["system", found["platform"]],
        ["seeds", "0, 1, ... as many as every table says; samples are drawn with seed 0"],
        ["time", f"{record['seconds']:.0f} s of a budget of {record['budget']['seconds']:.0f} s"],
    ]


def _times(finished: Iterable[Finished]) -> list[list[str]]:
    return [[f"{f.part.name} ({f.part.key})", str(f.seeds), f"{f.seconds:.1f}"] for f in finished]
