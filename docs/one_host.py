"""Keep pages from asking other hosts: scripts of notebooks for MathJax and Mermaid are left out."""

import re

_SCRIPT = re.compile(r"<script\b[^>]*>.*?</script>", re.DOTALL)
_OTHERS = re.compile(r"https?://[^\"'\s]*\.m?js|mathjax", re.IGNORECASE)


def on_post_page(output: str, page, config) -> str:
    """Return a page without the scripts that load others."""
    return _SCRIPT.sub(lambda found: "" if _OTHERS.search(found[0]) else found[0], output)
