"""AsyncAPI: which messages and events services take, as a document for people and generators."""

from microlite.web.asyncapi.assembly import document

__all__ = ["document"]
