"""Runs one Pulumi program: the language host starts this with the project's own Python.

Exit codes: 0 the program ran; 32 it ended with an error that the user has seen; anything else it
failed, and the engine says so.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

# Modules of this directory must not shadow the program's.
sys.path[0] = str(Path(__file__).resolve().parents[2])
from lab.host.watchdog import when_parent_is_gone  # noqa: E402

sys.path.pop(0)

ERROR_SHOWN = 32
"""Exit code for: the user has been told already."""


def main() -> int:
    """Runs the program named on the command line and returns the exit code."""
    when_parent_is_gone(lambda: os._exit(1))
    args = _arguments()
    try:
        import pulumi
        import pulumi.runtime
    except ImportError as error:
        print(
            f"The Pulumi SDK cannot be imported from {sys.prefix}: {error}\n"
            f"Install the project's requirements: {sys.executable} -m pip install -r requirements.txt",
            file=sys.stderr,
        )
        return 1
    pulumi.runtime.set_all_config(
        pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env()
    )
    settings = pulumi.runtime.Settings(
        monitor=args.monitor,
        engine=args.engine,
        project=args.project,
        stack=args.stack,
        parallel=args.parallel,
        dry_run=args.dry_run,
        organization=args.organization,
        root_directory=args.root_directory,
    )
    pulumi.runtime.configure(settings)
    sys.argv = [args.program, *args.args]
    if args.pwd:
        os.chdir(args.pwd)

    # A failed deployment leaves futures behind that nobody awaits; asyncio's complaints about them
    # would bury the real error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # A blocked gRPC call holds a thread, so one thread per parallel operation would starve the rest.
    executor = ThreadPoolExecutor(max_workers=max(args.parallel, 1) * 4)
    loop.set_default_executor(executor)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _run(args.program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:
        shown = _program_traceback(error, Path(args.program).resolve())
        pulumi.log.error(f"Program failed with an unhandled exception:\n{shown}")
        return ERROR_SHOWN
    finally:
        executor.shutdown(wait=True)
        loop.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("project", "root_directory", "stack", "pwd", "monitor", "engine", "organization"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--dry_run", action="store_true")
    parser.add_argument("program")
    parser.add_argument("args", nargs=argparse.REMAINDER)
    return parser.parse_args()


def _run(program: str) -> None:
    path = Path(program)
    if path.is_dir() and not (path / "__main__.py").exists():
        import pulumi

        pulumi.log.error(f"unable to find main python program `__main__.py` in `{path.resolve()}`")
        sys.exit(ERROR_SHOWN)
    runpy.run_path(program, run_name="__main__")


def _program_traceback(error: BaseException, program: Path) -> str:
    """Returns the traceback from the program's first frame on, without the host's frames."""
    start: TracebackType | None = error.__traceback__
    frame = start
    while frame is not None:
        file = Path(frame.tb_frame.f_code.co_filename).resolve()
        if file in (program, program / "__main__.py"):
            start = frame
            break
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, start))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
