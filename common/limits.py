"""Every bound on a size or a time, in one place."""

#: Version of the messages, the ledger and the heartbeats. It is in the queues' names, and both sides refuse any other.
PROTOCOL = 3

#: Items. The most that travel as one Celery task.
MAX_SHARD_ITEMS = 4096
#: Bytes. What comes to a worker through its queue or as a command: real ones have less than one thousand.
MAX_MESSAGE_BYTES = 1 << 16
#: Files that a worker is asked about in one question.
MAX_ASKED = 16
#: Bytes. A run's options in Redis: a command line of paths is all that can make them long.
MAX_SPEC_BYTES = 16 << 20
#: Bytes. A shard's packed list of paths in Redis, unless its one path is longer.
MAX_SHARD_BYTES = 1 << 20
#: Bytes. The encoded result of one shard. 1,024 boxes an image keep real ones far below.
MAX_RESULT_BYTES = 256 << 20
#: Bytes of it before the detections: a record an item, and an error text in each.
MAX_HEAD_BYTES = 16 << 20
#: Bytes. A path relative to the dataset's root (Linux allows 4,096 for the whole).
MAX_PATH_BYTES = 4096
#: Characters. An error text in a row.
MAX_ERROR_CHARS = 300
#: Bytes. An image file. Larger ones fail as `too_large` before they are read.
MAX_FILE_BYTES = 2 << 30
#: Times that a URL is tried, and seconds before the second time; twice as many before the next, each time.
FETCH_ATTEMPTS, FETCH_BACKOFF_S = 4, 0.5
#: Seconds. The default of MANYEYES_FETCH_TIMEOUT, for each attempt: all of them end before --image-timeout does.
FETCH_TIMEOUT_S = 60.0
#: Seconds for which a web server may take no connection, or say nothing, before the attempt has failed.
CONNECT_S, SILENCE_S = 10.0, 20.0
#: Redirects that one image's URL may take.
MAX_REDIRECTS = 5
#: Seconds for which an owner looks at one image in between: its lease is longer.
GLANCE_S = 4.0
#: Seconds. The default of --image-timeout: far more than any image should take, far less than a night.
DEFAULT_IMAGE_TIMEOUT_S = 300.0
#: Characters of a name that a worker gives itself; and UTC seconds: the end of the year 9999.
MAX_NAME, MAX_INSTANT = 512, 253_402_300_800.0
#: Pixels. The longest side that --imgsz takes.
MAX_SIDE = 8192
#: Pixels. The default of --max-pixels, checked from the header.
DEFAULT_MAX_PIXELS = 200_000_000
#: Boxes an image that enter non-maximum suppression, the best first, per detector.
MAX_CANDIDATES = 4096

#: Seconds between a process's heartbeats.
HEARTBEAT_S = 1.0
#: Seconds. How long a heartbeat proves life. Ten missed beats: a paused virtual machine is not yet a death.
HEARTBEAT_LIFE_S = 10.0
#: Seconds. How long a detector's description outlives the last heartbeat that served it.
DETECTOR_LIFE_S = 60.0
#: Seconds. How long an owner's lease lasts without renewal; it is renewed once a second.
LEASE_LIFE_S = 10.0
#: Seconds. An open, unclaimed shard is overdue this long after a later one was claimed or its queue ran empty.
OVERDUE_S = 10.0
#: Seconds. Keys of finished runs stay this long for `status` on other machines.
FINISHED_LIFE_S = 7 * 24 * 3600

#: Seconds of work per process that wait in the queue, beside the shard at work: what an owner may take to hear of a
#: shard's end, write it to disk and send the next; and what a run that comes second waits for its first shard's turn.
QUEUED_S = 2.0
#: Shards in flight (sent, not yet collected) per process, at most, however short they are.
WINDOW_SHARDS = 16
#: Shards a second that one owner opens, sends, collects and frees with ease: each takes it 1.4 ms of CPU.
OWNER_SHARDS_PER_S = 250
#: Weight of a run among those that share a queue; the greatest that it may have.
DEFAULT_PRIORITY, MAX_PRIORITY = 1, 100
#: Seconds for which an owner that says nothing more keeps its share; it says so once a second.
SHARE_LIFE_S = 5
#: Seconds of work in a process's first shard: small, so that the first result comes soon.
FIRST_SHARD_S = 0.5
#: Seconds of work in a shard once the speed is known.
SHARD_S = 2.0
#: Seconds at one shard after which a process commits what it has done of it, and hands back the rest: images that
#: became slow hold nothing up, and a death costs no more than that.
LONG_SHARD_S = 5.0
#: Shards into which such a rest is split at once, at most.
MAX_PIECES = 64
#: Deaths of processes that looked at one image alone, after which it is given up.
MAX_DEATHS = 3
#: Processes that may vanish with one shard, nobody knowing at which image, before it is split.
MAX_LOSSES = 2
#: Times that a living process may drop one shard without a result before it is split, or its one image given up.
MAX_DROPS = 3
#: Second attempts of one slow shard: two, for the first may fall to a slow process as well.
MAX_SECOND_ATTEMPTS = 2
#: Seconds for which a claim is watched before it can be called slow: heartbeats are up to one old. And of how many its
#: pace is taken: a machine that was fast until now is as slow as it is now.
SLOW_SEEN_S, SLOW_RECENT_S = 3.0, 5.0
#: A second attempt is sent where the first needs more than this many times what an idle process takes for the whole
#: shard, and seconds above that: less is not worth a process.
SLOW_TIMES, SLOW_LEAST_S = 2.0, 5.0
#: Sendings of one shard after which the run stops, resumable: something is wrong that sending again cannot mend.
MAX_ATTEMPTS = 100
#: Results of one shard that cannot be read, after which the run stops.
MAX_UNREADABLE = 3

#: Bytes of images that an owner may have in Redis, by default, where workers don't see the files.
SHIP_WINDOW_BYTES = 256 << 20
#: Bytes of images in one shard then, at most, unless its one image is larger: reading them must not hold the owner up.
SHIPMENT_BYTES = 32 << 20
#: Seconds for which an owner waits for them to be read and sent; then it comes again, for its lease is short.
SHIPMENT_S = 2.0
#: Seconds that the server may take for one of them: 500 MB over a slow network.
CARGO_LOAD_S = 600.0
#: Bytes. Redis takes no larger value.
MAX_CARGO_BYTES = 512 << 20
#: Seconds for which a process tries to reach the server with its images' bytes.
CARGO_PATIENCE_S = 30.0
#: Seconds for which cargo outlives its owner's last word.
CARGO_LIFE_S = 600
#: Images whose bytes a process asks for before their turn comes, where they come through a network.
FETCH_AHEAD = 8
#: Seconds after which a process waits no longer for an image's bytes: more than all attempts at a URL together.
FETCH_LIMIT_S = 600.0
#: Seconds for a worker to say whether it sees a file.
SIGHT_S = 6.0

#: Seconds between a worker's looks at its pool processes.
WATCH_S = 0.25
#: Seconds for which a broker may be away, or do its work later, before its owner gives up, resumable; before a process
#: drops a finished shard; and before a worker that starts ends.
BROKER_PATIENCE_S = 120.0
#: Seconds for which a starting worker waits for a broker that is not there, or refuses it.
BROKER_START_S = 10.0
#: Seconds after which `worker health` calls waiting messages and idle processes, or a slow start, ill.
IDLE_ILL_S, START_ILL_S = 30.0, 180.0
#: Seconds after which `worker health --local` calls a worker ill that still loads its models: downloads take a while.
LOAD_ILL_S = 900.0
#: Seconds after a TERM at which a worker kills its processes that have not ended, and more at which it ends itself,
#: whatever the broker does: 25 together, for Kubernetes kills after 30.
ENDING_S, GOODBYE_S = 20.0, 5.0
