"""From the annotations of a function, which may be strings, to the types that they name."""

from __future__ import annotations

import builtins
import collections.abc
import inspect
import sys
import typing
from typing import TYPE_CHECKING, Annotated, Any

from microlite.core.description.declaration import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType


class Annotations:
    """The annotations of one function, resolved one by one as they are asked for.

    Names are looked up in the function's module, in what it encloses, and in the functions of the same module that
    are running now: that is where a type lives that was made inside a function, as tests do.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = inspect.unwrap(getattr(function, "__func__", function))
        self._raw = _raw_annotations(self._function)
        self._place = Place.of(function)

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def text(self, name: str) -> str:
        """The annotation as the author wrote it, as far as Python kept it."""
        raw = self._raw.get(name, "")
        return raw if isinstance(raw, str) else inspect.formatannotation(raw)

    def resolve(self, name: str) -> Any:
        """The type that the annotation of this parameter (or of `return`) names, `Annotated` included.

        Raises:
            DeclarationError: it uses a name that is not known, or is no type.
        """
        missing: NameError | None = None
        for known, names in self._scopes():
            try:
                return _evaluate(self._raw[name], known, names)
            except NameError as error:
                missing = missing or error
            except (TypeError, AttributeError, SyntaxError) as error:
                raise self._place.error(f"{_label(name)}: `{self.text(name)}` is no type: {error}") from error
        unknown = getattr(missing, "name", None) or self.text(name)
        raise self._place.error(
            f"{_label(name)}: the name `{unknown}` in `{self.text(name)}` is not known where the endpoint is declared; "
            "import it at run time (not under `if TYPE_CHECKING:`), before this function"
        ) from missing

    def _scopes(self) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
        """Global and local names to try, one pair after the other."""
        function = self._function
        enclosed: dict[str, Any] = {}
        code = getattr(function, "__code__", None)
        for variable, cell in zip(getattr(code, "co_freevars", ()), function.__closure__ or (), strict=False):
            try:
                enclosed[variable] = cell.cell_contents
            except ValueError:  # the variable has no value yet
                pass
        yield function.__globals__, enclosed
        frames = []
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to the names of an enclosing function
        while frame is not None:
            if frame.f_globals is function.__globals__ and frame.f_code.co_name != "<module>":
                frames.append(frame.f_locals)
                yield function.__globals__, frame.f_locals
            frame = frame.f_back
        # names such as AsyncIterator are often imported for the type checker only, by the advice of linters
        known = {**vars(collections.abc), **function.__globals__}
        for names in (enclosed, *frames):
            yield known, names


def unwrap(annotation: Any) -> Any:
    """The type below `Annotated[...]` and `type X = ...`."""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation = annotation.__origin__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def format_type(annotation: Any) -> str:
    """A type as one would write it."""
    return inspect.formatannotation(annotation)


def _raw_annotations(function: Callable[..., Any]) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib  # from Python 3.14 on, where annotations are evaluated on demand

        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(function)


def _evaluate(annotation: Any, known: dict[str, Any], names: Mapping[str, Any]) -> Any:
    if isinstance(annotation, str) and annotation.isidentifier():  # the common case, without the compiler
        for scope in (names, known, vars(builtins)):
            if isinstance(found := scope.get(annotation), type):
                return found

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    hints = typing.get_type_hints(holder, known, dict(names), include_extras=True)
    return hints["it"]


def _label(name: str) -> str:
    return "the return annotation" if name == "return" else f"parameter `{name}`"
