"""The frame of every report: one HTML page that needs no other file, with its figures beside it as PNG."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path

from engines.errors import OutputError

_PAGE_NAME = "report.html"
_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem }
body { margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top }
th { font-weight: 600 }
tr + tr > * { border-top: 1px solid #ddd }
td { font-variant-numeric: tabular-nums }
small { color: #666; display: block; font-weight: 400 }
td > small, th > small { white-space: nowrap }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: start; margin: 1.5rem 0 }
figure { margin: 0; flex: 1 1 26rem; max-width: 34rem } img { width: 100% } figcaption { color: #666 }
.wide figure { flex-basis: 100%; max-width: none }
.scroll { overflow-x: auto }
details { margin: 1rem 0 } summary { cursor: pointer }
dt { font-weight: 600 } dd { margin: 0 0 .5rem 1rem }
.warning { border-left: .3rem solid #D55E00; padding: .2rem 1rem }
code { overflow-wrap: anywhere }
"""


def page_html(title: str, body: str) -> str:
    """A whole page: the `title`, which is escaped, above the `body`, which is markup."""
    words = html.escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{words}</title>
<style>{_CSS}</style>
</head>
<body>
<h1>{words}</h1>
{body}
</body>
</html>
"""


def figures_html(images: Mapping[str, bytes], captions: Mapping[str, str], *, is_wide: bool = False) -> str:
    """Figures side by side as far as there is room, wide ones below each other: PNGs and captions by name."""
    figures = "\n".join(_figure(name, image, captions.get(name, name)) for name, image in images.items())
    classes = "figures wide" if is_wide else "figures"
    return f'<div class="{classes}">\n{figures}\n</div>'


def warning_html(text: str) -> str:
    """What may make the figures worthless, as a paragraph; nothing for nothing."""
    return f'<p class="warning">{html.escape(text)}.</p>' if text else ""


def facts_html(facts: Mapping[str, str]) -> str:
    """A table of two columns, for what is to be copied rather than read."""
    rows = "\n".join(
        f"<tr><th>{html.escape(name)}</th><td><code>{html.escape(value)}</code></td></tr>"
        for name, value in facts.items()
    )
    return f"<table>\n{rows}\n</table>"


def write_page(folder: Path, page: str, images: Mapping[str, bytes]) -> Path:
    """Write the page as `report.html` and each PNG beside it; return the page's path.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = folder / _PAGE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            (folder / f"{name}.png").write_bytes(image)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the report to {folder}: {error.strerror or error}") from error
    return path


def _figure(name: str, image: bytes, caption: str) -> str:
    inside = base64.b64encode(image).decode("ascii")
    return (
        f'<figure><img alt="{html.escape(name)}" src="data:image/png;base64,{inside}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
