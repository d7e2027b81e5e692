"""Pydantic models among the types of requests and replies, where the user has pydantic; it is never imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeGuard

import msgspec

if TYPE_CHECKING:
    from microlite.core.description.structs import Schema


MAX_COMPLAINTS: Final = 5
"""How many of a model's complaints are passed on; a long list may have one for each item."""


class Model(Protocol):
    """What is used of `pydantic.BaseModel` (version 2)."""

    @classmethod
    def model_validate_json(cls, json_data: bytes) -> Any:
        """An instance from JSON, by the model's own rules."""
        ...

    @classmethod
    def model_json_schema(cls, *, ref_template: str, mode: Literal["validation", "serialization"]) -> Schema:
        """The schema, with what it refers to in `$defs`."""
        ...

    def model_dump(self, *, mode: Literal["json"], by_alias: bool) -> Any:
        """Builtin values, as they stand in JSON."""
        ...


def is_model(annotation: Any) -> TypeGuard[type[Model]]:
    """Whether a type is a pydantic model."""
    return (
        isinstance(annotation, type)
        and hasattr(annotation, "__pydantic_validator__")
        and hasattr(annotation, "model_validate_json")
    )


def load(model: type[Model], value: object) -> Any:
    """An instance from decoded builtins. JSON's reading holds for both encodings, also for strict models.

    Raises:
        ValueError: pydantic's `ValidationError`, which lists the fields.
    """
    return model.model_validate_json(msgspec.json.encode(value))


def dump(instance: Model) -> Any:
    """The builtins of an instance, under the names (aliases) by which `load` reads it again."""
    return instance.model_dump(mode="json", by_alias=True)


def complaints(error: object) -> list[tuple[str, str]]:
    """Path (`.items[0].price`, or empty) and text of each complaint in pydantic's `ValidationError`; else none."""
    listing = getattr(error, "errors", None)
    if listing is None or not type(error).__module__.startswith("pydantic"):
        return []
    found = []
    for complaint in listing(include_url=False, include_context=False, include_input=False)[:MAX_COMPLAINTS]:
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in complaint["loc"])
        text = str(complaint["msg"])
        found.append((path, text[:1].lower() + text[1:]))
    return found
