"""Pieces of a self-contained HTML page. Every text is escaped here, so that a name can hold anything."""

import base64
from html import escape
from urllib.parse import quote

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; -webkit-text-size-adjust: 100%; }
h1 { font-size: 1.7rem; margin-bottom: 0.2rem; }
h2 { font-size: 1.2rem; margin-top: 2.4rem; border-bottom: 1px solid #ccc; padding-bottom: 0.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.8rem 0; }
td { max-width: 17rem; }
caption { text-align: left; color: #555; padding-bottom: 0.3rem; }
th, td { padding: 0.25rem 1.1rem 0.25rem 0; text-align: left; vertical-align: middle; overflow-wrap: break-word; }
th { font-weight: 600; border-bottom: 1px solid #999; vertical-align: bottom; }
th[colspan] { text-align: center; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
tbody tr:nth-child(even) { background: #f5f5f5; }
img { max-width: 100%; height: auto; }
audio { width: 15rem; height: 2.2rem; display: block; }
.missing { color: #777; font-style: italic; }
.side > * { max-width: 100%; min-width: 0; }
.side { display: flex; flex-wrap: wrap; gap: 0 3rem; align-items: flex-start; }
pre { background: #f5f5f5; padding: 0.8rem; white-space: pre-wrap; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; }
  table { font-size: 0.85rem; }
  th, td { padding-right: 0.7rem; }
  td:not(.number) { min-width: 5.5rem; }
}
"""

# Nothing is fetched from anywhere; only recordings are read, from beside the page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; media-src 'self' file:"


class Raw(str):
    """HTML that is already escaped."""


class Number(str):
    """A text that is set as a number, to the right."""


def markup(content):
    """HTML of a text: escaped, unless it is `Raw`."""
    return content if isinstance(content, Raw) else Raw(escape(str(content)))


def page(title, lead, sections):
    """A whole page.

    Parameters
    ----------
    title, lead : str
        Heading and the line below it.
    sections : sequence of (str, sequence of str)
        Heading and paragraphs, tables or pictures of each section.

    Returns
    -------
    str
    """
    body = "\n".join(
        f"<section>\n<h2>{markup(heading)}</h2>\n" + "\n".join(_block(block) for block in blocks) + "\n</section>"
        for heading, blocks in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="icon" href="data:,">
<title>{markup(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{markup(title)}</h1>
<p>{markup(lead)}</p>
{body}
</body>
</html>
"""


def _block(block):
    return block if isinstance(block, Raw) else f"<p>{markup(block)}</p>"


def table(headings, rows, caption=None, groups=None):
    """A table.

    Parameters
    ----------
    headings : sequence of str
        Of the columns; a `Number` stands to the right.
    rows : sequence of sequence of str
        Cells: text, `Number` or `Raw`.
    caption : str, optional
    groups : sequence of (str, int), optional
        A row above the headings: text and the number of columns it stands over.

    Returns
    -------
    Raw
    """
    caption = f"<caption>{markup(caption)}</caption>" if caption else ""
    above = "".join(f'<th colspan="{columns}" scope="colgroup">{markup(text)}</th>' for text, columns in groups or ())
    above = f"<tr>{above}</tr>" if above else ""
    head = "".join(f'<th scope="col"{_kind(heading)}>{markup(heading)}</th>' for heading in headings)
    body = "\n".join(
        "<tr>" + "".join(f"<td{_kind(cell)}>{markup(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    head = f"<thead>{above}<tr>{head}</tr></thead>"
    return Raw(f'<div class="scroll"><table>{caption}{head}\n<tbody>\n{body}\n</tbody></table></div>')


def _kind(cell):
    return ' class="number"' if isinstance(cell, Number) else ""


def side_by_side(blocks):
    """Tables beside each other as far as there is room; each is `Raw`."""
    return Raw(f'<div class="side">{"".join(blocks)}</div>')


def picture(svg, description):
    """An SVG picture, held by the page itself.

    Parameters
    ----------
    svg : bytes
    description : str
        For readers who cannot see it.

    Returns
    -------
    Raw
    """
    # As an image, not inline: the ids of several SVGs would clash, and an image cannot run scripts.
    data = base64.b64encode(svg).decode("ascii")
    return Raw(f'<p><img src="data:image/svg+xml;base64,{data}" alt="{markup(description)}"></p>')


def player(path, name):
    """An audio player, or the name of the recording that is missing.

    Parameters
    ----------
    path : str or None
        Path of the recording relative to the page, with `/`; None if there is none.
    name : str
        Of the recording.

    Returns
    -------
    Raw
    """
    if path is None:
        return Raw(f'<span class="missing">recording missing: {markup(name)}</span>')
    return Raw(f'<audio controls preload="none" src="{quote(path)}" title="{markup(name)}"></audio>')


def code(lines):
    """Lines of a terminal."""
    return Raw(f"<pre>{markup(chr(10).join(lines))}</pre>")
