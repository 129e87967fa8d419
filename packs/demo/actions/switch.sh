#!/bin/sh
# A new link, renamed over the old one: there is a current release at every moment.
set -eu
folder=$(sed -n 's/.*"folder":"\([^"]*\)".*/\1/p')
cd "$folder/.."
ln -sfn "$(basename "$folder")" .current
mv -T .current current
echo "switch $TRIPLINE_KEY" >>ledger
