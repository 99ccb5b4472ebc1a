package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is said of different entities, or by different sources, may be in any order in a recording:
// the tags are the same to the byte.
func TestOrderOfLinesDoesNotMatter(t *testing.T) {
	text, err := os.ReadFile(shop)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSpace(string(text))+"\n", "\n")
	lines = lines[:len(lines)-1]
	about := make([]string, len(lines))
	for i, line := range lines {
		var l struct {
			Source string
			Entity struct{ Kind, ID string }
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Entity.ID == "" {
			t.Fatalf("line %d: %v", i+1, err)
		}
		about[i] = fmt.Sprint(l.Source, " ", l.Entity)
	}
	for _, command := range [][]string{{"tags", "-o", "json"}, {"tags", "--all"},
		{"ls", "container", "-o", "json", "--all"}} {
		want := rollcall(t, append(command, "--from", shop)...)
		for seed := range uint64(8) {
			queues := map[string][]string{}
			turns := make([]string, len(lines))
			copy(turns, about)
			for i, line := range lines {
				queues[about[i]] = append(queues[about[i]], line)
			}
			rand.New(rand.NewPCG(seed, 1)).Shuffle(len(turns),
				func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
			var out bytes.Buffer
			for _, turn := range turns {
				out.WriteString(queues[turn][0])
				queues[turn] = queues[turn][1:]
			}
			file := filepath.Join(t.TempDir(), "r.jsonl")
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			got := rollcall(t, append(command, "--from", file)...)
			if got.out != want.out || got.code != want.code {
				t.Errorf("%s, order %d: %s\nwant %s", command[0], seed, got.out, want.out)
			}
		}
	}
}
