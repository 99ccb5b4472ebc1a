package process_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/process"
)

func FuzzCgroupPath(f *testing.F) {
	id := strings.Repeat("a1", 32)
	for _, s := range []string{"", "0::/\n", "0::/docker/" + id + "/x\n",
		"4:memory:/docker/" + id + "\n0::/../" + id + "\n",
		"0::/" + id + ":" + id + "/" + id + ".mount/x\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		id, path := process.GroupOf(content)
		if path == "" {
			return
		}
		last := path[strings.LastIndexByte(path, '/')+1:]
		if !strings.HasPrefix(path, "/") || !strings.Contains(last, id) ||
			!strings.Contains(content, path) {
			t.Errorf("the cgroup of %s is %q in %q", id, path, content)
		}
	})
}

func FuzzLimit(f *testing.F) {
	f.Add("app\x00--name\x00x", uint16(20))
	f.Add("\x00\x00", uint16(40))
	f.Add("app\x00ööö", uint16(38))
	f.Fuzz(func(t *testing.T, content string, size uint16) {
		args := strings.Split(content, "\x00")
		out := process.Limit(args, int(size))
		if strings.Join(args, "\x00") != content {
			t.Fatal("the arguments were written to")
		}
		cost := 0
		for i, arg := range out {
			cost += len(arg) + process.ArgSize
			whole := arg == args[i]
			if head, cut := strings.CutSuffix(arg, "…"); !whole &&
				(!cut || i != len(out)-1 || !strings.HasPrefix(args[i], head)) {
				t.Errorf("argument %d became %q", i, arg)
			}
		}
		if len(out) > len(args) || cost > int(size)+process.ArgSize+len("…") {
			t.Errorf("%d arguments that cost %d of %d", len(out), cost, size)
		}
	})
}
