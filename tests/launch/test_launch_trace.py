"""What an author sees of an exception that ends the script: nothing of ours."""

from __future__ import annotations

from tests.launch.conftest import Bench


async def test_a_wrong_declaration_is_told_in_three_lines(bench: Bench) -> None:
    """Where, the line, and what to write instead; not how it was found out."""
    code, node = await bench.run(
        """
        from microlite import Service

        service = Service("greeter")

        @service.endpoint
        async def hello(name):
            return name
        """
    )
    path = bench.folder / "main.py"
    assert code == 1
    lines = [line for line in node.err.splitlines() if set(line.strip()) != {"^"}]
    assert lines == [
        f'  File "{path}", line 6, in <module>',
        "    @service.endpoint",
        f"DeclarationError: hello ({path}:6): parameter `name` has no annotation; write its type, for example "
        "`name: str`, so that requests can be checked",
    ]


async def test_frames_of_the_library_between_those_of_the_author_are_left_out(bench: Bench) -> None:
    """Also in what the exception was caused by."""
    code, node = await bench.run(
        """
        from microlite import Service
        from microlite.core.library.handlers import public_methods

        class Odd:
            def __getattribute__(self, name):
                try:
                    int("x")
                except ValueError as error:
                    raise LookupError(name) from error

        Service("odd").handle(Odd())
        """
    )
    assert code == 1
    frames = [line for line in node.err.splitlines() if line.startswith("  File")]
    assert frames
    assert all(f'"{bench.folder}/' in frame for frame in frames)
    assert "The above exception was the direct cause" in node.err
    assert node.err.splitlines()[-1].startswith("LookupError: ")


async def test_a_hook_of_the_authors_own_is_asked(bench: Bench) -> None:
    code, node = await bench.run(
        """
        import sys
        sys.excepthook = lambda kind, value, trace: print("mine", kind.__name__, trace.tb_lineno, file=sys.stderr)
        1 / 0
        """
    )
    assert (code, node.err) == (1, "mine ZeroDivisionError 4\n")
