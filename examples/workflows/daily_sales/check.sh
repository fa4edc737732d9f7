#!/usr/bin/env bash
# check.sh FOLDER CENTS: the orders in FOLDER's files must add up to CENTS. Prints {"rows": …}, the task's output.
set -euo pipefail
shopt -s nullglob

priced=("$1"/*.csv)
[ "${#priced[@]}" -gt 0 ] || { echo '{"rows": 0}'; exit 0; }

read -r rows cents < <(awk -F, 'FNR > 1 { rows += 1; cents += $4 } END { print rows + 0, cents + 0 }' "${priced[@]}")
if [ "$cents" -ne "$2" ]; then
  echo "the priced files add up to $cents cents, the tasks said $2" >&2
  exit 1
fi
echo "{\"rows\": $rows}"
