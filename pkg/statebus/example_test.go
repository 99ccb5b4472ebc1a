package statebus_test

import (
	"context"
	"fmt"

	"github.com/rollcall-dev/rollcall/pkg/statebus"
)

func Example() {
	table := statebus.New[string, string](statebus.Options{})
	defer table.Close()
	table.Commit(statebus.Change[string, string]{Key: "web-1", Value: "running"})

	sub := table.Subscribe(statebus.SubOptions[string, string]{Name: "example"})
	defer sub.Close()

	// A caller that merges several sources decides under the commit lock.
	table.Update(func(tx *statebus.Tx[string, string]) {
		if state, ok := tx.Get("web-1"); ok && state == "running" {
			tx.Set("web-2", "starting")
		}
		tx.Delete("web-1", "exited")
	})

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for bundle := range sub.Bundles(ctx) {
		fmt.Println("revision", bundle.Revision, "snapshot", bundle.Snapshot)
		for _, ev := range bundle.Events {
			fmt.Println(" ", ev.Type, ev.Key, ev.Value)
		}
		if bundle.Revision == table.Revision() {
			cancel()
		}
	}
	// Output:
	// revision 1 snapshot true
	//   set web-1 running
	// revision 2 snapshot false
	//   set web-2 starting
	//   unset web-1 exited
}
