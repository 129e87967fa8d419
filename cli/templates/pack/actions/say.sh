#!/bin/sh
# A program: JSON in on stdin, JSON out on stdout, what it logs on stderr.
set -eu
input=$(cat)
echo "saying $input" >&2
echo "$input"
