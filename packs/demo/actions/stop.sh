#!/bin/sh
set -eu
folder=$(sed -n 's/.*"folder":"\([^"]*\)".*/\1/p')
cd "$folder"
if [ -s pid ]; then
  kill "$(cat pid)" 2>/dev/null || true
  rm -f pid port
fi
echo "stop $TRIPLINE_KEY" >>../ledger
