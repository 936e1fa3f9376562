"""`python -m tests.faults`"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    import os

    from tests.conftest import SECRET

    os.environ["JWT_SECRET"] = SECRET
    from tests.faults.play import perform

    def reckon(play, stage, town):
        from tests.faults.reckoning import reckon
        from tests.faults.leftovers import Usage
        import time

        t = time.time()
        for c in reckon(stage, town):
            print("OK " if not c.wrong else "BAD", c.sentence, "|", c.figure, "|", len(c.wrong), c.wrong[:6])
        print(time.time() - t, "s to count")
        print(play.usage_before)
        print(Usage.now(stage))
        print([(a.what, round(a.ended - a.began, 1)) for a in stage.away])

        print(
            __import__("collections").Counter(
                r.name for r in stage.rows("select name from mailbox where queue='timers' and sweeps>0")
            )
        )
        open("/tmp/wt/ledger-sys.log", "w").write("".join(stage.system.printed))

    with tempfile.TemporaryDirectory() as t:
        os.chmod(t, 0o755)
        perform(
            Path(t) / "data",
            int(sys.argv[1]),
            float(sys.argv[2]),
            reckon=reckon,
            tell=lambda s: print(s, flush=True),
        )
