#!/bin/sh
# Starts Prism so that it neither dies of the terminal's Ctrl-C before Python has acted on it, nor
# outlives Python: a session of its own, a TERM when the parent dies, an end when it stays idle.
set -eu
prism="@PRISM@"
# It needs nothing of the environment of the job, where passwords may be.
set -- env -i PATH="$PATH" HOME="${HOME:-/}" TMPDIR="${TMPDIR:-/tmp}" \
    SPOTIFY_MLOPS_OWNER="${SPOTIFY_MLOPS_OWNER:-}" "$prism" "$@" --idle_shutdown_timeout=60s
if command -v setpriv >/dev/null 2>&1 && setpriv --pdeathsig TERM true 2>/dev/null; then
    set -- setpriv --pdeathsig TERM "$@"
fi
# exec keeps the process that Python started, whose child's death signal counts from it. setsid
# forks only when it leads a group already, which a child of Python does not.
if command -v setsid >/dev/null 2>&1; then
    set -- setsid "$@"
fi
exec "$@"
