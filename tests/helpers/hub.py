"""A hub of models on this machine."""

import hashlib
import http.server
import json
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"unet/config.json": b"{}", "unet/model.safetensors": bytes(range(256)) * 400}


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as a download asks for; every repository has the same files."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path))
        headers, files = {}, self.server.files
        if "/tree/" in path:
            listed = [{"type": "file", "path": k, "size": len(v), "oid": "0" * 40} for k, v in files.items()]
            data = json.dumps(listed).encode()
        elif path.startswith("/api/models/"):
            data = json.dumps({"id": "some/model", "sha": COMMIT, "siblings": []}).encode()
        else:
            data = files[path.split(f"{COMMIT}/")[1]]
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_) -> None:
        pass
