// Package lxc reports LXC containers.
package lxc

import (
	"context"
	"fmt"
	"os"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Collector lists a folder with one folder for each container.
type Collector struct{ dir string }

// New returns a collector of the containers in LXC's usual place.
func New() *Collector { return &Collector{dir: "/var/lib/lxc"} }

// Describe implements workloadmeta.Collector.
func (c *Collector) Describe() workloadmeta.Description {
	return workloadmeta.Description{ID: "lxc", Source: workloadmeta.SourceRuntime,
		Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}}
}

// Detect says whether there is anything to collect.
func (c *Collector) Detect(context.Context) workloadmeta.Detection {
	if _, err := os.Stat(c.dir); err != nil {
		return workloadmeta.Detection{State: workloadmeta.Absent,
			Cause: workloadmeta.CauseOf(err), Reason: "no containers at " + c.dir,
			Hint: "install LXC, or run as root to see the folder"}
	}
	return workloadmeta.Detection{State: workloadmeta.Detected, Reason: "containers at " + c.dir}
}

// Pull reports all containers.
func (c *Collector) Pull(_ context.Context, sink workloadmeta.Sink) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("list containers in %s: %w", c.dir, err) // the earlier answer stays
	}
	for _, entry := range entries {
		sink.Set(&workloadmeta.Container{
			EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: entry.Name()},
			EntityMeta: workloadmeta.EntityMeta{Name: entry.Name()},
			Runtime:    "lxc",
		})
	}
	return nil // what is not reported any more is unset
}

// Module adds the collector to an application.
var Module = fx.Module("collectors/lxc", fx.Provide(collection.AsCollector(New)))
