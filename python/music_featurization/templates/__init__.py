"""The HTML pages as Jinja2 templates. Every text is escaped, so that a name can contain anything."""

import base64
import functools
import os
from pathlib import Path
from urllib.parse import quote

import jinja2


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters |= {"data_uri": _data_uri, "decimal": _decimal}
    return environment


def render(template: str, **content: object) -> str:
    """Fill in a template of this folder."""
    return _environment().get_template(template).render(**content)


def _data_uri(svg: bytes) -> str:
    # As an image, not inline: the ids of several SVGs would clash, and an image cannot run scripts.
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def relative_url(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """Return the URL of a file relative to a folder; a name may contain any byte."""
    return quote(os.fsencode(os.path.relpath(path, folder)).replace(os.sep.encode(), b"/"))


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
