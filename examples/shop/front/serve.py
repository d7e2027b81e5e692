"""A page over the shop: any program that listens on PORT and speaks HTTP."""

import os
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import microlite


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/healthz":
            self.answer("ok")
            return
        wanted = parse_qs(path.query).get("product", [])
        with microlite.connect() as shop:
            lines = [f"{product}: {price}" for product, price in shop.call("catalog.products").items()]
            if wanted:
                lines.append(f"together: {shop.call('basket.total', products=wanted)}")
        self.answer("<br>".join(escape(line) for line in lines))

    def answer(self, text: str) -> None:
        body = f"<!doctype html><title>Shop</title><p>{text}</p>\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Page).serve_forever()
