"""`python -m ops.generate`: bring the generated files of ops/ up to date.

With `--runbook URL`: print Prometheus' rules with links to the runbook at this address, and write no file.
"""

import argparse

from ops.generate.files import as_yaml, write
from ops.generate.pace import Pace
from ops.generate.prometheus import rules

parser = argparse.ArgumentParser(prog="python -m ops.generate")
parser.add_argument(
    "--runbook", metavar="URL", help="print the rules with links to this page, and write no file"
)
runbook = parser.parse_args().runbook
if runbook:
    print(as_yaml(rules(Pace(), runbook)), end="")  # noqa: T201
else:
    for changed in write():
        print(f"wrote {changed}")  # noqa: T201
