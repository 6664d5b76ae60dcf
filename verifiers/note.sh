# What verify.sh and bundle.sh have in common: a log's public key, and the signed notes under it (C2SP signed-note and
# tlog-checkpoint). Sourced. WORK must be a folder for scratch files by the time that a function is called.

unusable() { printf 'error: %s\n' "$*" >&2; exit 2; }
# Text from the log, without what would act on a terminal.
shown() { printf '%s' "$1" | tr -c '[:print:]' '?' | head -c 200; }
is_file() { [ -f "$1" ] && [ ! -L "$1" ] && [ -r "$1" ]; }

# use_key KEY: the key as text, name+id+base64(0x01 || Ed25519 public key), or a file with it; sets NAME and ID
use_key() {
  local key=$1
  if [ -e "$key" ] || [[ $key != *+* ]]; then
    is_file "$key" || unusable "the key $(shown "$key") is not a file"
    key=$(head -c 4096 "$key" | tr -d '\0')
  fi
  [[ $key =~ ^([^+[:space:]]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)[[:space:]]*$ ]] ||
    unusable "the key is not name+id+key"
  NAME=${BASH_REMATCH[1]} ID=${BASH_REMATCH[2]}
  printf %s "${BASH_REMATCH[3]}" | base64 -d > "$WORK/key" 2> /dev/null || unusable "the key is not base64"
  [ "$(stat -c %s "$WORK/key")" = 33 ] && [ "$(head -c 1 "$WORK/key" | basenc --base16)" = 01 ] ||
    unusable "the key is not an Ed25519 key"
  [ "$({ printf '%s\n' "$NAME"; cat "$WORK/key"; } | sha256sum | head -c 8)" = "$ID" ] ||
    unusable "the key's id does not belong to it"
  { printf '302A300506032B6570032100' | basenc --base16 -d; tail -c 32 "$WORK/key"; } > "$WORK/key.der"
}

# open_note FILE: a checkpoint that the key has signed; sets SIZE and ROOT (hexadecimal), or WHY it is none
open_note() {
  local lines blank line encoded
  WHY="is missing, or not a file"
  is_file "$1" || return 1
  WHY="is too long"
  [ "$(stat -c %s "$1")" -le 131072 ] || return 1
  WHY="is malformed"
  mapfile -t lines < <(tr -d '\0' < "$1")
  for ((blank = 0; blank < ${#lines[@]}; blank++)); do [ -n "${lines[blank]}" ] || break; done
  [ $blank -ge 3 ] && [ $blank -lt ${#lines[@]} ] || return 1
  [[ ${lines[1]} =~ ^(0|[1-9][0-9]{0,17})$ && ${lines[2]} =~ ^[A-Za-z0-9+/]{43}=$ ]] || return 1
  WHY="is of another log: $(shown "${lines[0]}")"
  [ "${lines[0]}" = "$NAME" ] || return 1
  WHY="is malformed"
  SIZE=${lines[1]}
  ROOT=$(printf %s "${lines[2]}" | base64 -d 2> /dev/null | basenc --base16 -w0 | tr A-F a-f) && [ ${#ROOT} = 64 ] ||
    return 1
  WHY="is not signed by the key"
  head -n "$blank" "$1" > "$WORK/body"
  for line in "${lines[@]:blank+1:64}"; do
    [[ $line == "— $NAME "* ]] || continue
    encoded=${line##* }
    printf %s "$encoded" | base64 -d > "$WORK/signature" 2> /dev/null || continue
    [ "$(stat -c %s "$WORK/signature")" = 68 ] || continue
    [ "$(head -c 4 "$WORK/signature" | basenc --base16 | tr A-F a-f)" = "$ID" ] || continue
    tail -c 64 "$WORK/signature" > "$WORK/ed25519"
    if openssl pkeyutl -verify -pubin -inkey "$WORK/key.der" -keyform DER -rawin -in "$WORK/body" \
      -sigfile "$WORK/ed25519" > /dev/null 2>&1; then return 0; fi
  done
  return 1
}
