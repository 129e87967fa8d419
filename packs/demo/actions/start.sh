#!/bin/sh
# Starts ./serve of the release in a session of its own, so that it outlives this step.
set -eu
given=$(cat)
of() { printf %s "$given" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }
folder=$(of folder)
cd "$folder"
if ! { [ -s pid ] && kill -0 "$(cat pid)" 2>/dev/null; }; then
  rm -f port
  APP_KEY=$(of key) setsid ./serve port </dev/null >serve.log 2>&1 &
  echo $! >pid
fi
until [ -s port ]; do sleep 0.1; done
echo "start $TRIPLINE_KEY" >>../ledger
echo "{\"url\": \"http://127.0.0.1:$(cat port)\"}"
