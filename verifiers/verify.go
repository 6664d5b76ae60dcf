// Checks a log that `fdr export --tlog` wrote, or `fdr cat` printed, from its bytes alone.
//
//	go run verify.go DIR KEY [--against CHECKPOINT]...
//	go run verify.go --jsonl FILE CHECKPOINT KEY [--against CHECKPOINT]...
//
// KEY is the log's public key as text (name+id+key), or a file with it. Have it from elsewhere: a key that comes with
// the log proves nothing. CHECKPOINT given with --against is an older one, kept elsewhere.
//
// Shares no code with fdr and needs nothing but Go 1.19's standard library. It reads C2SP tlog-tiles, tlog-checkpoint
// and signed-note, and the tree of RFC 6962. Every record and every node is hashed; no stored hash is trusted.
//
// Exit status: 0 intact, 1 damaged or it disagrees, 2 it could not be checked.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	width   = 256
	maxNote = 128 << 10
)

type hash = [32]byte

// damaged: what is given is not what was signed. All other errors mean that it could not be checked.
type damaged string

func (d damaged) Error() string { return string(d) }

func bad(format string, values ...any) error { return damaged(fmt.Sprintf(format, values...)) }

// shown quotes text from the log, without what would act on a terminal.
func shown(text string) string {
	quoted := strconv.QuoteToASCII(text)
	if len(quoted) > 200 {
		quoted = quoted[:200]
	}
	return quoted
}

func leaf(record []byte) hash {
	return sha256.Sum256(append([]byte{0}, record...))
}

func node(left, right hash) hash {
	var both [65]byte
	both[0] = 1
	copy(both[1:], left[:])
	copy(both[33:], right[:])
	return sha256.Sum256(both[:])
}

// read reads a whole regular file of at most limit bytes; no link is followed.
func read(path string, limit int64) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, bad("%v", err)
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, bad("%s is not a regular file of at most %d bytes", shown(path), limit)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, bad("%v", err)
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

type key struct {
	name   string
	id     []byte
	public ed25519.PublicKey
}

func parseKey(given string) (key, error) {
	if _, err := os.Stat(given); err == nil || !strings.Contains(given, "+") {
		text, err := read(given, 4096)
		if err != nil {
			return key{}, errors.New(err.Error())
		}
		given = string(text)
	}
	parts := strings.SplitN(strings.TrimSpace(given), "+", 3)
	if len(parts) != 3 {
		return key{}, errors.New("the key is not name+id+key")
	}
	id, err := hex.DecodeString(parts[1])
	data, err2 := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || err2 != nil || len(data) != 33 || data[0] != 1 {
		return key{}, errors.New("the key is not an Ed25519 key, name+id+key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), data...))
	if !bytes.Equal(sum[:4], id) {
		return key{}, errors.New("the key's id does not belong to it")
	}
	return key{parts[0], id, data[1:]}, nil
}

type checkpoint struct {
	size uint64
	root hash
}

func parseCheckpoint(path string, by key) (checkpoint, error) {
	note, err := read(path, maxNote)
	if err != nil {
		return checkpoint{}, err
	}
	text, signatures, found := strings.Cut(string(note), "\n\n")
	body := text + "\n"
	lines := strings.Split(body, "\n")
	if !found || len(lines) < 4 || !utf8.Valid(note) || !strings.HasSuffix(signatures, "\n") {
		return checkpoint{}, bad("the checkpoint %s is malformed", shown(path))
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	root, err2 := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || err2 != nil || len(root) != 32 || strconv.FormatUint(size, 10) != lines[1] {
		return checkpoint{}, bad("the checkpoint %s is malformed", shown(path))
	}
	if lines[0] != by.name {
		return checkpoint{}, bad("the checkpoint %s is of another log: %s", shown(path), shown(lines[0]))
	}
	for _, line := range strings.Split(signatures, "\n") {
		parts := strings.Split(line, " ")
		if len(parts) != 3 || parts[0] != "\u2014" || parts[1] != by.name {
			continue
		}
		data, err := base64.StdEncoding.Strict().DecodeString(parts[2])
		if err == nil && len(data) == 68 && bytes.Equal(data[:4], by.id) && ed25519.Verify(by.public, []byte(body), data[4:]) {
			return checkpoint{size, *(*hash)(root)}, nil
		}
	}
	return checkpoint{}, bad("the checkpoint %s is not signed by the key", shown(path))
}

// tree holds the roots of the perfect subtrees of what was pushed, largest first.
type tree struct {
	size  uint64
	peaks []hash
	roots map[uint64]hash
}

func (t *tree) root() hash {
	if len(t.peaks) == 0 {
		return sha256.Sum256(nil)
	}
	root := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		root = node(t.peaks[i], root)
	}
	return root
}

func (t *tree) push(h hash) {
	for size := t.size; size&1 == 1; size >>= 1 {
		last := len(t.peaks) - 1
		h, t.peaks = node(t.peaks[last], h), t.peaks[:last]
	}
	t.peaks = append(t.peaks, h)
	t.size++
	t.seen()
}

func (t *tree) seen() {
	if _, wanted := t.roots[t.size]; wanted {
		t.roots[t.size] = t.root()
	}
}

type tiles struct {
	dir            string
	rows           [][]hash
	full           []uint64
	bundles, count int
}

func (t *tiles) path(level string, number uint64, count int) string {
	path := fmt.Sprintf("%03d", number%1000)
	for number >= 1000 {
		number /= 1000
		path = fmt.Sprintf("x%03d/%s", number%1000, path)
	}
	path = filepath.Join(t.dir, "tile", level, filepath.FromSlash(path))
	if count < width {
		path = filepath.Join(path+".p", strconv.Itoa(count))
	}
	return path
}

// stored reads a tile; where only a later, wider one is there, its beginning will do.
func (t *tiles) stored(level string, number uint64, count int, unit int64) (data []byte, path string, wider bool, err error) {
	path = t.path(level, number, count)
	if _, missing := os.Lstat(path); missing != nil && count < width {
		path, wider = t.path(level, number, width), true
	}
	data, err = read(path, unit*width)
	return
}

func (t *tiles) records(size uint64, each func([]byte) error) error {
	for number := uint64(0); number*width < size; number++ {
		count := width
		if left := size - number*width; left < width {
			count = int(left)
		}
		data, path, wider, err := t.stored("entries", number, count, 65537)
		if err != nil {
			return err
		}
		found := 0
		for ; len(data) > 0; found++ {
			if len(data) < 2 || len(data)-2 < int(data[0])<<8+int(data[1]) {
				return bad("%s: record %d is cut off", shown(path), number*width+uint64(found))
			}
			end := 2 + int(data[0])<<8 + int(data[1])
			if found < count {
				if err := each(data[2:end]); err != nil {
					return err
				}
			}
			data = data[end:]
		}
		if found < count || found > count && !wider {
			return bad("%s: holds %d records, not %d", shown(path), found, count)
		}
		t.bundles++
	}
	return nil
}

// push takes in a leaf hash, and compares the tiles that it fills.
func (t *tiles) push(h hash) error {
	for level := 0; ; level++ {
		if level == len(t.rows) {
			t.rows, t.full = append(t.rows, nil), append(t.full, 0)
		}
		t.rows[level] = append(t.rows[level], h)
		if len(t.rows[level]) < width {
			return nil
		}
		if err := t.compare(level); err != nil {
			return err
		}
		row := t.rows[level]
		for n := width / 2; n > 0; n /= 2 {
			for i := 0; i < n; i++ {
				row[i] = node(row[2*i], row[2*i+1])
			}
		}
		h, t.rows[level] = row[0], row[:0]
		t.full[level]++
	}
}

func (t *tiles) compare(level int) error {
	row := t.rows[level]
	data, path, wider, err := t.stored(strconv.Itoa(level), t.full[level], len(row), 32)
	if err != nil {
		return err
	}
	wanted := 32 * len(row)
	if wider {
		wanted = 32 * width
	}
	if len(data) != wanted {
		return bad("%s has %d bytes, not %d", shown(path), len(data), wanted)
	}
	for i, h := range row {
		if !bytes.Equal(data[32*i:32*i+32], h[:]) {
			return bad("%s: hash %d is not that of the records", shown(path), i)
		}
	}
	t.count++
	return nil
}

func lines(path string, each func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 65537)
	for {
		line, err := reader.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return bad("%s: a line is too long or has no end", shown(path))
		}
		if err := each(line[:len(line)-1]); err != nil {
			return err
		}
	}
}

func check(arguments []string) (int, error) {
	var rest, against []string
	jsonl := ""
	for i := 0; i < len(arguments); i++ {
		switch argument := arguments[i]; {
		case (argument == "--against" || argument == "--jsonl") && i+1 == len(arguments):
			return 2, fmt.Errorf("%s needs a file", argument)
		case argument == "--against":
			i++
			against = append(against, arguments[i])
		case argument == "--jsonl":
			i++
			jsonl = arguments[i]
		default:
			rest = append(rest, argument)
		}
	}
	if len(rest) != 2 || strings.HasPrefix(rest[0], "-") {
		return 2, errors.New("usage: verify DIR KEY [--against CHECKPOINT]...\n       verify --jsonl FILE CHECKPOINT KEY [--against CHECKPOINT]...")
	}
	by, err := parseKey(rest[1])
	if err != nil {
		return 2, err
	}
	place := rest[0]
	if jsonl == "" {
		if info, err := os.Stat(rest[0]); err != nil || !info.IsDir() {
			return 2, fmt.Errorf("%s is not a folder", shown(rest[0]))
		}
		place = filepath.Join(rest[0], "checkpoint")
	}
	signed, err := parseCheckpoint(place, by)
	if err != nil {
		return 1, err
	}
	t := tree{roots: map[uint64]hash{}}
	var kept []checkpoint
	newest := uint64(0)
	for _, path := range against {
		old, err := parseCheckpoint(path, by)
		if err != nil {
			return 1, err
		}
		kept = append(kept, old)
		t.roots[old.size] = hash{}
		if old.size > newest {
			newest = old.size
		}
	}
	t.seen()
	stored, later := tiles{dir: rest[0]}, 0
	each := func(record []byte) error {
		if t.size == signed.size {
			later++
			return nil
		}
		h := leaf(record)
		t.push(h)
		if jsonl == "" {
			return stored.push(h)
		}
		return nil
	}
	if jsonl == "" {
		err = stored.records(signed.size, each)
	} else {
		err = lines(jsonl, each)
	}
	if err != nil {
		return 1, err
	}
	if t.size < signed.size {
		return 1, bad("there are %d records, the checkpoint is of %d: the end is missing", t.size, signed.size)
	}
	for level := range stored.rows {
		if len(stored.rows[level]) > 0 {
			if err := stored.compare(level); err != nil {
				return 1, err
			}
		}
	}
	if t.root() != signed.root {
		return 1, bad("the records give another root than the one that is signed")
	}
	fmt.Printf("checked       %d records, %d bundles, %d tiles: every hash recomputed\n", t.size, stored.bundles, stored.count)
	fmt.Printf("signed by     %s (ed25519 %x)\n", shown(by.name), by.id)
	status, result := 0, "INTACT"
	for _, old := range kept {
		word := "agrees"
		if old.size > signed.size {
			word = fmt.Sprintf("DISAGREES: the log has only %d; its end was cut off, or it is an old copy", signed.size)
		} else if t.roots[old.size] != old.root {
			word = "DISAGREES: what came before it is not what was signed then; the log was rewritten"
		}
		if word != "agrees" {
			status, result = 1, "DAMAGED"
		}
		fmt.Printf("outside       checkpoint of %d records: %s\n", old.size, word)
	}
	if later > 0 {
		fmt.Printf("not checked   %d records behind the checkpoint\n", later)
	}
	fmt.Printf("result        %s\n", result)
	if newest < t.size && status == 0 {
		fmt.Printf("not excluded  whoever holds the key could have rewritten or cut off records %d and on\n", newest)
	}
	return status, nil
}

func main() {
	status, err := check(os.Args[1:])
	var found damaged
	if errors.As(err, &found) {
		fmt.Printf("result        DAMAGED\ndamage        %s\n", found)
		status = 1
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		status = 2
	}
	os.Exit(status)
}
