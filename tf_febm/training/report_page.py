"""Pieces of HTML that stand alone: tables, pictures, folded sections, the page around them."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from tf_febm.untrusted_files import opened, read_bytes

__all__ = ["chart", "code", "folded", "heading", "page", "paragraph", "picture", "row", "table"]

# Pictures narrower than this are enlarged wherever they are shown: pixels then stay squares. What
# is larger is made smaller, where leaving out pixels would break letters and lines.
ENLARGED = 400

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1e1e1e; --ground: #fff; --shade: #f4f4f4; --line: #ddd; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --ground: #1b1b1b; --shade: #2a2a2a; --line: #4a4a4a; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1em; max-width: 1400px;
       color: var(--ink); background: var(--ground); overflow-wrap: break-word; }
h1 { line-height: 1.2; margin: 0.3em 0; }
h2 { line-height: 1.2; font-size: 1.3em; }
p { max-width: 50em; }
.verdict { border-left: 0.4em solid #767676; background: var(--shade); padding: 0.6em 1em;
           font-size: 1.1em; box-sizing: border-box; }
.good { border-color: #009e73; }
.fair { border-color: #e69f00; }
.poor { border-color: #d55e00; }
.row { display: grid; gap: 1em;
       grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
figure { margin: 0; }
@media (min-width: 760px) { .wide { grid-column: span 2; } }
img { width: 100%; height: auto; border: 1px solid var(--line); box-sizing: border-box;
      background: #fff; }
img.pixels { image-rendering: pixelated; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; max-width: 900px; }
th, td { border-bottom: 1px solid var(--line); padding: 0.2em 0.6em 0.2em 0; text-align: left;
         vertical-align: top; font-weight: normal; }
td { overflow-wrap: anywhere; }
th { overflow-wrap: normal; }
thead th { font-weight: 600; }
.scale { margin: 1em 0; }
.scale td { white-space: nowrap; overflow-wrap: normal; }
@media (max-width: 600px) { table { font-size: 0.8em; } }
pre { background: var(--shade); padding: 0.8em; white-space: pre-wrap; overflow-wrap: anywhere; }
details { border-top: 1px solid var(--line); padding: 0.5em 0; }
summary { cursor: pointer; font-weight: 600; font-size: 1.1em; }
</style>
</head>
<body>
$body
</body>
</html>
""")


def page(title: str, parts: Iterable[str]) -> str:
    """Return a page.

    Args:
        title: Of the window.
        parts: HTML, one after the other; empty ones are left out.
    """
    return _PAGE.substitute(
        title=html.escape(title), body="\n".join(part for part in parts if part)
    )


def heading(text: str, level: int = 1) -> str:
    """Return a heading."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str, style: str = "") -> str:
    """Return a paragraph, of a class if one is named; nothing of an empty text."""
    kind = f' class="{style}"' if style else ""
    return f"<p{kind}>{html.escape(text)}</p>" if text else ""


def folded(title: str, inner: str) -> str:
    """Return a section that a click opens; nothing of an empty one."""
    if not inner:
        return ""
    return f"<details>\n<summary>{html.escape(title)}</summary>\n{inner}\n</details>"


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), style: str = "") -> str:
    """Return a table.

    Args:
        rows: Of texts; the first of each names the row.
        head: Names of the columns, or none.
        style: Class of the table, or none.

    Returns:
        HTML; nothing if there are no rows.
    """
    body = "\n".join(
        f"<tr><th>{html.escape(first)}</th>"
        + "".join(f"<td>{html.escape(text)}</td>" for text in rest)
        + "</tr>"
        for first, *rest in rows
    )
    if not body:
        return ""
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    top = f"<thead><tr>{names}</tr></thead>\n" if head else ""
    kind = f' class="{style}"' if style else ""
    inner = f"<table{kind}>\n{top}<tbody>\n{body}\n</tbody>\n</table>"
    return f'<div class="scroll">\n{inner}\n</div>'


def code(text: str) -> str:
    """Return lines of a program."""
    return f"<pre>{html.escape(text)}</pre>"


def picture(path: Path, caption: str, wide: bool = False) -> str:
    """Return a figure of a PNG file, or nothing where it is not there or damaged.

    Args:
        path: Of the file.
        caption: Below it.
        wide: Whether it takes two places of a row, where there is room.
    """
    from PIL import Image

    try:
        with opened(path) as file, Image.open(file) as image:
            small = image.width < ENLARGED
            image.verify()
        return _figure("png", read_bytes(path), caption, small, wide)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""


def chart(svg: str, caption: str) -> str:
    """Return a figure of a drawing in SVG."""
    return _figure("svg+xml", svg.encode(), caption, False)


def row(figures: Iterable[str]) -> str:
    """Return figures side by side as far as there is room; nothing of none."""
    inner = "\n".join(figure for figure in figures if figure)
    return f'<div class="row">\n{inner}\n</div>' if inner else ""


def _figure(kind: str, content: bytes, caption: str, pixels: bool, wide: bool = False) -> str:
    data, style = base64.b64encode(content).decode(), ' class="pixels"' if pixels else ""
    caption, place = html.escape(caption), ' class="wide"' if wide else ""
    return (
        f'<figure{place}><img{style} alt="{caption}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
