#!/usr/bin/env bash
# A tree of pictures there and back:  bash examples/batch.sh [PICTURES [OUT]]
set -euo pipefail
pictures=${1:-$(dirname "$0")} out=${2:-out}

# Pictures that were encoded before are left alone; a bad one costs its own line, and exit code 3 at the end.
osdc encode "$pictures" -o "$out/coded" --lambda 1 --skip-existing --jobs 2

# Any list of names will do, here the files of less than 100 kB; one JSON line for each goes to stdout.
find "$out/coded" -name '*.osd' -size -100k -print0 |
    osdc decode --files-from - -0 -o "$out/decoded" --json > "$out/decoded.jsonl"
wc -l "$out/decoded.jsonl"
