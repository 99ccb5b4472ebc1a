package containerd

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/runtime/internal/mapping"
)

// others are the instances beside a collector.
type others struct {
	sockets []string // of Kubernetes distributions
	made    map[string]*Collector
}

// Instances implements [workloadmeta.Discoverer]: one for each containerd that a Kubernetes
// distribution has brought, "containerd@k3s", and one for what Docker runs in the machine's own,
// "containerd@moby". Calls must not overlap.
func (c *Collector) Instances(context.Context) []workloadmeta.Collector {
	if c.opts.ID != id {
		return nil
	}
	var out []workloadmeta.Collector
	add := func(name string, change func(*Options)) {
		instance := c.others.made[name]
		if instance == nil {
			o := c.opts
			o.ID = id + "@" + name
			change(&o)
			var err error
			if instance, err = New(o); err != nil {
				c.opts.Log.Error("containerd collector: an instance cannot be made", "instance",
					name, "error", err)
				return
			}
			if c.others.made == nil {
				c.others.made = map[string]*Collector{}
			}
			c.others.made[name] = instance
		}
		out = append(out, instance)
	}
	// A link from the usual path to that of a distribution is no other containerd.
	for _, path := range mapping.Distinct(slices.Concat(c.sockets, c.others.sockets)) {
		if _, err := os.Stat(path); err == nil && slices.Contains(c.others.sockets, path) {
			add(distribution(path), func(o *Options) { o.Address = path })
		}
	}
	if len(c.opts.Namespaces) == 0 && !slices.Contains(c.opts.ExcludeNamespaces, dockerNamespace) {
		add(dockerNamespace, func(o *Options) {
			o.Namespaces, o.standsInFor = []string{dockerNamespace}, "docker"
			o.Sockets = c.sockets
		})
	}
	return out
}

// distribution returns the name of the Kubernetes distribution whose socket this is.
func distribution(path string) string {
	for _, name := range []string{"k3s", "microk8s", "k0s"} {
		if strings.Contains(path, name) {
			return name
		}
	}
	return path
}
