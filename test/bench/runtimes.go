package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/store"
)

// runtimeContainers is how many containers a fake runtime has.
const runtimeContainers = 1000

// fakeRuntime answers with what a real daemon has answered once, as often as there are containers,
// each time with another ID and name.
type fakeRuntime struct {
	calls   atomic.Int64 // requests, without those that only ask whether it is there
	address string       // the path of its socket
	stop    func()
}

// startRuntime starts a fake at a socket in a folder of its own.
func startRuntime(serve func(*fakeRuntime)) *fakeRuntime {
	dir, err := os.MkdirTemp("", "bench")
	must(err)
	f := &fakeRuntime{address: filepath.Join(dir, "s")}
	serve(f)
	stop := f.stop
	f.stop = func() {
		stop()
		must(os.RemoveAll(dir))
	}
	return f
}

// runtimeStart measures a collector's start against a fake runtime in this process: until
// everything is in the store.
func runtimeStart(name string, serve func(*fakeRuntime),
	collector func(address string) (workloadmeta.Collector, error)) []row {
	f := startRuntime(serve)
	defer f.stop()

	var took time.Duration
	var calls int64
	start := func() any {
		c, err := collector(f.address)
		must(err)
		s := store.New(store.Options{})
		sup, err := collection.New(
			collection.Options{Store: s, Collectors: []workloadmeta.Collector{c},
				SyncGrace: time.Hour})
		must(err)
		f.calls.Store(0)
		began := time.Now()
		must(sup.Start(context.Background()))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		must(s.WaitSynced(ctx))
		took, calls = time.Since(began), f.calls.Load()
		n := 0
		for range s.Containers() {
			n++
		}
		if n != runtimeContainers {
			must(fmt.Errorf("%s: %d containers in the store, want %d", name, n, runtimeContainers))
		}
		return []any{s, c, sup}
	}
	stop := func(kept any) {
		must(kept.([]any)[2].(*collection.Supervisor).Stop(context.Background()))
	}
	fastest := time.Duration(0)
	for range 3 {
		stop(start())
		if fastest == 0 || took < fastest {
			fastest = took
		}
	}
	var kept any
	heap := heapOf(func() any { kept = start(); return kept })
	stop(kept)
	runtime.GC()
	label := fmt.Sprintf("%s: start with %d containers, ", name, runtimeContainers)
	return []row{
		plain(label+"entities per second", runtimeContainers/fastest.Seconds(), "1/s"),
		plain(label+"calls per container", float64(calls)/runtimeContainers, "calls"),
		plain(label+"memory per container", heap/runtimeContainers/1000, "kB"),
	}
}

// recorded returns a payload that a collector's tests have recorded from a real daemon.
func recorded(path ...string) []byte {
	content, err := os.ReadFile(
		filepath.Join(append([]string{"comp", "workloadmeta", "collectors", "runtime"},
			path...)...))
	must(err)
	return content
}

// runtimeID is the ID of the i-th container: 64 hexadecimal digits, as unlike each other as real
// ones.
func runtimeID(i int) string {
	return strings.Repeat(fmt.Sprintf("%08x", uint32(i+1)*2654435761), 8)
}

// serveHTTP serves a daemon's REST interface on the fake's socket.
func (f *fakeRuntime) serveHTTP(handler http.HandlerFunc) {
	l, err := net.Listen("unix", f.address)
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: handler,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			must(err)
		}
	}()
	f.stop = func() {
		cancel() // of the event streams
		must(server.Close())
		<-done
	}
}

// stay keeps an event stream open on which nothing happens.
func stay(w http.ResponseWriter, r *http.Request) {
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// write sends an answer. The client may have gone.
func write(w http.ResponseWriter, body []byte) { _, _ = w.Write(body) }
