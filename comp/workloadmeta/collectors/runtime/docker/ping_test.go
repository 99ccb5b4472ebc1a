package docker

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectortest"
)

// Only the time limit of a ping shows that a daemon which takes connections answers nothing any
// more.
func TestPingHasATimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := collectortest.NewPipe()
		stop := collectortest.Serve(t, pipe,
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		defer stop()
		o, err := Options{Tuning: Tuning{CallTimeout: 5 * time.Second}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return pipe.Dial(ctx) }
		d, err := newDaemon("unix:///docker.sock", &o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		if _, err := d.ping(ctx); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
