"""Nothing is posted to an endpoint with a wrong certificate; with the right one it gets the whole log, in order."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from tests.support.tls import Authority, TlsProxy
from tests.support.waiting import eventually
from tests.support.webhook_receiver import WebhookReceiver
from tests.webhooks.hooks import Hooks


def test_HOOK_01_after_a_wrong_certificate_and_410_every_line_has_arrived_or_is_listed(
    hooks: Hooks, receiver: WebhookReceiver, authority: Authority, tmp_path: Path
) -> None:
    plain = f"http://{urlsplit(receiver.url).netloc}"
    wrong = Authority(tmp_path, "stranger").certificate("127.0.0.1")
    with TlsProxy(plain, wrong) as bad, TlsProxy(plain, authority.certificate("127.0.0.1")) as good:
        webhook = hooks.create(f"https://127.0.0.1:{bad.port}/hook")
        hooks.write(3)
        hooks.wait_until_failed(webhook)
        assert "certificate verify failed" in hooks.row(webhook).last_error
        assert receiver.messages == []
        hooks.update(webhook, url=f"https://127.0.0.1:{good.port}/hook")
        hooks.wait_until_delivered(webhook, 5)
        assert receiver.seqs() == hooks.log()
        receiver.status = 410
        hooks.write(2)
        eventually(lambda: not hooks.row(webhook).is_active)
        hooks.world.drain()
        failed = [each["seq"] for each in hooks.deliveries(webhook, "failed")]
        succeeded = [each["seq"] for each in hooks.deliveries(webhook, "succeeded")]
        assert sorted(succeeded + failed) == hooks.log()
        assert succeeded == [5, 4, 3, 2, 1]
