#!/bin/bash
# Checks a log that `fdr export --tlog` wrote, or `fdr cat` printed, from its bytes alone.
#
#   verify.sh DIR KEY [--against CHECKPOINT]...
#   verify.sh --jsonl FILE CHECKPOINT KEY [--against CHECKPOINT]...
#
# KEY is the log's public key as text (name+id+key), or a file with it. Have it from elsewhere: a key that comes with
# the log proves nothing. CHECKPOINT given with --against is an older one, kept elsewhere.
#
# Shares no code with fdr and needs nothing but note.sh beside it, bash, sed, openssl and GNU coreutils 8.31. It reads C2SP tlog-tiles,
# tlog-checkpoint and signed-note, and the tree of RFC 6962. Every record and every node is hashed by sha256sum; no
# stored hash is trusted. Records must not hold line feeds (those of fdr don't).
#
# Exit status: 0 intact, 1 damaged or it disagrees, 2 it could not be checked.
set -euo pipefail
export LC_ALL=C SHELL=/bin/bash

. "$(dirname "$0")/note.sh"
# From wherever it is found, also within a pipe: then `problem` tells the rest.
exec 4>&1
damaged() { printf 'result        DAMAGED\ndamage        %s\n' "$*" >&4; : > "$WORK/problem"; exit 1; }

JSONL= AGAINST=() REST=()
while [ $# -gt 0 ]; do
  case $1 in
    --jsonl | --against)
      [ $# -ge 2 ] || unusable "$1 needs a file"
      if [ "$1" = --jsonl ]; then JSONL=$2; else AGAINST+=("$2"); fi
      shift ;;
    -*) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *) REST+=("$1") ;;
  esac
  shift
done
[ ${#REST[@]} = 2 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
for command in openssl sha256sum basenc split; do
  command -v $command > /dev/null || unusable "there is no $command"
done

# Millions of small files pass through here: memory is the place for them.
WORK=$(mktemp -d -p "${TMPDIR:-$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)}")
trap 'rm -rf "$WORK"' EXIT
export WORK

use_key "${REST[1]}"

# --- a checkpoint: sets SIZE and ROOT (hexadecimal)
checkpoint() { open_note "$1" || damaged "the checkpoint $(shown "$1") $WHY"; }

if [ -n "$JSONL" ]; then
  PLACE=${REST[0]}
  [ -r "$JSONL" ] || unusable "$(shown "$JSONL") can't be read"
else
  [ -d "${REST[0]}" ] || unusable "$(shown "${REST[0]}") is not a folder"
  PLACE=${REST[0]}/checkpoint
fi
SIZES=() ROOTS=()
for file in "${AGAINST[@]}"; do
  [ -e "$file" ] || unusable "$(shown "$file") is not there"
  checkpoint "$file"
  SIZES+=("$SIZE") ROOTS+=("$ROOT")
done
checkpoint "$PLACE"

# --- hashing many things at once: standard input to one SHA-256 a line, in hexadecimal
hash_lines() { # each line is a record: SHA-256(0x00 || record)
  local dir; dir=$(mktemp -d -p "$WORK")
  (cd "$dir" && sed 's/^/\x00/' | split -l 1 -a 4 && truncate -s -1 x* && sha256sum x* | cut -c1-64)
  rm -rf "$dir"
}
hash_nodes() { # each 65 bytes are a node: SHA-256(0x01 || left || right)
  local dir; dir=$(mktemp -d -p "$WORK")
  (cd "$dir" && split -b 65 -a 4 && sha256sum x* | cut -c1-64)
  rm -rf "$dir"
}
export -f hash_lines hash_nodes
# So many at once.
MANY=32768

# tile_path LEVEL NUMBER WIDTH: sets TILE; where only a later, wider one is there, that is taken
tile_path() {
  local number=$2 path
  printf -v path '%03d' $((number % 1000))
  while ((number >= 1000)); do
    number=$((number / 1000))
    printf -v path 'x%03d/%s' $((number % 1000)) "$path"
  done
  TILE=${REST[0]}/tile/$1/$path
  if [ "$3" -lt 256 ] && [ -e "$TILE.p/$3" ]; then TILE=$TILE.p/$3; fi
  is_file "$TILE" || damaged "$(shown "$TILE") is missing, or not a file"
}

# The records of the bundles, in hexadecimal, one a line with its length before it. Where a record may begin is guessed
# (`{"v":` with two bytes before it), and the guess is proven by the lengths: pieces that don't fit are put together
# until they do.
pieces() { cat "$@" | basenc --base16 -w0 | sed 's/....7B2276223A/\n&/g'; echo; }
# Sets how long the record at the beginning of the line is, in hexadecimal digits with its length.
want() { if ((${#line} < 4)); then wanted=1048576; else wanted=$((4 + 2 * 16#${line:0:4})); fi; }

# The records themselves, each with a line feed behind it. A line feed in a record shows in the
# count afterwards.
unbundle() {
  local first number width paths ends at count bytes piece line lines records wanted
  for ((first = 0; first * 256 < SIZE; first += 64)); do
    paths=() ends=()
    for ((number = first; number * 256 < SIZE && number < first + 64; number++)); do
      width=$((SIZE - number * 256 < 256 ? SIZE - number * 256 : 256))
      tile_path entries $number $width
      paths+=("$TILE")
    done
    at=0
    while read -r wanted; do
      [ "$wanted" -le 16777472 ] || damaged "$(shown "${paths[at]}") is too long"
      ends+=("$wanted") at=$((at + 1))
    done < <(stat -c %s "${paths[@]}")
    # From a file, because bash reads a pipe byte by byte.
    pieces "${paths[@]}" > "$WORK/pieces"
    mapfile -t lines < "$WORK/pieces"
    at=0 count=0 bytes=0 line= records=()
    for piece in "${lines[@]}"; do
      line+=$piece
      [ -n "$line" ] || continue
      want
      while ((${#line} >= wanted)); do
        records+=("${line:4:wanted-4}")
        line=${line:wanted} bytes=$((bytes + wanted / 2)) count=$((count + 1))
        ((bytes <= ends[at])) || damaged "$(shown "${paths[at]}"): record $((count - 1)) is cut off"
        if ((count == 256 || bytes == ends[at])) || ((SIZE - (first + at) * 256 == count)); then
          width=$((SIZE - (first + at) * 256 < 256 ? SIZE - (first + at) * 256 : 256))
          ((count == width)) || damaged "$(shown "${paths[at]}"): holds $count records, not $width"
          if ((bytes != ends[at])); then
            # Of one that only a later export filled the rest is not looked at.
            ((width < 256)) && [[ ${paths[at]} != *.p/* ]] ||
              damaged "$(shown "${paths[at]}"): holds more than $width records"
            line= at=$((at + 1))
            break 2
          fi
          at=$((at + 1)) count=0 bytes=0
        fi
        want
      done
    done
    if ((at < ${#paths[@]})); then
      [ -z "$line" ] || damaged "$(shown "${paths[at]}"): record $count is cut off"
      damaged "$(shown "${paths[at]}"): holds $count records"
    fi
    printf '%s0A' "${records[@]}"
  done
}

# --- leaf hashes
if [ -n "$JSONL" ]; then
  LATER=$(($(wc -l < "$JSONL") - SIZE))
  [ $LATER -ge 0 ] ||
    damaged "there are $((SIZE + LATER)) records, the checkpoint is of $SIZE: the end is missing"
  head -n "$SIZE" "$JSONL" | split -l $MANY --filter=hash_lines - > "$WORK/0"
else
  LATER=0
  unbundle | basenc --base16 -d 2> /dev/null | split -l $MANY --filter=hash_lines - > "$WORK/0" || true
  [ ! -e "$WORK/problem" ] || exit 1
  BUNDLES=$(((SIZE + 255) / 256))
fi
if [ "$(wc -l < "$WORK/0")" != "$SIZE" ]; then
  unusable "a record holds a line feed, which this script can't check: use verify.py"
fi

# --- level after level: compare the tiles, take the peaks, hash pairs
TILES=0
compare() { # LEVEL of the tree, a multiple of 8
  local level=$(($1 / 8)) count=$2 number width paths=() wanted=()
  for ((number = 0; number * 256 < count; number++)); do
    width=$((count - number * 256 < 256 ? count - number * 256 : 256))
    tile_path $level $number $width
    paths+=("$TILE")
    if [[ $TILE == *.p/* ]]; then wanted+=($((width * 32))); else wanted+=(8192); fi
    if ((${#paths[@]} == 1024 || (number + 1) * 256 >= count)); then
      if [ "$(stat -c %s "${paths[@]}")" != "$(printf '%s\n' "${wanted[@]}")" ]; then
        damaged "a tile of level $level before number $((number + 1)) has another length than it must have"
      fi
      cat "${paths[@]}"
      TILES=$((TILES + ${#paths[@]}))
      paths=() wanted=()
    fi
  done > "$WORK/tiles"
  basenc --base16 -w64 "$WORK/tiles" | tr A-F a-f | head -n "$count" > "$WORK/hashes"
  local differs
  if ! differs=$(cmp "$WORK/hashes" "$WORK/$1" 2>&1); then
    differs=${differs##* }
    [[ $differs =~ ^[0-9]+$ ]] && damaged "tile/$level: hash $((differs - 1)) is not that of the records"
    damaged "tile/$level: the hashes are not those of the records"
  fi
}
declare -A PEAK
COUNT=$SIZE
for ((level = 0; COUNT > 0; level++)); do
  if [ -z "$JSONL" ] && ((level % 8 == 0)); then compare $level "$COUNT"; fi
  for size in "$SIZE" "${SIZES[@]}"; do
    if ((size <= SIZE && size >> level & 1)); then
      PEAK[$size.$level]=$(tail -n "+$((size >> level))" "$WORK/$level" | head -n 1 || true)
    fi
  done
  COUNT=$((COUNT / 2))
  if ((COUNT > 0)); then
    head -n $((COUNT * 2)) "$WORK/$level" | paste -d '\0' - - | sed 's/^/01/' | tr a-f A-F | basenc --base16 -d |
      split -b $((65 * MANY)) --filter=hash_nodes - > "$WORK/$((level + 1))"
  fi
  rm -f "$WORK/$level"
done
root_at() { # SIZE: the peaks folded from the right
  local root= level
  for ((level = 0; level < 63; level++)); do
    [ -n "${PEAK[$1.$level]:-}" ] || continue
    if [ -z "$root" ]; then root=${PEAK[$1.$level]}; else
      root=$(printf '01%s%s' "${PEAK[$1.$level]}" "$root" | tr a-f A-F | basenc --base16 -d | sha256sum | cut -c1-64)
    fi
  done
  [ -n "$root" ] || root=$(printf '' | sha256sum | cut -c1-64)
  printf %s "$root"
}
[ "$(root_at "$SIZE")" = "$ROOT" ] || damaged "the records give another root than the one that is signed"

if [ -n "$JSONL" ]; then
  echo "checked       $SIZE records: every hash recomputed"
else
  echo "checked       $SIZE records, $BUNDLES bundles, $TILES tiles: every hash recomputed"
fi
echo "signed by     $(shown "$NAME") (ed25519 $ID)"
RESULT=INTACT NEWEST=0
for at in "${!SIZES[@]}"; do
  size=${SIZES[at]}
  if ((size > SIZE)); then
    RESULT=DAMAGED word="DISAGREES: the log has only $SIZE; its end was cut off, or it is an old copy"
  elif [ "$(root_at "$size")" != "${ROOTS[at]}" ]; then
    RESULT=DAMAGED word="DISAGREES: what came before it is not what was signed then; the log was rewritten"
  else
    word=agrees
  fi
  ((size > NEWEST)) && NEWEST=$size
  echo "outside       checkpoint of $size records: $word"
done
((LATER == 0)) || echo "not checked   $LATER records behind the checkpoint"
echo "result        $RESULT"
[ $RESULT = INTACT ] || exit 1
((NEWEST >= SIZE)) || echo "not excluded  whoever holds the key could have rewritten or cut off records $NEWEST and on"
