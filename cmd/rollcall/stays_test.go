package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// A command that ends by itself takes nothing over from an agent that stays: in a pod of that agent
// it would take its lease away.
func TestOnlyWhatStaysTakesPart(t *testing.T) {
	for command, once := range map[string]bool{"status": true, "ls": true, "tags": true,
		"watch --duration 1h": true, "record --duration 1h": true, "watch": false,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		spec := collection.Spec[struct{}]{Description: workloadmeta.Description{ID: "box",
			Source: workloadmeta.SourceRuntime,
			Kinds:  []workloadmeta.Kind{workloadmeta.KindContainer}}, About: "boxes",
			Make: func(_ struct{}, d collection.Deps) ([]workloadmeta.Collector, error) {
				if asked++; d.Once != once {
					t.Errorf("%s: once is %t", command, d.Once)
				}
				cancel()
				return nil, nil
			}}
		a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{},
			collectors: []collection.AnySpec{spec}}
		a.run(ctx, strings.Fields(command))
		cancel()
		if asked != 1 {
			t.Errorf("%s: %d collectors were made", command, asked)
		}
	}
}
