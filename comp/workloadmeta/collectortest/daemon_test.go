package collectortest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// fake has a list and events.
type fake struct{ collectortest.Daemon }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case f.Faulty(w, r):
	case r.URL.Path == "/events":
		f.Stream(w, r, func(log []collectortest.Event) []collectortest.Event {
			return collectortest.Since(log, time.Unix(10, 0))
		}, r.URL.Query().Has("late"))
	default:
		f.Tally("list")
		collectortest.Reply(w, []string{"c1"})
	}
}

func (f *fake) send(second int64) {
	f.Lock()
	defer f.Unlock()
	f.Send(time.Unix(second, 0), fmt.Appendf(nil, "event %d\n", second))
}

// client returns a client of what listens at the pipe.
func client(p *collectortest.Pipe) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.Dial(ctx)
		},
	}}
}

func get(t *testing.T, c *http.Client, path string) (status int, body string) {
	t.Helper()
	resp, err := c.Get("http://daemon" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // only read from
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestStreamsHaveThePastAndWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := new(fake), collectortest.NewPipe()
		collectortest.Serve(t, p, f)
		f.send(9)
		f.send(10)
		resp, err := client(p).Get("http://daemon/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() // only read from
		synctest.Wait()
		f.send(11)
		f.Lock()
		f.Deaf = true
		f.Unlock()
		f.send(12)
		f.Lock()
		f.Deaf = false
		if len(f.Log) != 4 {
			t.Errorf("%d events in the log", len(f.Log))
		}
		f.Unlock()
		f.send(13)
		in := bufio.NewScanner(resp.Body)
		for _, want := range []string{"event 10", "event 11", "event 13"} {
			if !in.Scan() || in.Text() != want {
				t.Errorf("%q, %v; want %q", in.Text(), in.Err(), want)
			}
		}
		f.KillStreams()
		if in.Scan() || in.Err() != nil {
			t.Errorf("after the end: %q, %v", in.Text(), in.Err())
		}
	})
}

func TestALateHeadComesWithTheFirstEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := new(fake), collectortest.NewPipe()
		collectortest.Serve(t, p, f)
		began := time.Now()
		go func() {
			time.Sleep(time.Hour)
			f.send(20)
		}()
		resp, err := client(p).Get("http://daemon/events?late")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(began); took != time.Hour {
			t.Errorf("the head came after %v", took)
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := new(fake), collectortest.NewPipe()
		collectortest.Serve(t, p, f)
		c := client(p)
		f.Fail(func(*http.Request) func(http.ResponseWriter) {
			return func(w http.ResponseWriter) {
				collectortest.ReplyStatus(w, http.StatusTeapot, "no")
			}
		})
		if status, body := get(t, c, "/list"); status != http.StatusTeapot || body != "\"no\"\n" ||
			f.Count("list") != 0 {
			t.Errorf("an answer that is a fault: %d %q, %d were answered", status, body,
				f.Count("list"))
		}
		f.Fail(func(*http.Request) func(http.ResponseWriter) {
			return func(http.ResponseWriter) { time.Sleep(time.Minute) }
		})
		began := time.Now()
		if status, body := get(t, c, "/list"); status != http.StatusOK || body != "[\"c1\"]\n" ||
			time.Since(began) != time.Minute {
			t.Errorf("an answer that takes its time: %d %q after %v", status, body,
				time.Since(began))
		}
		release := f.Hang("/list")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://daemon/list", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(r); err == nil {
			t.Error("what hangs has answered")
		}
		go func() {
			time.Sleep(time.Minute)
			release()
		}()
		if status, _ := get(t, c, "/other"); status != http.StatusOK {
			t.Errorf("another request: %d", status)
		}
		began = time.Now()
		if status, _ := get(t, c, "/list"); status != http.StatusOK ||
			time.Since(began) != time.Minute || f.Count("list") != 3 {
			t.Errorf("released: %d after %v, %d were answered", status, time.Since(began),
				f.Count("list"))
		}
	})
}

func TestServeSocketUntilItIsStopped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sock")
	for range 2 { // it leaves nothing behind
		stop := collectortest.ServeSocket(t, path, new(fake))
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		stop()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives its server")
		}
		conn.Close()
		if _, err := net.Dial("unix", path); err == nil {
			t.Error("somebody listens")
		}
	}
}
