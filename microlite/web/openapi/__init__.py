"""OpenAPI: what can be called over HTTP, as a document for people and generators."""

from microlite.web.openapi.assembly import document

__all__ = ["document"]
