"""Commands and the shell wait for a service that is on its way, as `call` does."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_e2e.conftest import PROGRAM, Live

pytestmark = pytest.mark.timeout(120)

LATE = """
    from pathlib import Path

    from microlite import Service

    if not (Path(__file__).parent / "ready").exists():
        raise SystemExit("not yet")
    service = Service("late")

    @service.endpoint
    async def hello(name: str = "world") -> str:
        return f"Hello {name}"

    if __name__ == "__main__":
        service.run()
"""


@pytest.fixture
def late(live: Live, tmp_path: Path) -> Iterator[Path]:
    """A service in back-off. Its file `ready` lets it start."""
    folder = tmp_path / "late"
    folder.mkdir()
    (folder / "main.py").write_text(textwrap.dedent(LATE))
    live.microlite("run", "--detach", str(folder))
    yield folder / "ready"
    live.microlite("kill", "late")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("late", "hello", "--name", "Ann"), '"Hello Ann"'),
        (("late", "--help"), "hello"),
        (("shell", "-c", "await late.hello(name='Ann')"), "'Hello Ann'"),
        (("shell", "-c", "await service('late').hello(name='Ann')"), "'Hello Ann'"),
    ],
)
def test_a_node_in_back_off_is_waited_for(live: Live, late: Path, words: tuple[str, ...], says: str) -> None:
    assert "not yet" in live.call("status")
    with subprocess.Popen(
        [*PROGRAM, *words], env=live.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asking:
        with pytest.raises(subprocess.TimeoutExpired):
            asking.wait(0.5)
        late.touch()
        out, err = asking.communicate(timeout=50)
    assert (asking.returncode, err) == (0, "")
    assert says in out


def test_a_service_that_is_not_there_is_told_at_once(live: Live) -> None:
    done = live.microlite("nowhere", "hello")
    assert done.returncode == 4
    assert 'Service "nowhere" not found' in done.stderr
