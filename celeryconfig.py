"""Celery's settings, read by the API's gateway and by every worker. Each number has its reason.

Celery is the bell, not the memory: a message may be lost or doubled, the mailbox row decides.
"""

from weelo_workers import redis_url
from weelo_workers.settings import ConfigurationError, settings

try:
    settings()
except ConfigurationError as unusable:
    raise SystemExit(f"weelo: {unusable}") from None  # one line, where Celery would print ninety

_broker = redis_url.read(settings().broker_url).for_celery()
broker_url = _broker["broker_url"]
broker_use_ssl = _broker["broker_use_ssl"]
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # a worker waits for Redis as long as it takes
broker_channel_error_retry = (
    True  # also if Redis refuses commands: it is a replica, is full, or denies them to this user
)
worker_consumer = "weelo_workers.app:BackoffConsumer"
broker_transport_options = {
    "socket_timeout": 5,  # without it a publisher hangs for ever on a hung Redis
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "priority_steps": [0],  # one list per queue instead of four
    "unacked_restore_interval": 5,
    "visibility_timeout": 3600,  # longer than any countdown: a shorter one makes countdowns run several times
    "global_keyprefix": "weelo:celery:",
}

task_serializer = "json"
accept_content = ["json"]
task_ignore_result = True  # the outcome is a row, not a result
task_acks_late = True
task_reject_on_worker_lost = True  # else a killed child acknowledges and loses its message
task_store_errors_even_if_ignored = False
worker_prefetch_multiplier = 1
# A verb that hangs outside of the database, whose own limits are shorter: the child is replaced, the row is left. The
# notifier's threads cannot be ended so; what hangs there would be FCM, which has 10 s.
task_time_limit = 60
worker_cancel_long_running_tasks_on_connection_loss = False
worker_hijack_root_logger = False
worker_proc_alive_timeout = 30
worker_send_task_events = False  # three more messages per task: Flower switches them on while it watches
task_send_sent_event = False  # one more message per command, for nothing that Flower needs
worker_enable_remote_control = True
enable_utc = True
