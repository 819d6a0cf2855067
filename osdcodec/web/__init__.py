"""The page that decodes .osd files in a browser: `write_site` for a web server, `Server` for this machine. No torch.

Its TypeScript lies beside this module; `npm run build` makes build/ of it, which every wheel of a release holds. Weights and
models.json join it: file, model_id, sha256, bytes, the margins of tiles, as the weights or `tiles.margins_of` tell them, and
trust, the file and sha256 of the map of trust, if one was fitted to the model.
"""

import hashlib
import http.server
import importlib.metadata
import json
import mimetypes
import secrets
import shutil
import urllib.parse
import urllib.request
from collections.abc import Set
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .. import weights
from ..errors import OsdError, OutputError, WeightsError
from ..profile import optional_parts
from ..runtime.tiles import margins_of

BUILT = Path(__file__).parent / "build"  # "site"; and "single", which single.py makes one file of
LIST, TRUST = "models.json", "trust.onnx"
WRITTEN = (
    "files.json"  # name -> SHA-256 of what `write_site` wrote, so that the next time it may remove what is left over
)
# Without them a browser gives a page one thread; a server that cannot send them works too, more slowly.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PageError(OsdError):
    """The page is not built in this installation, or does not run a model."""


def page_folder() -> Path:
    """Returns the folder of what npm built: here, or in the checkout that pip installed from.

    Raises:
        PageError: it is built in neither; names the command that builds it.
    """
    checkout = _checkout()
    for folder in (BUILT, checkout / "build" if checkout else BUILT):
        if all((folder / name).is_file() for name in ("site/index.html", "single/template.html")):
            return folder
    if checkout:
        raise PageError(f"the page is not built yet: run `npm --prefix {checkout} run build` (Node 20 or later)")
    raise PageError(
        "this installation lacks the page: run `npm --prefix osdcodec/web run build` (Node 20 or later) in a checkout of "
        "osdc, then `pip install .` there"
    )


def _checkout() -> Path | None:
    """The TypeScript's folder: beside this module, or in the folder that `pip install .` was given, if that still exists."""
    places = [Path(__file__).parent]
    with suppress(importlib.metadata.PackageNotFoundError, ValueError, KeyError):
        origin = json.loads(importlib.metadata.distribution("osdc").read_text("direct_url.json") or "{}")
        url = urllib.parse.urlsplit(origin.get("url", ""))
        if url.scheme == "file" and "dir_info" in origin:
            places.append(Path(urllib.request.url2pathname(url.path), "osdcodec", "web"))
    return next((place for place in places if (place / "package.json").is_file()), None)


def described(model: "weights.Weights") -> dict[str, Any]:
    """Returns what models.json says of a model. PageError if the page does not run it."""
    if beyond := sorted(optional_parts(model.profile)):
        raise PageError(
            f"{model.path.name} has {', '.join(beyond)} of its own, which the page does not run; use `osdc decode`"
        )
    if not {"denoise", "render"} <= model.graphs.keys():
        raise PageError(
            f"{model.path.name} is of profile {model.profile.name}, which the page does not run; use `osdc decode`"
        )
    margins = {"margins": model.margins or margins_of(model.profile)}
    trust = {"trust": {"file": TRUST, "sha256": _digest(graph)}} if (graph := trust_graph(model)) else {}
    return weights.entry(model.path, model.profile.name) | margins | trust


def trust_graph(model: "weights.Weights") -> bytes | None:
    """Returns the network of the map of trust that was fitted to a model, or None."""
    try:
        return weights.trust_graph(model)
    except WeightsError:
        return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def site(weights_dir: str | Path | None = None, model_id: bytes | None = None) -> dict[str, Path | bytes]:
    """Returns every file of the site: its name -> its place, or its bytes.

    Args:
        weights_dir: a folder whose weights take precedence.
        model_id: which model joins the site, by default that of profile small.

    Raises:
        PageError: the page is not built here, or does not run this model.
        WeightsError: the model is missing or damaged.
    """
    folder = page_folder() / "site"
    model = weights.for_model(model_id, weights_dir) if model_id else weights.load(weights_dir=weights_dir)
    listed = described(model)
    files: dict[str, Path | bytes] = {path.name: path for path in sorted(folder.iterdir())}
    files |= {TRUST: graph} if (graph := trust_graph(model)) else {}
    return files | {model.path.name: model.path, LIST: json.dumps([listed], indent=1).encode() + b"\n"}


def write_site(folder: Path, weights_dir: str | Path | None = None) -> int:
    """Writes the site into a folder that is new, empty, or an older site; returns its bytes. OutputError.

    What an older site had and this one has not is removed, if nobody has changed it; files of others stay.
    """
    files = site(weights_dir)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / LIST).is_file())):
        raise OutputError(f"{folder} exists and is not a site that osdc wrote; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The list comes last: a page that is being replaced finds the weights that its list names.
        for name, content in files.items():
            part = folder / f".{name}.part"
            if isinstance(content, Path):
                shutil.copyfile(content, part)
            else:
                part.write_bytes(content)
            part.replace(folder / name)
        _remove_older(folder, files.keys())
        digests = {name: _sha256(folder / name) for name in files}
        (folder / WRITTEN).write_text(json.dumps(digests, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"{error.filename or folder}: {error.strerror or error}; name another folder") from error
    return sum((folder / name).stat().st_size for name in files)


def _remove_older(folder: Path, kept: Set[str]) -> None:
    """Removes what this folder's list of written files names beyond those kept, unless somebody has changed it."""
    try:
        older = json.loads((folder / WRITTEN).read_text("utf-8")).items()
    except (OSError, ValueError, AttributeError):
        return  # no such list, or not ours: nothing is known to be ours
    present = {path.name: path for path in folder.iterdir() if path.is_file() and not path.is_symlink()}
    for name, digest in older:
        if name not in kept and name in present and _sha256(present[name]) == digest:
            present[name].unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """The site, and files beside it, on a free port of this machine only, below a path that others cannot guess."""

    daemon_threads = True

    def __init__(self, files: dict[str, Path | bytes], port: int = 0) -> None:
        """OSError if the port is taken."""
        self.files, self.secret = files, secrets.token_urlsafe(9)
        super().__init__(("127.0.0.1", port), _Handler)

    def address(self, picture: str | None = None) -> str:
        """Where a browser finds the page; picture: the name, among the files, of what it shows."""
        query = f"?src={urllib.parse.quote(picture)}" if picture else ""
        return f"http://127.0.0.1:{self.server_port}/{self.secret}/{query}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        # A site elsewhere whose name leads here must not read what is served.
        host = self.headers.get("Host", "").rpartition(":")[0]
        head, _, name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/").partition("/")
        content = self.server.files.get(name or "index.html")
        if host not in ("127.0.0.1", "localhost") or head != self.server.secret or content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        data = content.read_bytes() if isinstance(content, Path) else content
        kind = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}.get(Path(name).suffix)
        self.send_response(HTTPStatus.OK)
        self.send_header(
            "Content-Type", kind or mimetypes.guess_type(name or "index.html")[0] or "application/octet-stream"
        )
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-cache")
        for header, value in ISOLATION.items():
            self.send_header(header, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""
