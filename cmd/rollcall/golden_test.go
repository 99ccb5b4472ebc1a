package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const shop = "testdata/shop.jsonl"

// Every command, in every format that it has, from a recording.
func TestGolden(t *testing.T) {
	for name, line := range map[string]string{
		"ls-table":            "ls",
		"ls-width":            "ls --width 100",
		"watch-width":         "watch --width 60",
		"ls-wide":             "ls -o wide",
		"ls-json":             "ls -o json",
		"ls-yaml":             "ls -o yaml",
		"ls-all":              "ls --all",
		"ls-high":             "ls process --cardinality high -o json",
		"ls-none":             "ls gpu -o json",
		"ls-color":            "ls containers --color always",
		"get-table":           "get container web",
		"get-json":            "get container 3f0c9a1b -o json",
		"get-yaml":            "get pod shop/cart-7d9c5b8f6-x2x9p -o yaml",
		"get-process":         "get process 1310",
		"get-task":            "get task 5f00 -o json",
		"get-image":           "get image nginx:1.27",
		"tags-table":          "tags",
		"tags-one":            "tags cart",
		"tags-json":           "tags -o json",
		"tags-yaml":           "tags web -o yaml",
		"tags-low":            "tags docker://3f0c9a1b -o json --cardinality low",
		"tags-mapping":        "tags web -o json --config testdata/mapping.yaml",
		"tags-gone":           "tags nightly -o json",
		"tags-process":        "tags process://1201 -o json",
		"watch-table":         "watch",
		"watch-json":          "watch container -o json",
		"watch-yaml":          "watch image -o yaml",
		"explain-table":       "explain cart",
		"explain-json":        "explain web -o json",
		"explain-mapping":     "explain web --config testdata/mapping.yaml",
		"explain-gone":        "explain nightly",
		"explain-unknown":     "explain container_id://0000",
		"explain-unknown-yml": "explain container_id://0000 -o yaml",
		"explain-tag":         "explain cart service",
		"explain-tag-missing": "explain cart team",
		"explain-tag-flag":    "explain container cart --tag service",
		"explain-tag-slip":    "explain cart servcie",
		"explain-tag-json":    "explain web version -o json",
		"explain-untagged":    "explain process://1",
		"status-table":        "status",
		"status-json":         "status -o json",
		"status-yaml":         "status -o yaml",
		"rules-list":          "rules list --width 120",
		"rules-list-file":     "rules list --config testdata/rules.yaml --width 120",
		"rules-list-options":  "rules list --config testdata/filters.yaml --set exclude_pause_container=false",
		"rules-list-json":     "rules list --rules testdata/drop.yaml -o json",
		"rules-list-yaml":     "rules list --config testdata/rules.yaml -o yaml",
		"rules-test":          "rules test --config testdata/rules.yaml",
		"rules-test-nothing":  "rules test",
		"rules-test-options":  "rules test --config testdata/filters.yaml",
		"rules-test-file":     "rules test --config testdata/rules.yaml --rules testdata/drop.yaml",
		"rules-test-json":     "rules test --rules testdata/drop.yaml -o json",
		"rules-test-yaml":     "rules test --config testdata/rules.yaml -o yaml",
		"ls-excluded":         "ls --config testdata/filters.yaml",
		"ls-excluded-all":     "ls container --all --config testdata/filters.yaml",
		"ls-excluded-json":    "ls container --all --config testdata/filters.yaml -o json",
		"ls-excluded-none":    "ls container --set container_exclude=name:.*",
		"tags-excluded":       "tags --config testdata/filters.yaml --set container_include=[]",
		"tags-excluded-all":   "tags --all --config testdata/filters.yaml --width 100",
		"tags-excluded-one":   "tags proxy --config testdata/filters.yaml",
		"watch-excluded":      "watch container --config testdata/filters.yaml --width 100",
		"watch-excluded-all":  "watch container --all --config testdata/filters.yaml --width 100",
		"get-excluded":        "get container proxy --config testdata/filters.yaml",
		"explain-excluded":    "explain proxy --config testdata/filters.yaml",
		"explain-logs":        "explain cart --config testdata/filters.yaml",
		"explain-rules":       "explain cart --config testdata/rules.yaml",
		"explain-rules-json":  "explain web --config testdata/rules.yaml -o json",
		"explain-no-tags":     `explain cart --set rules=[{"drop":"*"}]`,
		"rbac":                "rbac",
		"rbac-bind":           "rbac --bind tools/rollcall --name rollcall -o yaml",
		"rbac-json":           "rbac --set kubelet.nodes_proxy=true -o json",
		"rbac-nothing":        "rbac --bind tools/rollcall --set collectors.kubelet=off",
		"rbac-bad-name":       "rbac --name Rollcall",
		"rbac-bad-bind":       "rbac --bind rollcall",
		"config-rules":        "config --config testdata/rules.yaml --set container_exclude=name:x",
		"config-default":      "config",
		"config-file":         "config --config testdata/mapping.yaml --docker-host unix:///run/x.sock",
		"config-json":         "config -o json --config testdata/mapping.yaml",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(strings.Fields(line), "--from", shop)
			r := rollcall(t, args...)
			text := fmt.Sprintf("$ rollcall %s\n%s", strings.Join(args, " "), r.out)
			if r.err != "" {
				text += "--- standard error\n" + r.err
			}
			if r.code != 0 {
				text += fmt.Sprintf("--- exit code %d\n", r.code)
			}
			golden(t, name+".txt", text)
		})
	}
	t.Run("replay", func(t *testing.T) {
		t.Parallel()
		golden(t, "replay.txt", rollcall(t, "replay", shop).out)
		golden(t, "replay-follow.txt", rollcall(t, "replay", shop, "--speed", "0").out)
		golden(t, "replay-tags.txt", rollcall(t, "replay", shop, "--tags", "-o", "json").out)
	})
}

// The objects of a cluster, asked for as with kubectl.
func TestGoldenCluster(t *testing.T) {
	for name, line := range map[string][]string{
		"cluster-ls":         {"ls", "po,deploy,svc,ns,no"},
		"cluster-wide":       {"ls", "services", "namespaces", "deployments", "-o", "wide"},
		"cluster-namespace":  {"ls", "-n", "shop"},
		"cluster-everywhere": {"ls", "po", "-A", "-n", "shop"},
		"cluster-selector":   {"ls", "-l", "app=cart,canary notin (no)"},
		"cluster-slash":      {"ls", "po/etcd-node-1"},
		"cluster-node":       {"ls", "nodes", "node-*", "-o", "json"},
		"cluster-get":        {"get", "po/etcd-node-1", "-n", "kube-system"},
		"cluster-get-ns":     {"get", "ns", "shop", "-n", "elsewhere"},
		"cluster-get-wrong":  {"get", "po", "etcd-node-1", "-n", "shop"},
		"cluster-get-list":   {"get", "pods"},
		"cluster-tags":       {"tags", "svc/cart", "-n", "shop"},
		"cluster-explain":    {"explain", "pod", "cart-5d8f7c9b4-x2x9p", "-n", "shop"},
		"cluster-explain-uid": {"explain",
			"kubernetes_pod_uid://e7c1a9f0-1111-4222-8333-944455556666"},
		"cluster-explain-tag": {"explain", "po/cart-5d8f7c9b4-x2x9p", "team", "-n", "shop"},
		"cluster-watch":       {"watch", "ns"},
		"cluster-bad":         {"ls", "-l", "app=cart,"},
		"cluster-none":        {"ls", "ns", "shpo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(line, "--from", "testdata/cluster.jsonl", "--config",
				"testdata/cluster.yaml", "--width", "118")
			r := rollcall(t, args...)
			text := fmt.Sprintf("$ rollcall %s\n%s", strings.Join(args, " "), r.out)
			if r.err != "" {
				text += "--- standard error\n" + r.err
			}
			if r.code != 0 {
				text += fmt.Sprintf("--- exit code %d\n", r.code)
			}
			golden(t, name+".txt", text)
		})
	}
}

// What was recorded from a recording gives the same tags, to the byte, and the same recording.
func TestRecordingOfARecordingIsTheSame(t *testing.T) {
	first := filepath.Join(t.TempDir(), "first.jsonl")
	if r := rollcall(t, "record", first, "--from", shop); r.code != 0 ||
		r.err != "rollcall: "+first+": 10 events\n" {
		t.Fatalf("record: %+v", r)
	}
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the recording has mode %v, %v; want 0600", info.Mode(), err)
	}
	if r := rollcall(t, "record", first, "--from", shop); r.code != 1 ||
		!strings.Contains(r.err, "is there already; choose another name or give --force") {
		t.Errorf("record over a file: %+v", r)
	}
	if err := os.Chmod(first, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := rollcall(t, "record", first, "--from", shop, "--force"); r.code != 0 {
		t.Errorf("record --force: %+v", r)
	}
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the overwritten recording has mode %v, %v; want 0600", info.Mode(), err)
	}
	for _, args := range [][]string{{"tags", "-o", "json", "web"}, {"tags", "-o", "json", "cart"},
		{"ls", "-o", "json"}, {"ls", "-a", "-o", "json", "--cardinality", "high"}} {
		live, replayed := rollcall(t, append(args, "--from", shop)...), rollcall(t,
			append(args, "--from", first)...)
		if live.out != replayed.out || live.code != 0 {
			t.Errorf("%q from the recording of a recording differs:\n%s\n%s", args, live.out,
				replayed.out)
		}
	}
	strip := func(text string) string { // of the times, which are those of the recording
		return regexp.MustCompile(`"time":"[^"]*"`).ReplaceAllString(text, "")
	}
	again := rollcall(t, "record", "--from", first)
	text, err := os.ReadFile(first)
	if err != nil || strip(again.out) != strip(string(text)) {
		t.Errorf("recording a recording gives\n%s\nwant %v\n%s", again.out, err, text)
	}
}

// Containers that ended long before the recording did are forgotten, as they were then.
func TestRetentionFollowsTheRecordingsTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	lines := `{"time":"2026-03-01T10:00:00Z","type":"set","source":"runtime","entity":{"kind":"container","id":"aaaa1111","name":"old"}}
{"time":"2026-03-01T10:00:01Z","type":"unset","source":"runtime","entity":{"kind":"container","id":"aaaa1111"}}
{"time":"2026-03-01T10:04:00Z","type":"set","source":"runtime","entity":{"kind":"container","id":"bbbb2222","name":"young"}}
{"time":"2026-03-01T10:05:30Z","type":"unset","source":"runtime","entity":{"kind":"container","id":"bbbb2222"}}
{"time":"2026-03-01T10:07:00Z","type":"set","source":"runtime","entity":{"kind":"container","id":"cccc3333","name":"new"}}
{"time":"2026-03-01T10:08:30Z","type":"set","source":"runtime","entity":{"kind":"container","id":"cccc3333","name":"newer"}}
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rollcall(t, "tags", "--from", path)
	if strings.Contains(r.out, "aaaa1111") || !strings.Contains(r.out, "bbbb2222") ||
		!strings.Contains(r.out, "newer") {
		t.Errorf("tags: %+v", r)
	}
	r = rollcall(t, "explain", "container_id://aaaa1111", "--from", path)
	if r.code != 3 ||
		!strings.Contains(r.out, "expired: it is gone and its tags have been forgotten") {
		t.Errorf("explain of what is forgotten: %+v", r)
	}
	r = rollcall(t, "tags", "container_id://aaaa1111", "--from", path)
	if r.code != 3 || r.out != "" || strings.Count(r.err, "\n") != 1 ||
		!strings.Contains(r.err, "forgotten") {
		t.Errorf("tags of what is forgotten: %+v", r)
	}
	r = rollcall(t, "tags", "aaaa1111", "--from", path, "--set", "retention.grace=1h")
	if r.code != 0 || !strings.Contains(r.out, "container_name:old") {
		t.Errorf("tags with a longer retention: %+v", r)
	}
}
