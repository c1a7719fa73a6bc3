"""``/metrics``: what the daemon measures, for Prometheus and whatever else reads its formats."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from sealrun.web.loop import off_loop

Answer = Callable[[str], tuple[bytes, str]]
"""Takes an Accept header; returns everything in the format it prefers, and the content type."""


def routes(answer: Answer) -> list[web.RouteDef]:
    """Answer at ``/metrics`` with what `answer` returns, compressed where that is accepted."""

    async def answer_metrics(request: web.Request) -> web.Response:
        body, content_type = await off_loop(request, answer, request.headers.get("Accept", ""))
        response = web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})
        response.enable_compression(web.ContentCoding.gzip if _takes_gzip(request) else web.ContentCoding.identity)
        return response

    return [web.get("/metrics", answer_metrics)]


def _takes_gzip(request: web.Request) -> bool:
    """Tell whether the client said that it takes gzip; a quality of 0 says that it does not."""
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
