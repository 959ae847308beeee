#!/bin/sh
# A rehearsal of what an operator does with a running installation, on this machine: two receivers and two workers as the Procfile starts
# them, behind nginx and Caddy with the files of this folder, over a Redis with redis.conf, with a sandbox in place of Buildr. Under signed
# traffic it upgrades from the release before, rolls back, upgrades again, restarts each part, backs Redis up, loses and restores it, and
# counts every message that was acknowledged. It takes about four minutes, needs no rights, and leaves nothing behind.
#
#   deploy/rehearse.sh                        needs nginx or caddy, and git for the release before
#   deploy/rehearse.sh --previous v0.1.0      another release before
#   deploy/rehearse.sh --help
set -eu
cd "$(dirname "$0")/.."
make --no-print-directory .venv/.dev
exec .venv/bin/python -m tests.rehearsal "$@"
