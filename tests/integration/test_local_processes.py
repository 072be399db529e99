"""Child processes: ready, logged, stopped, killed, restarted; and gone when their parent is."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from syncline.contracts.errors import Fatal
from syncline.local.machine import free_port
from syncline.local.processes import Child, line, run, spawn, url

AllEnded = Callable[[Iterable[int]], Awaitable[None]]

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_output_goes_to_the_log_and_the_environment_is_added_to_ours(tmp_path: Path) -> None:
    child = await spawn(
        "greeter",
        python(
            "import os, sys; print(os.environ['GREETING'], bool(os.environ['PATH'])); print('bad', file=sys.stderr)"
        ),
        log_dir=tmp_path,
        env={"GREETING": "hello"},
    )
    assert await child.wait() == 0
    assert not child.alive
    assert sorted(child.log_tail().splitlines()) == ["bad", "hello True"]


async def test_is_ready_at_a_line_of_its_log(tmp_path: Path) -> None:
    child = await spawn("service", python(STUBBORN), log_dir=tmp_path, ready=line("up"))
    assert child.alive
    assert child.log_tail() == "up"
    assert await child.kill() == -signal.SIGKILL


async def test_is_ready_when_its_address_answers(tmp_path: Path) -> None:
    port = free_port()
    child = await spawn(
        "web",
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        log_dir=tmp_path,
        ready=url(f"http://127.0.0.1:{port}/"),
    )
    assert await child.stop() == -signal.SIGTERM


async def test_one_that_ends_while_starting_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=rf"exit code 3 while starting.*{tmp_path}/service\.log:\nno such topic"):
        await spawn("service", python("print('no such topic'); exit(3)"), log_dir=tmp_path, ready=line("up"))


async def test_one_that_hangs_while_starting_is_ended(tmp_path: Path) -> None:
    child = Child("service", python(STUBBORN), tmp_path, ready=line("never"), ready_timeout=0.3)
    with pytest.raises(Fatal, match=r"not ready after 0\.3 s"):
        await child.start()
    assert not child.alive


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"service cannot be started \(/no/such/program"):
        await spawn("service", ["/no/such/program"], log_dir=tmp_path)


async def test_stop_lets_it_finish(tmp_path: Path) -> None:
    polite = STUBBORN.replace("signal.SIG_IGN", "lambda *_: exit(7)")
    child = await spawn("service", python(polite), log_dir=tmp_path, ready=line("up"))
    assert await child.stop() == 7


async def test_stop_kills_what_does_not_end_in_time(tmp_path: Path) -> None:
    child = await spawn("service", python(STUBBORN), log_dir=tmp_path, ready=line("up"))
    assert await child.stop(grace=0.1) == -signal.SIGKILL


async def test_its_death_is_noticed(tmp_path: Path) -> None:
    child = await spawn("service", python(STUBBORN), log_dir=tmp_path, ready=line("up"))
    watch = asyncio.create_task(child.wait())
    os.kill(child.pid, signal.SIGKILL)
    assert await watch == -signal.SIGKILL
    assert not child.alive


async def test_restart_waits_for_the_new_one_to_be_ready(tmp_path: Path) -> None:
    child = await spawn("service", python(STUBBORN), log_dir=tmp_path, ready=line("up"))
    first = child.pid
    await child.kill()
    await child.restart()
    assert child.pid != first
    assert child.log_tail() == "up\nup"
    assert child.log_since_start() == "up\n"
    await child.kill()


async def test_what_a_child_left_running_ends_with_it(tmp_path: Path, all_ended: AllEnded) -> None:
    leaver = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    child = await spawn("leaver", python(leaver), log_dir=tmp_path)
    assert await child.wait() == 0
    left = int(child.log_tail())
    await all_ended([left])


async def test_a_failing_run_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"(?s)format failed with exit code 1.*bad folder"):
        await run("format", python("import sys; sys.exit('bad folder')"), log_dir=tmp_path)


async def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"was not done after 0\.2 s"):
        await run("format", python(STUBBORN), log_dir=tmp_path, limit=0.2)


async def test_children_end_when_their_parent_is_killed_whichever_thread_started_them(
    tmp_path: Path, all_ended: AllEnded
) -> None:
    parent = await spawn(
        "parent",
        python(
            textwrap.dedent(f"""
                import asyncio, threading
                from pathlib import Path
                from syncline.local.processes import spawn, line

                async def main(name):
                    child = await spawn(name, ["sleep", "60"], log_dir=Path({str(tmp_path)!r}))
                    print("child", child.pid, flush=True)

                thread = threading.Thread(target=lambda: asyncio.run(main("one")))
                thread.start()
                thread.join()
                asyncio.run(main("two"))
                print("up", flush=True)
                threading.Event().wait()
            """)
        ),
        log_dir=tmp_path,
        ready=line("up"),
    )
    children = [int(row.split()[1]) for row in parent.log_tail().splitlines() if row.startswith("child")]
    assert len(children) == 2
    for pid in children:
        os.kill(pid, 0)  # it runs: the end of the thread that started one did not end it
    await parent.kill()
    await all_ended(children)
