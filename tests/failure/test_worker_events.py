"""Celery's events of a worker, while its broker is gone."""

from __future__ import annotations

import threading
from typing import Any

from chaos.broker import Broker
from common.broker.connect import celery_app
from tests.waiting import wait_until


def test_an_event_that_cannot_be_sent_holds_nobody_up_and_is_sent_later(own_broker: Broker) -> None:
    app = celery_app(own_broker.url)
    app.events.dispatcher_cls = "worker.intake.consumer:Dispatcher"
    dispatcher: Any = app.events.Dispatcher(app.connection_for_write(), hostname="a-worker")
    dispatcher.send("worker-online")
    own_broker.kill()

    sending = threading.Thread(target=lambda: dispatcher.send("worker-heartbeat", retry=True), daemon=True)
    sending.start()
    sending.join(10)
    assert not sending.is_alive(), "it would sleep in the loop that takes messages"

    own_broker.start()
    client: Any = own_broker.client
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.psubscribe("*celeryev*")
        listener.get_message(timeout=10)
        dispatcher.flush()
        heard = wait_until(lambda: listener.get_message(timeout=1), what="the event")
    assert b"worker.heartbeat" in heard["channel"]
    dispatcher.connection.close()
