"""Celery's settings, read by the API's gateway and by every worker, with the reason for each number.

Celery messages only wake workers. A message may be lost or duplicated, because the mailbox row decides what is executed.
"""

from weelo_workers import rabbitmq_url, redis_url
from weelo_workers.contracts.command import PRIORITIES
from weelo_workers.settings import ConfigurationError, settings

try:
    settings()
except ConfigurationError as unusable:
    raise SystemExit(f"weelo: {unusable}") from None  # other exceptions print a traceback of ninety lines

_on_rabbitmq = rabbitmq_url.is_rabbitmq(settings().broker_url)
_broker = (
    rabbitmq_url.for_celery(settings().broker_url)
    if _on_rabbitmq
    else redis_url.read(settings().broker_url).for_celery()
)
broker_url = _broker["broker_url"]
broker_use_ssl = _broker["broker_use_ssl"]
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # a worker tries to connect for as long as the broker is unavailable
broker_channel_error_retry = (
    True  # also retry if Redis is connected but refuses commands: it is a replica, is full, or has an ACL
)
worker_consumer = "weelo_workers.app:BackoffConsumer"
broker_transport_options = {
    "socket_timeout": 5,  # without a time-out a publisher would wait for ever for a Redis that hangs
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # Each queue has one list in Redis for each of these priorities. The list of priority 0 has the name of the queue,
    # the others have longer names.
    "priority_steps": list(PRIORITIES),
    "unacked_restore_interval": 5,
    "visibility_timeout": 3600,  # longer than any countdown, or Redis would deliver its message twice
    "global_keyprefix": "weelo:celery:",
}
if _on_rabbitmq:
    broker_connection_timeout = 2
    # Heartbeats every 10 s detect a lost connection within 20 s. Until then the sweep executes the commands.
    broker_heartbeat = 10
    # `confirm_publish`: otherwise a message to a RabbitMQ that hangs would count as sent.
    broker_transport_options = {"read_timeout": 5, "write_timeout": 5, "confirm_publish": True}
    task_queue_max_priority = max(PRIORITIES)
    # A message that a restart of RabbitMQ loses is replaced by the sweep, and writing each to the disk would cost
    # milliseconds per command.
    task_default_delivery_mode = "transient"

task_serializer = "json"
accept_content = ["json"]
task_ignore_result = True  # the outcome is stored in the mailbox row
task_acks_late = True
task_reject_on_worker_lost = True  # if false, the message of a killed process would be acknowledged and lost
task_store_errors_even_if_ignored = False
worker_prefetch_multiplier = 1
# This limit ends a handler that hangs outside the database; the database's own limits are shorter. The child process is
# then replaced, and the command's row stays in the mailbox. The limit does not apply to the threads of the notifier. In
# these threads only a request to FCM can hang, and such a request has a time limit of 10 s.
task_time_limit = 60
worker_cancel_long_running_tasks_on_connection_loss = False
worker_proc_alive_timeout = 30
# These events are three messages per task; Flower enables them while it is in use.
worker_send_task_events = False
task_send_sent_event = False  # this event is one message per command, and Flower does not need it
worker_enable_remote_control = True
enable_utc = True
