// Package scripts plays scripts that tell in a few words what rollcall does: who reports what, how
// much time passes, and what tags there are then.
//
//	# A container that ends keeps its tags for the telemetry that is still on the way.
//	reporter docker
//	feed docker container/c1 name=web image=acme/web:1.2 running
//	tags container/c1
//	stdout 'image_tag:1.2'
//	gone docker container/c1 exit=0
//	tags container/c1
//	advance 6m
//	! tags container/c1
//
// They run the real supervisor, store and tagger; only the reporters are made up
// ([collectortest.Fake]), and time passes only where a script says so. A script is a text file in
// the format of [txtar] with the language of [testscript], whose commands stdout, stderr, cmp and
// others can be used beside these. A command that begins with ! must fail.
//
// Before anything is fed:
//
//   - reporter NAME [polled] [absent|silent|failing]: there is a collector of this name. docker,
//     podman, containerd, cri, process, kubelet, ecs and apiserver are known with their kinds,
//     source and rank; others are runtimes of containers. polled: it is asked every 5 s. absent: it
//     finds nothing to collect. silent: it connects, and does not answer. failing: it does not
//     connect.
//   - replay FILE: a recording is played back, by the collector that does so in programs.
//
// What happens:
//
//   - feed REPORTER KIND/ID [FIELD=VALUE ...]: the reporter says that the entity is there, with
//     these fields by their JSON names: name=web, state.started_at=2026-01-02T15:04:05Z,
//     labels.team=blue. Short for a container: running, stopped or any other status alone; exit=3;
//     image=acme/web:1.2; owner=pod/p1. For a pod or task: containers=c1:app,c2:proxy. pod, image,
//     task, deployment and service are short for kinds.
//   - gone REPORTER KIND/ID [FIELD=VALUE ...]: the reporter says that it has ended, and how.
//   - feed FILE: all of that, line by line: "REPORTER [gone] KIND/ID …", or lines of a recording,
//     which the first reporter with their source says.
//   - shuffle FILE: the same in any order. The script is played again in several orders, in which
//     only what one reporter says of one entity keeps its own; all must lead to the same tags,
//     completeness and entities.
//   - advance DURATION: time passes.
//   - lost REPORTER [WHY]: it loses its connection. What is fed meanwhile happens unseen.
//   - vanish REPORTER [WHY]: the same, and it finds nothing to connect to any more.
//   - back REPORTER: it can connect again; time passes until it has listed everything.
//   - rules FILE: these are the rules from now on, as in the configuration.
//   - record FILE: writes a recording of what there is. elsewhere: goes on with a new engine that
//     knows nothing, as on another machine.
//
// What there is to see:
//
//   - tags [KIND/ID [CARDINALITY]]: how well it is known, and its tags, one a line.
//   - await KIND/ID partial|complete LIMIT: waits for tags, and says for how long it had to.
//   - show KIND/ID: the merged entity. reports KIND/ID: who says what of it, and whether that
//     counts.
//   - explain KIND/ID: where the tags come from, or why there are none. explain KIND/ID TAG: why
//     there is a tag of this name, or none.
//   - status: how the collectors are doing.
//   - events, changes: what a subscriber of the store, and one of the tagger, was told since the
//     last time.
//
// It links package testing: only tests may import it.
//
// [txtar]: https://pkg.go.dev/golang.org/x/tools/txtar
// [testscript]: https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript
package scripts

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// orders is how many other orders a script with shuffled lines is played in.
const orders = 24

// Run plays all scripts of a folder, "*.txtar", each as a test of its own. With the flag -update,
// what cmp compares becomes what it is.
func Run(t *testing.T, folder string) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", folder, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			want, shuffled := play(t, file, nil)
			for seed := uint64(1); shuffled && seed <= orders && !t.Failed(); seed++ {
				t.Run(fmt.Sprintf("order %d", seed), func(t *testing.T) {
					got, _ := play(t, file, rand.New(rand.NewPCG(seed, 0)))
					if got != want {
						t.Errorf("in this order there is\n%s\nand in the order of the script\n%s",
							got, want)
					}
				})
			}
		})
	}
}

// play plays one script and returns what there is at its end, and whether there are other orders.
func play(t *testing.T, file string, rng *rand.Rand) (end string, shuffled bool) {
	t.Helper()
	p := &player{bubble: newBubble(t), world: newWorld(rng)}
	defer p.bubble.close()
	defer func() {
		// In any case, because what is left running keeps the bubble from ending.
		err := p.bubble.do(func(t *testing.T) (err error) {
			if p.world.tagger != nil {
				end, shuffled = p.world.all(), p.world.shuffled
			}
			return p.world.stop()
		})
		if err != nil {
			t.Error(err)
		}
	}()
	testscript.RunT(shim{t}, testscript.Params{Files: []string{file}, Cmds: p.cmds(),
		RequireUniqueNames: true, UpdateScripts: collectortest.Update() && rng == nil})
	return end, shuffled
}

// shim plays a script in the test that there is, instead of one of its own.
type shim struct{ *testing.T }

func (s shim) Run(_ string, f func(testscript.T)) { f(s) }
func (s shim) Parallel()                          {}
func (s shim) Verbose() bool                      { return testing.Verbose() }
