"""The console script `weelo`: runs the command line in an interpreter that no PYTHON… variable has changed.

PYTHONPATH, PYTHONOPTIMIZE, PYTHONWARNINGS and the like are often set for other programs. They take effect before our
first line of code runs, so the interpreter is replaced by one without them.
"""

import os
import sys

from weelo_workers import bootstrap, otel_variables
from weelo_workers.python_variables import harmless

INTERRUPTED = 128 + 2  # the exit code that shells report for a program that SIGINT has ended
# The same value as in weelo_workers/cli/, which cannot be imported here: it needs packages that may not be installed.
REFUSED = 2


def main() -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**others, **harmless(os.environ)}
    if environment != dict(os.environ):
        command = [sys.executable, "-P", "-m", "weelo_workers.entry", *sys.argv[1:]]
        os.execve(sys.executable, command, environment)  # noqa: S606 (the same program with the same arguments)
    bootstrap.tune_garbage_collector()
    otel_variables.remove_others()
    try:
        from weelo_workers.cli import main as weelo  # noqa: PLC0415

        weelo()
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("weelo_"):
            raise
        # `pip install weelo` installs the client only, so the packages of the server may be missing.
        sys.stderr.write(f"weelo: the package {missing.name} is missing; run: pip install 'weelo[server]'\n")
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        # The imports were interrupted, so a traceback would not help.
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
