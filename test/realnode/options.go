package realnode

import "time"

// Option changes how an instance is set up.
type Option func(*options)

type options struct {
	liveRestore bool
	dockerd     []string
	sandbox     string
	podman      podmanOptions
}

type podmanOptions struct {
	events string
}

func collect(opts []Option) options {
	o := options{sandbox: PauseImage}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// LiveRestore makes dockerd leave its containers running when it ends, and take them over when it
// starts. Without it, Stop ends the containers, and a Restart after Kill does.
func LiveRestore() Option { return func(o *options) { o.liveRestore = true } }

// DockerdFlags adds flags to dockerd's command line.
func DockerdFlags(flags ...string) Option {
	return func(o *options) { o.dockerd = append(o.dockerd, flags...) }
}

// PodmanEvents chooses where Podman keeps its events: "file", which is the default here, "journald"
// or "none".
func PodmanEvents(logger string) Option { return func(o *options) { o.podman.events = logger } }

// clientTimeout bounds one call of a command-line client. A daemon that is frozen would never
// answer.
const clientTimeout = time.Minute
