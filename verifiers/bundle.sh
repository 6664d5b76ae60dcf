#!/bin/bash
# Checks an evidence bundle that `fdr bundle` wrote, unpacked.
#
#   verify.sh DIR KEY
#
# KEY is the log's public key as text (name+id+key), or a file with it. Have it from elsewhere: somebody who made everything
# anew has put his own key into the bundle.
#
# Shares no code with fdr and needs nothing but note.sh beside it, bash, sed, grep, find, openssl and GNU coreutils 8.31. Slow where there are
# many records (about a hundred a second): verify.py does the same.
#
# Exit status: 0 everything is proven, 1 not, 2 it could not be checked.
set -euo pipefail
export LC_ALL=C

. "$(dirname "$0")/note.sh"
problem() { printf 'PROBLEM       %s\n' "$(printf '%s' "$*" | tr -c '[:print:]' '?' | head -c 300)"; BAD=yes; }
BAD=

[ $# = 2 ] && [ -d "$1" ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
for command in openssl sha256sum basenc find; do command -v $command > /dev/null || unusable "there is no $command"; done
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
use_key "$2"
cd "$1"
for file in manifest.json records.jsonl custody.jsonl checkpoints/log.note checkpoints/log.proof; do
  is_file $file || unusable "there is no $file, so it is not a bundle"
done

# --- the manifest, and what the log's own record of the export says of it
grep -q '^  "format": "fdr-bundle-v1",$' manifest.json || unusable "it is of another form"
[ "$(wc -l < custody.jsonl)" = 1 ] && grep -q "\"digest\":\"$(sha256sum < manifest.json | cut -c1-64)\"" custody.jsonl ||
  problem "the manifest is not the one that the export was recorded with"
sed -n '/^  "files": {$/,/^  }/s/^    "\(.*\)": "\([0-9a-f]\{64\}\)",\{0,1\}$/\2  \1/p' manifest.json > "$WORK/files"
(cut -c67- "$WORK/files"; printf '%s\n' manifest.json custody.jsonl checkpoints/log.note checkpoints/log.proof) |
  sort > "$WORK/wanted"
find . -mindepth 1 ! -type d -printf '%P\n' | sort > "$WORK/found"
cmp -s "$WORK/wanted" "$WORK/found" || problem "there are other files than the manifest says"
sha256sum --quiet --strict -c "$WORK/files" > "$WORK/said" 2>&1 || problem "$(head -n 1 "$WORK/said")"

# --- contents: each is what its name says, belongs to a record, and none is missing unsaid
grep -o '"digest":"hmac-sha256:[0-9a-f]\{64\}"' records.jsonl | cut -c23-86 | sort -u > "$WORK/digests" || true
CONTENTS=0
while read -r digest; do
  if [ -f "contents/$digest" ] && [ -f "contents/$digest.salt" ]; then
    salt=$(head -c 32 "contents/$digest.salt")
    [[ $salt =~ ^[0-9a-f]{32}$ ]] &&
      [ "$(openssl dgst -sha256 -mac HMAC -macopt "hexkey:$salt" "contents/$digest" | sed 's/.*= //')" = "$digest" ] ||
      problem "contents/$digest is not what was recorded"
    CONTENTS=$((CONTENTS + 1))
  elif ! grep -q "^      \"digest\": \"hmac-sha256:$digest\"," manifest.json; then
    problem "contents/$digest is missing, and not said to be withheld"
  fi
done < "$WORK/digests"
[ ! -d contents ] || find contents -type f -printf '%f\n' | sed 's/\.salt$//' | sort -u | comm -23 - "$WORK/digests" > "$WORK/more"
[ ! -s "$WORK/more" ] || problem "contents/$(head -n 1 "$WORK/more") belongs to no record"

# --- the records' leaf hashes: SHA-256(0x00 || record)
mapfile -t PLACES < <(sed -n '/^  "places": \[$/,/^  \]/p' manifest.json | sed -n 's/^    \([0-9]\{1,18\}\),\{0,1\}$/\1/p')
LEAVES=()
while IFS= read -r line; do
  LEAVES+=("$({ printf '\0'; printf %s "$line"; } | sha256sum | cut -c1-64)")
done < records.jsonl
[ ${#LEAVES[@]} = ${#PLACES[@]} ] && [ ${#LEAVES[@]} -gt 0 ] || problem "there are not as many records as the manifest says"
CUSTODY=$({ printf '\0'; head -c -1 custody.jsonl; } | sha256sum | cut -c1-64)

# subtree LOW HIGH FROM TO: the root of the records LOW..HIGH, of which number FROM..TO are here; sets R
subtree() {
  local low=$1 high=$2 from=$3 to=$4 half=1 middle cut left
  if ((from == to)); then
    ((NEXT < ${#HASHES[@]})) || return 1
    R=${HASHES[NEXT]} NEXT=$((NEXT + 1))
  elif ((high - low == 1)); then
    R=${ALL[from]}
  else
    while ((half * 2 < high - low)); do half=$((half * 2)); done
    middle=$((low + half)) cut=$from
    while ((cut < to && AT[cut] < middle)); do cut=$((cut + 1)); done
    subtree $low $middle $from $cut || return 1
    left=$R
    subtree $middle $high $cut $to || return 1
    R=$(printf '01%s%s' "$left" "$R" | tr a-f A-F | basenc --base16 -d | sha256sum | cut -c1-64)
  fi
}

# prove NAME: the records lead to the root of the checkpoint of that name
prove() {
  local proof=checkpoints/$1.proof lines at
  open_note "checkpoints/$1.note" || return 1
  [ -f "$proof" ] || return 1
  mapfile -t lines < "$proof"
  [ "${lines[0]:-}" = fdr-subset-proof-v1 ] && [ "${lines[1]:-}" = "size $SIZE" ] || return 1
  AT=("${PLACES[@]}") ALL=("${LEAVES[@]}") HASHES=("${lines[@]:2}") NEXT=0
  if [ "$1" = log ]; then
    [[ ${lines[2]:-} =~ ^custody\ ([0-9]{1,18})$ ]] || return 1
    AT+=("${BASH_REMATCH[1]}") ALL+=("$CUSTODY") HASHES=("${lines[@]:3}")
  fi
  for ((at = 1; at < ${#AT[@]}; at++)); do ((AT[at - 1] < AT[at])) || return 1; done
  ((AT[at - 1] < SIZE)) || return 1
  subtree 0 "$SIZE" 0 ${#AT[@]} && [ "$R" = "$ROOT" ] && ((NEXT == ${#HASHES[@]}))
}

for note in checkpoints/*.note; do
  name=${note#checkpoints/} name=${name%.note}
  if [ -z "$BAD" ] && prove "$name"; then
    echo "proven        under checkpoint $name of $SIZE records"
  else
    problem "checkpoint $name: the records don't lead to its root, or it is not signed by the key"
  fi
done
echo "checked       ${#LEAVES[@]} records and $CONTENTS contents of log $(shown "$NAME")"
if [ -n "$BAD" ]; then echo "result        NOT PROVEN"; exit 1; fi
echo "result        PROVEN"
