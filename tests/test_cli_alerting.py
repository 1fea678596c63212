"""`rebalanced alert-test`: each way to a person is tried once, and said to work or not."""

from pathlib import Path

import httpx
import pytest
import respx
from typer.testing import CliRunner

from daemon.cli.main import app
from tests.oneprocess import written

HOOK, BEAT = "https://hooks.example/cAnArY", "https://beats.example/cAnArY"


def tried(folder: Path, **sections: object) -> tuple[int, str]:
    """Exit code and words."""
    config = written(folder, {}, mode="paper", **sections)
    result = CliRunner().invoke(app, ["alert-test", str(config)])
    return result.exit_code, result.output


def test_each_way_is_tried(tmp_path: Path) -> None:
    """One alert over each channel and one beat, whatever level a channel asks for; no address in what is said."""
    with respx.mock:
        hook, beat = respx.post(HOOK).mock(return_value=httpx.Response(200)), respx.get(BEAT).mock(return_value=httpx.Response(200))
        code, said = tried(tmp_path, alerts=[{"webhook": HOOK}], heartbeat={"url": BEAT})
        assert (hook.call_count, beat.call_count) == (1, 1)
        assert b'"event":"alert.test"' in hook.calls[0].request.content
    assert (code, said) == (0, "alerts[0]: arrived\nheartbeat: arrived\n")


@pytest.mark.parametrize("broken", [HOOK, BEAT])
def test_one_that_does_not_work_is_named(broken: str, tmp_path: Path) -> None:
    """The others are tried all the same, the exit code is 1, and the reason is told without the address."""
    with respx.mock:
        for url in (HOOK, BEAT):
            respx.route(url=url).mock(return_value=httpx.Response(404 if url == broken else 200))
        code, said = tried(tmp_path, alerts=[{"webhook": HOOK}], heartbeat={"url": BEAT})
    assert code == 1
    assert said.count("did not arrive (http_404)") == 1
    assert said.count(": arrived") == 1
    assert "cAnArY" not in said


def test_nothing_to_try_is_said(tmp_path: Path) -> None:
    """Whoever asks believes that somebody would be told."""
    code, said = tried(tmp_path)
    assert (code, "nobody would be told" in said) == (78, True)


def test_a_service_that_failed_is_told_without_keys(tmp_path: Path) -> None:
    """The unit beside the daemon's says so, though the keys may be what is missing; it gives no sign of life."""
    config = written(tmp_path, {}, alerts=[{"webhook": HOOK}], heartbeat={"url": BEAT})
    with respx.mock(assert_all_called=False) as router:
        hook, beat = router.post(HOOK).mock(return_value=httpx.Response(200)), router.get(BEAT)
        result = CliRunner().invoke(app, ["alert-test", "--failed", str(config)])
        assert (result.exit_code, hook.call_count, beat.call_count) == (0, 1, 0)
        assert b'"event":"service.failed","level":"error"' in hook.calls[0].request.content
