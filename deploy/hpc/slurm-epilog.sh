#!/bin/bash
# For administrators: `Epilog=` in slurm.conf. After each job, what its user left complete is published, as that user, if
# the user has settings of sealrun. It runs as root and without a PATH, and holds the node for two minutes at most.
# It always ends with 0: any other exit code would drain the node.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

sealrun=${SEALRUN_PROGRAM:-/opt/sealrun/bin/sealrun}
user=${SLURM_JOB_USER:-}
[ -n "$user" ] && [ "$user" != root ] && [ -x "$sealrun" ] || exit 0
home=$(getent passwd "$user" | cut -d: -f6)

# Everything that looks into the home runs as the user: root may be nobody there, and must not follow a user's links.
# shellcheck disable=SC2016 # the inner shell expands
runuser -u "$user" -- env -i HOME="$home" USER="$user" PATH="$PATH" \
  timeout --kill-after=10 120 nice -n 19 /bin/sh -c '
    settings=$HOME/.config/sealrun/sealrun.toml
    [ -r "$settings" ] || exit 0
    cd "$HOME" && exec "$0" --config "$settings" --quiet scan --once
  ' "$sealrun" </dev/null >/dev/null 2>&1
exit 0
