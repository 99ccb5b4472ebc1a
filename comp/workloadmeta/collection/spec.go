package collection

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"go.uber.org/fx"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/env"
)

// Agent is a type of program that runs collectors.
type Agent string

// The types of agents.
const (
	Node    Agent = "node"    // one on every machine, for what runs there
	Cluster Agent = "cluster" // one in a cluster, for what the cluster as a whole knows
	Remote  Agent = "remote"  // one that has everything from another agent
)

// Spec is everything that is to be known of a collector without making one: a package of a
// collector exports one, a catalog lists those that a program links, and configuration,
// documentation, switches, status, command line and fx modules are made of that list. O is the
// type of the collector's options.
//
// The fields of O that are options of the configuration have tags:
//
//	Host string `config:"host,flag" doc:"Address of the daemon."`
//
// The tag config has the option's name, after which flags may follow. The name stands below the
// collector's ID ("docker.host"), unless it begins with a slash: "/proc_root" is the same option
// for all collectors that name it. The flags:
//
//   - address: the option says where the source is; who sets it asks for the collector, whose
//     absence is then an error;
//   - env=<variable>: where the option is not set, the collector reads this variable, which may be
//     meant for other programs: its absence is then worth a word, but no error;
//   - flag: there is a flag of the command line for it ("--docker-host");
//   - datadog: a Datadog agent has an option of that name, whose DD_ variable counts;
//   - is=<value>: the field, a bool, says whether the option has this value, as in
//     NoImages bool `config:"/container_image.enabled,is=false"`.
//
// The other tags: doc says what the option means, default is its default, written as in a file,
// unit is what a number counts. A field of another option's name, as in the last example, needs
// none of them. Of a struct that is embedded, the tag field names the one that is meant.
type Spec[O any] struct {
	// Description of the collector; its ID is the name of its options and of its switch.
	workloadmeta.Description
	// About names what is collected, for documentation: "Docker's containers and images" gives
	// "Whether Docker's containers and images are collected."
	About string
	// On says what else changes where the collector is switched on, as in "With on, containerd is
	// asked over the CRI, too." It may be empty.
	On string
	// Agents are the types of agents it belongs to. Default: Node.
	Agents []Agent
	// Access, if set, lists what the collector asks of the Kubernetes API, or of a kubelet, with
	// these options and in this program: its type, and what it makes tags of. Roles are made of it,
	// so that it has all that the collector calls, and nothing more. An error is what Make would
	// say of the options anywhere. nil: it asks nothing.
	Access func(options O, deps Deps) ([]Access, error)
	// Normalizing, if set, makes options consistent that depend on each other, before anybody looks
	// at them.
	Normalizing func(options *O)
	// Make makes the collector: several where it has several instances, whose IDs begin with that
	// of the Spec.
	Make func(options O, deps Deps) ([]workloadmeta.Collector, error)
}

// Access is a right that a collector needs in a Kubernetes cluster.
type Access struct {
	Group    string // of the API; "" = the core
	Resource string // its plural, maybe with a subresource: "nodes/pods"
	Verbs    []string
	// Namespace to which it is limited, maybe [OwnNamespace]; "" = all, or a resource in none.
	Namespace string
	// Why it is needed, a clause for documentation and the comments of roles, such as "pods of the
	// node, where the kubelet has no Pods API".
	Why string
}

// OwnNamespace stands for the namespace in which the agent itself runs.
const OwnNamespace = "."

// Deps are what a program gives to all of its collectors. The zero value is useful.
type Deps struct {
	// Log receives what a person might want to know. nil: the collector's default.
	Log *slog.Logger
	// Env chooses the environment variables that are kept. nil: the built-in list of package env.
	Env *env.Filter
	// Agent is the type of the program. Default: [Node].
	Agent Agent
	// Once says that the program answers and ends: its collectors take over nothing from another
	// that stays, and tell nobody that they are there.
	Once bool
	// Resources are those of Kubernetes, "namespaces" or "deployments.apps", of whose labels and
	// annotations the program makes tags, but for pods: whoever can tell of them should.
	Resources []string
	// Store is what is known, for collectors that tell more of what others have found. nil: they
	// collect nothing.
	Store workloadmeta.Component
}

// One makes the answer of [Spec.Make] of what the constructor of a single collector returns.
func One[C workloadmeta.Collector](c C, err error) ([]workloadmeta.Collector, error) {
	if err != nil {
		return nil, err
	}
	return []workloadmeta.Collector{c}, nil
}

// AnySpec is a [Spec] whatever the type of its options is.
type AnySpec interface {
	// Describe returns the description, by which the Spec is known.
	Describe() workloadmeta.Description
	// Documentation returns About and On.
	Documentation() (about, on string)
	// BelongsTo reports whether the collector is one for this type of agent.
	BelongsTo(Agent) bool
	// AccessOf returns what [Spec.Access] says. The options are what Options returned.
	AccessOf(options any, deps Deps) ([]Access, error)
	// Options returns a pointer to new options, with their zero values.
	Options() any
	// Normalize makes options consistent that depend on each other. The options are what Options
	// returned.
	Normalize(options any)
	// New makes the collectors. The options are what Options returned.
	New(options any, deps Deps) ([]workloadmeta.Collector, error)
}

// Describe implements [AnySpec].
func (s Spec[O]) Describe() workloadmeta.Description { return s.Description }

// Documentation implements [AnySpec].
func (s Spec[O]) Documentation() (about, on string) { return s.About, s.On }

// BelongsTo implements [AnySpec].
func (s Spec[O]) BelongsTo(a Agent) bool {
	return slices.Contains(s.Agents, a) || len(s.Agents) == 0 && a == Node
}

// AccessOf implements [AnySpec].
func (s Spec[O]) AccessOf(options any, deps Deps) ([]Access, error) {
	if o, ok := options.(*O); ok && s.Access != nil {
		return s.Access(*o, deps)
	}
	return nil, nil
}

// Options implements [AnySpec].
func (s Spec[O]) Options() any { return new(O) }

// Normalize implements [AnySpec].
func (s Spec[O]) Normalize(options any) {
	if o, ok := options.(*O); ok && s.Normalizing != nil {
		s.Normalizing(o)
	}
}

// New implements [AnySpec].
func (s Spec[O]) New(options any, deps Deps) ([]workloadmeta.Collector, error) {
	o, ok := options.(*O)
	if !ok {
		return nil, fmt.Errorf("collector %s: its options are %T, want %T", s.ID, options, o)
	}
	deps.Agent = cmp.Or(deps.Agent, Node)
	return s.Make(*o, deps)
}

// Module returns the fx module of the collector: it adds what the Spec makes to the group that
// [Module] runs. It takes options, a logger, a filter for environment variables and a type of
// agent, if the application has any. The store it does not take: whoever provides that may need all
// collectors first.
func (s Spec[O]) Module() fx.Option {
	type params struct {
		fx.In

		Options O            `optional:"true"`
		Log     *slog.Logger `optional:"true"`
		Env     *env.Filter  `optional:"true"`
		Agent   Agent        `optional:"true"`
	}
	type result struct {
		fx.Out

		Collectors []workloadmeta.Collector `group:"collectors,flatten"`
	}
	return fx.Module("workloadmeta/collectors/"+s.ID, fx.Provide(func(p params) (result, error) {
		made, err := s.Make(p.Options, Deps{Log: p.Log, Env: p.Env,
			Agent: cmp.Or(p.Agent, Node)})
		return result{Collectors: made}, err
	}))
}

// OptionError is the complaint of a constructor about one of its options.
type OptionError struct {
	Collector string // its ID
	Field     string // of the options: "Host"
	Err       error
}

func (e *OptionError) Error() string {
	return e.Collector + " collector: option " + e.Field + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *OptionError) Unwrap() error { return e.Err }

// Idle returns a collector that collects nothing and says why: status shows what is switched off,
// or cannot work, as well, and need not make it for that.
func Idle(d workloadmeta.Description, why workloadmeta.Problem) workloadmeta.Collector {
	return &idle{d, why}
}

type idle struct {
	description workloadmeta.Description
	why         workloadmeta.Problem
}

func (i *idle) Describe() workloadmeta.Description { return i.description }

func (i *idle) Detect(context.Context) workloadmeta.Detection {
	return workloadmeta.Detection{State: workloadmeta.Disabled, Cause: i.why.Cause,
		Reason: i.why.Reason, Hint: i.why.Hint}
}
