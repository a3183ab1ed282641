#!/bin/sh
# Runs ponder with secrets from files: each file of PONDER_SECRETS_DIR whose name is that of a variable becomes it.
set -eu
directory=${PONDER_SECRETS_DIR:-/run/secrets}
for file in "$directory"/*; do
    name=${file##*/}
    case $name in
        *[!A-Z0-9_]* | [!A-Z]*) continue ;;
    esac
    [ -f "$file" ] || continue
    if [ -n "$(printenv "$name" || true)" ]; then
        echo "$name is set, and $file is there as well: take one of the two away" >&2
        exit 2
    fi
    value=$(cat "$file")
    export "$name=$value"
done
exec ponder "$@"
