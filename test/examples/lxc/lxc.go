// Package lxc reports LXC containers.
package lxc

import (
	"context"
	"fmt"
	"os"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collection"
)

// Options change how the collector works. The zero value is useful.
type Options struct {
	// Dir is the folder in which LXC keeps its containers. Default: /var/lib/lxc.
	Dir string `config:"dir,address,flag" default:"/var/lib/lxc" doc:"Folder of LXC's containers."`
}

// Collector lists a folder with one folder for each container.
type Collector struct{ opts Options }

// New returns a collector. It reads nothing yet.
func New(o Options) *Collector {
	if o.Dir == "" {
		o.Dir = "/var/lib/lxc"
	}
	return &Collector{o}
}

var description = workloadmeta.Description{ID: "lxc", Source: workloadmeta.SourceRuntime,
	Kinds: []workloadmeta.Kind{workloadmeta.KindContainer}}

// Describe implements workloadmeta.Collector.
func (c *Collector) Describe() workloadmeta.Description { return description }

// Detect says whether there is anything to collect.
func (c *Collector) Detect(context.Context) workloadmeta.Detection {
	if _, err := os.Stat(c.opts.Dir); err != nil {
		return workloadmeta.Detection{State: workloadmeta.Absent,
			Cause: workloadmeta.CauseOf(err), Reason: "no containers at " + c.opts.Dir,
			Hint: "install LXC, or set lxc.dir"}
	}
	return workloadmeta.Detection{State: workloadmeta.Detected,
		Reason: "containers at " + c.opts.Dir}
}

// Pull reports all containers.
func (c *Collector) Pull(_ context.Context, sink workloadmeta.Sink) error {
	entries, err := os.ReadDir(c.opts.Dir)
	if err != nil {
		return fmt.Errorf("list containers: %w", err) // the earlier answer stays
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

// Spec is the collector's entry in a catalog.
var Spec = collection.Spec[Options]{
	Description: description,
	About:       "LXC's containers",
	Make: func(o Options, _ collection.Deps) ([]workloadmeta.Collector, error) {
		return []workloadmeta.Collector{New(o)}, nil
	},
}

// Module adds the collector to an fx application.
var Module = Spec.Module()
