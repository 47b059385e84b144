#!/bin/sh
# Folders in, the .env of docker-compose.yml with random passwords out; one that is there is left as it is.
# usage: compose-init.sh ENV_FILE DATA RUNS
set -eu

file=$1
if [ -e "$file" ]; then
  echo "error: $file is there already; it holds the passwords of what runs: edit it, or remove it and begin again" >&2
  exit 2
fi

# Nothing runs as root: for root itself, the image's own user does.
run_as=${SUDO_UID:-$(id -u)}:${SUDO_GID:-$(id -g)}
case $run_as in 0:*) run_as=10001:10001 ;; esac

mkdir -p "$2" "$3"
[ "$(id -u)" != 0 ] || chown "$run_as" "$3"
data=$(cd "$2" && pwd)
runs=$(cd "$3" && pwd)

password() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# Written aside and moved: half a file would be taken for a whole one.
umask 077
cat > "$file.new" <<VALUES
# For docker-compose.yml; docs/containers.md says what each does. Keep it: it holds passwords.
DATA=$data
RUNS=$runs
# The user and group, by number, who read DATA and own what is in RUNS.
RUN_AS=$run_as
# What workers serve: a name, or a model file in DATA, as /data/best.onnx.
DETECTOR=hog
# Processes in each worker container; 0: one a core. With --scale worker=N, share the cores out.
CONCURRENCY=0
# What the broker may hold; when that is full it refuses, and forgets nothing.
BROKER_MEMORY=1gb
MANYEYES_ACL_PRODUCER_PASSWORD=$(password)
MANYEYES_ACL_WORKER_PASSWORD=$(password)
MANYEYES_ACL_MONITOR_PASSWORD=$(password)
FLOWER_PASSWORD=$(password)
GRAFANA_PASSWORD=$(password)
VALUES
mv "$file.new" "$file"

echo "wrote $file: images from $data, results to $runs, as user $run_as"
echo "next:  docker compose up --detach   and   docker compose run --rm producer submit /data"
