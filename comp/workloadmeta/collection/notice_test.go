package collection_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

type curious struct {
	*fakeStreamer
	mu   sync.Mutex // guards told
	told []string
}

func (c *curious) Notice(e workloadmeta.Entity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, e.GetID().ID)
}

func TestACollectorNoticesWhatOthersReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &curious{fakeStreamer: &fakeStreamer{fake{id: "kubelet"}, script(staying("own"))}}
		start(t, collection.Options{}, c,
			&fakeStreamer{fake{id: "docker"}, script(staying("a", "b"))})
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if got := fmt.Sprint(c.told); got != "[a b]" {
			t.Errorf("noticed %s, want what docker reports", got)
		}
	})
}
