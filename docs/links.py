"""Check the links of the built site: `python docs/links.py build/site`.

Every relative link must lead to a file of the site and, with an anchor, to a place in it; no page may load anything from another host.
"""

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"a": "href", "area": "href"}
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


class Page(HTMLParser):
    """The anchors of a page, and what it links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors.update(value for name in ("id", "name") if (value := found.get(name)))
        if (link := found.get(LINKS.get(tag, ""))) is not None:
            self.links.append(link)
        if (link := found.get(LOADED.get(tag, ""))) is not None and found.get("rel") != "canonical":
            self.loaded.append(link)


def complaints(site: Path) -> Iterator[str]:
    """What is wrong with the links of a built site."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    for path, page in pages.items():
        here = path.relative_to(site)
        for link in page.loaded:
            if urlsplit(link).netloc:
                yield f"{here} loads {link} from another host"
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{here} links to {link}: there is no such file"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{here} links to {link}: there is no such anchor"


def main() -> None:
    """Print what is wrong and exit with 1, if anything is."""
    found = list(complaints(Path(sys.argv[1]).resolve()))
    print("\n".join(found) or "all links of the site lead somewhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
