"""Environment in, the Celery app out, for `worker start` and for `celery -A worker.app worker` alike.

The one module whose import has an effect: it builds the app. Before a worker serves anything, its models are
checked in a child process; each pool process then loads them for itself, after the fork.
"""

from __future__ import annotations

import atexit
import logging
import logging.handlers
import os
import signal
import sys
from typing import Any, cast

# Before numpy or an engine is loaded, here and in every pool process: one thread each.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import billiard.pool
import redis
from billiard.process import current_process
from celery import Celery, signals
from celery.utils.log import get_multiprocessing_logger
from celery.worker.control import inspect_command
from kombu import Queue

from common import logs
from common.broker.connect import celery_app, refuse_wrong
from common.errors import ExitCode, ManyeyesError, ProtocolError, UsageError, line_of
from common.protocol.detector_info import DetectorInfo
from common.protocol.file_probe import SIGHT_COMMAND
from common.protocol.messages import DETECT_TASK, ShardMessage, task_queue
from common.settings import Settings
from worker import flower_settings, naming
from worker.intake.rejection_counter import Refusals
from worker.pool import deadline

log = logging.getLogger("manyeyes.worker")

settings = Settings()
try:
    app: Celery = celery_app(settings.broker_url)
except UsageError as error:
    # Plain `celery` would show how it came to import this.
    print(f"error: {error}", file=sys.stderr)
    sys.exit(ExitCode.USAGE)
app.conf.worker_consumer = "worker.intake.consumer:Consumer"
app.events.dispatcher_cls = "worker.intake.consumer:Dispatcher"
if flower_settings.asked_for():
    if settings.broker_url is None:
        print("error: no broker: set MANYEYES_BROKER_URL=redis://HOST:6379/0", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    try:
        refuse_wrong(settings.broker_url)
    except UsageError as error:
        logs.last_words(str(error), logs.wanted())
        sys.exit(ExitCode.USAGE)
    flower_settings.prepare(settings.broker_url, settings.cache)
    app.conf.broker_transport_options.update(flower_settings.broker_options(settings.broker_url))

#: Set in a pool process by `_load`. One per process, as Celery's own signals are.
_process: Any = None
#: The digests that the check found; a pool process refuses to serve anything else.
_checked: list[DetectorInfo] = []
#: What the pool processes are at; its memory is shared with them by the fork.
_recorder: Any = None
#: What may be read, as it was when the worker started.
_roots: Any = None
_warden: Any = None
_beacon: Any = None
#: What the worker's parent has refused, before any pool process saw it.
_refusals = Refusals()
_ended_with: list[int] = []
#: Tenths of a second for which a pool process that ends waits until its parent has read all that it said to Celery.
_LAST_READS = 10
#: The Celery node's name, as Flower shows it; set before the pool forks.
_node = ""


# Refused, not retried: sending it again cannot make it right. Expected, to Celery: no traceback.
@app.task(name=DETECT_TASK, throws=(ProtocolError,))
def detect(**kwargs: Any) -> str:
    """Look at one shard: a thin edge around PoolProcess.work. What became of it is for Flower; nobody stores it."""
    try:
        outcome: str = _process.work(ShardMessage.from_kwargs(kwargs))
    except ProtocolError as error:
        _process.refuse(error)
        raise
    except redis.RedisError as error:
        # Whoever owns the run sends the shard again.
        outcome = f"given up: {line_of(error)}"
    log.info("%s", outcome)
    return outcome


@inspect_command(name=SIGHT_COMMAND, args=[("root", str), ("paths", list), ("cargo", str)])
def _sight(state: Any, root: str, paths: list[str], cargo: str) -> dict[str, Any]:
    """In the parent, for a producer that asks whether this machine sees its files."""
    from worker.reading import file_probe

    client = _client()
    try:
        return file_probe.answer(client, _roots, root, paths, cargo).to_json()
    finally:
        client.close()


@signals.setup_logging.connect
def _log(loglevel: int, logfile: str | None, **_: Any) -> None:
    """Every line of parent and pool processes, Celery's own, billiard's, and what libraries print, in our form."""
    handler = logging.handlers.WatchedFileHandler(logfile, encoding="utf-8") if logfile else None
    logs.setup(logs.Form.parse(settings.log), loglevel, handler)
    billiard = cast(logging.Logger, get_multiprocessing_logger())
    billiard.propagate = True
    billiard.setLevel(logging.ERROR)
    # What it says of a message that has come, its `_received` says with the shard.
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    logging.getLogger("celery.worker.request").addFilter(_said_otherwise)
    app.log.redirect_stdouts(cast(Any, "WARNING"))


def _said_otherwise(record: logging.LogRecord) -> bool:
    """Celery's word on a process that it lost does not name the shard: `_lost` does."""
    return not str(record.msg).startswith("Task handler raised error")


@signals.task_received.connect
def _received(request: Any, **_: Any) -> None:
    log.info("received", extra=_about(request.kwargs))


@signals.task_failure.connect
def _lost(exception: BaseException, kwargs: Any, **_: Any) -> None:
    """In the parent; what fails in a pool process has its traceback there."""
    if _process is None:
        log.error("its process is lost: %s", exception, extra=_about(kwargs))


@signals.task_postrun.connect
def _over(**_: Any) -> None:
    logs.here(run=None, shard=None, attempt=None)


def _about(kwargs: Any) -> dict[str, Any]:
    """Of a message: nothing where it is none of ours."""
    try:
        message = ShardMessage.from_kwargs(kwargs)
    except (ProtocolError, AttributeError):
        return {}
    return logs.about(run=message.run, shard=str(message.shard), attempt=message.attempt)


@signals.celeryd_init.connect
def _check(sender: str, instance: Any, options: dict[str, Any], **_: Any) -> None:
    """Check the models, then serve their queues. SystemExit ends the worker before it says that it is ready."""
    global _beacon, _node, _recorder, _roots
    from worker import preflight, startup
    from worker.intake.filtered_channel import guard
    from worker.pool.local_health import Beacon
    from worker.pool.shared_state import Recorder
    from worker.reading.roots import Roots

    # Before the first connection.
    guard(_refusals, settings.remote_control)
    _node = instance.hostname = naming.own(sender)
    _recorder, _beacon = Recorder(), Beacon(_node)
    logs.here(worker=_node)
    form = logs.Form.TEXT
    try:
        form = logs.Form.parse(settings.log)
        if form is logs.Form.JSON:
            # Celery writes a banner and a farewell there, as text.
            instance.quiet = True
            cast(Any, sys).__stdout__ = None
        # Celery's warnings come before it sets up its log.
        logs.setup(form, options.get("loglevel") or logging.INFO)
        if settings.broker_url is None:
            raise UsageError(
                "no broker: set MANYEYES_BROKER_URL=redis://HOST:6379/0, or pass --broker to `worker start`"
            )
        _roots = Roots.parse(settings.roots, settings.map)
        startup.check_locks()
        atexit.register(_beacon.end)
        _beacon.loading()
        child = preflight.start()
        try:
            # Meanwhile: Celery itself would try for ever.
            startup.await_broker(settings.broker_url, _node)
            _checked[:] = preflight.finish(child)
            _beacon.loaded()
        finally:
            child.kill()
    except ManyeyesError as error:
        logs.last_words(str(error), form if form is logs.Form.JSON else logs.wanted())
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    app.conf.broker_transport_options["ack_emulation"] = True
    app.conf.task_queues = [Queue(name, routing_key=name) for name in (task_queue(info.queue) for info in _checked)]
    for info in _checked:
        speed = f"{info.ms_per_image:.1f} ms an image"
        log.info("serves %s: %s, %d classes, %s", info.queue, info.family, len(info.labels), speed)
        if info.caution:
            log.info("%s: %s", info.queue, info.caution)


@signals.worker_process_init.connect
def _load(**_: Any) -> None:
    """In each pool process, after the fork."""
    global _process
    try:
        from worker import preflight
        from worker.pool import process

        process.one_thread()
        # An ending parent no longer reads of a shard that came just then, and a process would wait for that for 30 s.
        # What it has to tell is in the ledger.
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _LAST_READS
        detectors = preflight.load_all(settings)
        if [d.info.digest for d in detectors] != [info.digest for info in _checked]:
            raise UsageError("the model file has changed since this worker started; start it again")
        slot = _recorder.slot(getattr(current_process(), "index", 0))
        _process = process.PoolProcess(_client(), detectors, _node, slot, _roots)
    except Exception as error:
        # Celery would log this and serve tasks without a model. The whole worker ends instead.
        log.error("error: %s", line_of(error) or error)
        _recorder.fail()
        os.kill(os.getppid(), signal.SIGTERM)
        raise


@signals.worker_ready.connect
def _watch(sender: Any, **_: Any) -> None:
    """In the parent, once the pool is up."""
    global _warden
    from worker.pool.watchdog import Post, Warden

    queues = tuple(info.queue for info in _checked)
    post = Post(_node, sender.pool.num_processes, settings.memory_limit << 20, queues)
    _warden = Warden(_client(), _recorder, post, _refusals, _beacon)
    _warden.start()


@signals.worker_shutting_down.connect
def _give_back(**_: Any) -> None:
    """TERM: pool processes hand their shards back between two images, and need not finish them."""
    if _recorder is not None:
        _recorder.end()
    deadline.begin(_ended_badly, _tidy)


@signals.worker_shutdown.connect
def _end(sender: Any, **_: Any) -> None:
    """An end for want of a detector is no good end, though it comes by TERM: who restarts workers looks at this."""
    deadline.begin(_ended_badly, _tidy)
    if _warden is not None:
        _warden.end()
    _tidy()
    if _ended_badly():
        sender.exitcode = ExitCode.ERROR
    _ended_with[:] = [sender.exitcode or ExitCode.OK]


def _ended_badly() -> bool:
    return _recorder is not None and _recorder.failed


def _tidy() -> None:
    if _beacon is not None:
        _beacon.end()


def exit_code() -> int:
    """Of the worker that has ended in this process: Celery's `worker_main` keeps it to itself."""
    return _ended_with[0] if _ended_with else ExitCode.ERROR


@signals.worker_process_shutdown.connect
def _leave(**_: Any) -> None:
    if _process is not None:
        _process.pulse.end()


def _client() -> Any:
    from common.broker.connect import client

    assert settings.broker_url is not None  # checked before any process starts
    # A process that replaces a dead one must come up while the broker is gone.
    return client(settings.broker_url)
