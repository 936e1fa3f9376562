"""Celery's command line for our application: `python -m weelo_workers worker …`, `… beat …` and `… flower …`."""

import sys

from weelo_workers import bootstrap

if __name__ == "__main__":
    bootstrap.start_server(*bootstrap.origin_of_celery(sys.argv), share_metrics="flower" not in sys.argv[1:])
    sys.argv.insert(1, "--app=weelo_workers.app")

    from celery.__main__ import main

    main()
