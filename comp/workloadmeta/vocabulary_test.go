package workloadmeta

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func merge(reports ...Report) Entity {
	slices.SortFunc(reports,
		func(a, b Report) int { return CompareReporters(a.Reporter, b.Reporter) })
	return Merge(reports)
}

func by(source Source, e Entity) Report { return NewReport(NewReporter(source), e, time.Time{}) }

func c(edit func(*Container)) *Container {
	c := &Container{EntityID: EntityID{KindContainer, "c"}}
	edit(c)
	return c
}

func ptr[T any](v T) *T { return &v }

func TestSourcesAreInTheOrderOfTheTable(t *testing.T) {
	sources := []Source{"zebra", SourceRuntime, SourceRemoteStore, "alpha", SourceTrivy,
		SourceNodeOrchestrator, SourceClusterOrchestrator}
	slices.SortFunc(sources, CompareSources)
	want := []Source{SourceClusterOrchestrator, SourceNodeOrchestrator, SourceRuntime, SourceTrivy,
		SourceRemoteStore, "alpha", "zebra"}
	if !slices.Equal(sources, want) {
		t.Errorf("order %q, want %q", sources, want)
	}
}

func TestIdentityIsTheOrchestratorsObservationTheRuntimes(t *testing.T) {
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	say := func(who string, pid int, at time.Time) *Container {
		return c(func(c *Container) {
			c.Name, c.Hostname, c.CgroupPath, c.PID, c.RestartCount = who, who, who, pid, pid
			c.CgroupInode = uint64(pid)
			c.Image = ContainerImage{Name: who}
			c.Runtime = ContainerRuntime(who)
			c.State = ContainerState{Running: true, Status: ContainerStatus(who), StartedAt: at,
				ExitCode: ptr(int64(pid))}
			c.Labels = map[string]string{"both": who, who: who}
			c.NetworkIPs = map[string]string{"": who}
			c.Owner = &EntityID{KindKubernetesPod, who}
			c.Resources.CPULimit = ptr(float64(pid))
		})
	}
	got := merge(by(SourceRuntime, say("runtime", 0, late)),
		by(SourceNodeOrchestrator, say("kubelet", 7, early)), by("unheard-of",
			say("other", 9, early))).(*Container)
	for what, ok := range map[string]bool{
		"name":           got.Name == "kubelet",
		"host name":      got.Hostname == "kubelet",
		"image":          got.Image.Name == "kubelet",
		"runtime":        got.Runtime == "kubelet",
		"owner":          got.Owner.ID == "kubelet",
		"resources":      *got.Resources.CPULimit == 7,
		"labels united":  len(got.Labels) == 4 && got.Labels["both"] == "kubelet",
		"cgroup":         got.CgroupPath == "runtime",
		"status":         got.State.Status == "runtime",
		"times":          got.State.StartedAt.Equal(late),
		"exit code 0":    *got.State.ExitCode == 0,
		"network":        got.NetworkIPs[""] == "runtime",
		"PID: 0 is none": got.PID == 7,
		"its inode":      got.CgroupInode == 7,
		"restarts":       got.RestartCount == 0, // go with the state
	} {
		if !ok {
			t.Errorf("%s: from the wrong source in %+v", what, got)
		}
	}
}

func TestPodsIdentityIsTheClustersStateTheNodes(t *testing.T) {
	say := func(who string, ready bool) *KubernetesPod {
		return &KubernetesPod{EntityID: EntityID{KindKubernetesPod, "p"},
			EntityMeta: EntityMeta{Labels: map[string]string{"app": who}},
			Phase:      who, IP: who, QOSClass: who, Ready: ready, KubeServices: []string{who}}
	}
	got := merge(by(SourceNodeOrchestrator, say("node", false)),
		by(SourceClusterOrchestrator, say("cluster", true))).(*KubernetesPod)
	if got.Labels["app"] != "cluster" || got.QOSClass != "cluster" || got.Phase != "node" ||
		got.IP != "node" || got.Ready ||
		!slices.Equal(got.KubeServices, []string{"cluster", "node"}) {
		t.Errorf("merged %+v", got)
	}
}

// A pod that another controller has adopted has one owner: the kubelet goes on with the old one.
func TestOwnersOfAPodAreThoseOfOneReporter(t *testing.T) {
	owned := func(name string) *KubernetesPod {
		return &KubernetesPod{EntityID: EntityID{KindKubernetesPod, "p"},
			Owners: []KubernetesPodOwner{{Kind: "ReplicaSet", Name: name, Controller: ptr(true)}}}
	}
	for name, test := range map[string]struct {
		cluster *KubernetesPod
		want    string
	}{
		"adopted":          {owned("new"), "new"},
		"only the kubelet": {&KubernetesPod{EntityID: EntityID{KindKubernetesPod, "p"}}, "old"},
	} {
		got := merge(by(SourceNodeOrchestrator, owned("old")),
			by(SourceClusterOrchestrator, test.cluster)).(*KubernetesPod)
		if len(got.Owners) != 1 || got.Owners[0].Name != test.want {
			t.Errorf("%s: owners %+v, want %s alone", name, got.Owners, test.want)
		}
	}
}

// Of a service's members the best reporter's word counts: a union would keep who has left.
func TestMembersOfAServiceAreThoseOfOneReporter(t *testing.T) {
	say := func(typ string, pods ...string) *KubernetesService {
		return &KubernetesService{EntityID: EntityID{KindKubernetesService, "shop/cart"},
			Type: typ, Pods: pods, Selector: map[string]string{"of": typ}}
	}
	for name, test := range map[string]struct {
		cluster, remote *KubernetesService
		want            []string
	}{
		"both":                {say("ClusterIP", "a"), say("NodePort", "b"), []string{"a"}},
		"no members any more": {say("ClusterIP"), say("NodePort", "b"), nil},
		"nothing said":        {say(""), say("NodePort", "b"), []string{"b"}},
	} {
		got := merge(by(SourceRemoteStore, test.remote),
			by(SourceClusterOrchestrator, test.cluster)).(*KubernetesService)
		if !slices.Equal(got.Pods, test.want) || len(got.Selector) != 1 {
			t.Errorf("%s: %s, want the members %q and one selector", name, got, test.want)
		}
	}
}

// A runtime tells "all" of a container whose image has a variable, and does not know which device
// the kubelet has given to it.
func TestDevicesAreThoseThatTheKubeletHasGiven(t *testing.T) {
	nic := ContainerAllocatedResource{Name: "example.org/nic", ID: "a", NUMANodes: []int{1}}
	kubelet := c(func(c *Container) {
		c.GPUDeviceIDs = []string{"GPU-1"}
		c.AllocatedResources = []ContainerAllocatedResource{nic,
			{Name: "example.org/gpu", ID: "0", Pool: "node-1"}}
	})
	named := ContainerAllocatedResource{Name: "example.org/nic", ID: "a",
		CDIDevices: []string{"example.org/nic=a"}}
	runtime := c(func(c *Container) {
		c.GPUDeviceIDs = []string{"all"}
		c.AllocatedResources = []ContainerAllocatedResource{named,
			{Name: "example.org/gpu", ID: "0"}}
	})
	got := merge(by(SourceRuntime, runtime), by(SourceNodeDevices, kubelet)).(*Container)
	want := c(func(c *Container) {
		c.GPUDeviceIDs = []string{"GPU-1"}
		c.AllocatedResources = []ContainerAllocatedResource{
			{Name: "example.org/nic", ID: "a", CDIDevices: named.CDIDevices, NUMANodes: []int{1}},
			{Name: "example.org/gpu", ID: "0", Pool: "node-1"},
			{Name: "example.org/gpu", ID: "0"}}
	})
	if !got.Equal(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(nic.CDIDevices) != 0 || len(kubelet.AllocatedResources[0].CDIDevices) != 0 {
		t.Error("what was reported has been written to")
	}
	if alone := merge(by(SourceRuntime, runtime)).(*Container); !alone.Equal(runtime) {
		t.Errorf("alone: %+v", alone)
	}
}

func TestUnknownNeverHidesARealValue(t *testing.T) {
	got := merge(
		by(SourceRuntime, c(func(c *Container) {
			c.State.Health, c.State.Status = HealthUnknown, StatusUnknown
		})),
		by(SourceNodeOrchestrator, c(func(c *Container) {
			c.State.Health, c.State.Status, c.State.Running = HealthHealthy, StatusRunning, true
		})),
	).(*Container)
	if got.State.Health != HealthHealthy || got.State.Status != StatusRunning ||
		!got.State.Running {
		t.Errorf("merged state %+v", got.State)
	}
}

func TestListsAndMapsAreUnited(t *testing.T) {
	got := merge(
		by(SourceRuntime, c(func(c *Container) {
			c.CollectorTags, c.EnvVars = []string{"b:2", "c:3"}, map[string]string{"A": "runtime",
				"B": "runtime"}
		})),
		by(SourceNodeOrchestrator, c(func(c *Container) {
			c.CollectorTags, c.EnvVars = []string{"a:1", "b:2"}, map[string]string{"A": "kubelet",
				"B": ""}
		})),
	).(*Container)
	if !slices.Equal(got.CollectorTags, []string{"a:1", "b:2", "c:3"}) {
		t.Errorf("tags %q, want each once, the stronger source's first", got.CollectorTags)
	}
	if got.EnvVars["A"] != "kubelet" || got.EnvVars["B"] != "runtime" {
		t.Errorf("variables %v: want the kubelet's unless empty", got.EnvVars)
	}
}

func TestPorts(t *testing.T) {
	port := func(name string, number int, protocol string, host uint16) ContainerPort {
		return ContainerPort{Name: name, Port: number, Protocol: protocol, HostPort: host}
	}
	for name, test := range map[string]struct{ kubelet, runtime, want []ContainerPort }{
		"one side is empty: order stays": {
			[]ContainerPort{port("b", 2, "TCP", 0), port("a", 1, "TCP", 0)}, nil,
			[]ContainerPort{port("b", 2, "TCP", 0), port("a", 1, "TCP", 0)}},
		"sorted, the first stays": {
			[]ContainerPort{port("x", 80, "TCP", 0), port("y", 53, "UDP", 0)},
			[]ContainerPort{port("z", 80, "TCP", 0), port("", 53, "TCP", 0)},
			[]ContainerPort{port("", 53, "TCP", 0), port("y", 53, "UDP", 0),
				port("x", 80, "TCP", 0)}},
		"a host port replaces": {[]ContainerPort{port("x", 80, "tcp", 0)},
			[]ContainerPort{port("", 80, "tcp", 8080)}, []ContainerPort{port("", 80, "tcp", 8080)}},
		"a name replaces": {[]ContainerPort{port("", 80, "tcp", 1)},
			[]ContainerPort{port("x", 80, "tcp", 0)}, []ContainerPort{port("x", 80, "tcp", 0)}},
		"protocols however they are spelt": {[]ContainerPort{port("x", 80, "TCP", 0)},
			[]ContainerPort{port("x", 80, "tcp", 0)}, []ContainerPort{port("x", 80, "TCP", 0)}},
	} {
		got := merge(by(SourceNodeOrchestrator, c(func(c *Container) { c.Ports = test.kubelet })),
			by(SourceRuntime, c(func(c *Container) { c.Ports = test.runtime }))).(*Container)
		if !slices.Equal(got.Ports, test.want) {
			t.Errorf("%s: %+v\nwant %+v", name, got.Ports, test.want)
		}
	}
}

// The inode of a cgroup goes with the process that runs in it.
func TestCgroupInodeIsOfTheSameProcess(t *testing.T) {
	say := func(pid int, inode uint64, edit func(*Container)) *Container {
		return c(func(c *Container) {
			c.PID, c.CgroupInode = pid, inode
			c.State = ContainerState{Running: true, Status: StatusRunning}
			if edit != nil {
				edit(c)
			}
		})
	}
	ended := func(c *Container) { c.State = ContainerState{Status: StatusStopped} }
	for name, test := range map[string]struct {
		runtime *Container
		want    uint64
	}{
		"the runtime's own":   {say(7, 71, nil), 71},
		"of the same process": {say(7, 0, nil), 70},
		"no process is known": {say(0, 0, nil), 70},
		"of the run before":   {say(8, 0, nil), 0},
		"of what has ended":   {say(0, 0, ended), 0},
	} {
		got := merge(by(SourceRuntime, test.runtime),
			by(SourceProcess, say(7, 70, nil))).(*Container)
		if got.CgroupInode != test.want {
			t.Errorf("%s: inode %d, want %d", name, got.CgroupInode, test.want)
		}
	}
}

func TestFinalize(t *testing.T) {
	last := c(func(c *Container) {
		c.Name, c.PID, c.CgroupInode = "web", 7, 70
		c.State = ContainerState{Running: true, Status: StatusRunning, ExitCode: ptr(int64(1))}
		c.CollectorTags = []string{"a"}
	})
	died := time.Unix(2000, 0)
	final := Finalize(last, c(func(c *Container) {
		c.Name, c.CollectorTags = "renamed", []string{"b"}
		c.State = ContainerState{Status: StatusStopped, ExitCode: ptr(int64(0)), FinishedAt: died}
	})).(*Container)
	if final.Name != "web" || final.PID != 7 || final.CgroupInode != 70 || final.State.Running ||
		final.State.Status != StatusStopped ||
		*final.State.ExitCode != 0 || !final.State.FinishedAt.Equal(died) ||
		!slices.Equal(final.CollectorTags, []string{"a", "b"}) {
		t.Errorf("final state %+v", final)
	}
	if !last.State.Running || *last.State.ExitCode != 1 {
		t.Error("the last state was written to")
	}
	for name, message := range map[string]Entity{"nothing": nil, "the same": last,
		"only the ID": c(func(*Container) {})} {
		if got := Finalize(last, message); got != Entity(last) {
			t.Errorf("Finalize with %s = %+v, want the last state itself", name, got)
		}
	}
}

func TestIncarnations(t *testing.T) {
	p := func(ticks uint64) Entity {
		return &Process{EntityID: EntityID{KindProcess, "7"},
			StartTicks: ticks}
	}
	for _, test := range []struct {
		a, b Entity
		same bool
	}{
		{p(1), p(1), true}, {p(2), p(1), false}, {p(1), p(2), false}, {p(0), p(1), true},
		{p(1), p(0), true}, {c(func(*Container) {}), c(func(*Container) {}), true},
		{p(1), c(func(*Container) {}), true},
	} {
		if SameIncarnation(test.a, test.b) != test.same {
			t.Errorf("%v and %v: same %v", test.a, test.b, !test.same)
		}
	}
	for starts, want := range map[string]string{
		"1": "1", "12": "2", "21": "2", "112": "2", "010": "010", "0201": "020", "00": "00",
	} {
		var reports []Report
		for i, start := range starts {
			r := &Reporter{Name: string(rune('a' + i))}
			reports = append(reports, NewReport(r, p(uint64(start-'0')), time.Time{}))
		}
		got := ""
		for _, r := range Newest(reports) {
			got += strconv.FormatUint(r.Entity.(*Process).StartTicks, 10)
		}
		if got != want {
			t.Errorf("the newest of %s are %s, want %s", starts, got, want)
		}
	}
}

func TestParseKind(t *testing.T) {
	for _, k := range Kinds() {
		if got, err := ParseKind(k.String()); got != k || err != nil {
			t.Errorf("ParseKind(%s) = %v, %v", k, got, err)
		}
		text, err := k.MarshalText()
		var again Kind
		if err != nil || again.UnmarshalText(text) != nil || again != k {
			t.Errorf("%s does not survive its text form", k)
		}
	}
	for _, text := range []string{"", "pod", "Container", "kind(0)"} {
		if k, err := ParseKind(text); err == nil || k != 0 ||
			!strings.Contains(err.Error(), `"`+text+`"`) ||
			!strings.Contains(err.Error(), "kubernetes_pod") {
			t.Errorf("ParseKind(%q) = %v, %v; want an error that names it and what is known", text,
				k, err)
		}
	}
	for _, k := range []Kind{0, 200} {
		if _, err := k.MarshalText(); err == nil || k.Valid() ||
			!strings.HasPrefix(k.String(), "kind(") {
			t.Errorf("Kind %d passes for valid", k)
		}
		if _, err := NewEntity(EntityID{k, "x"}); err == nil {
			t.Errorf("NewEntity of kind %d: no error", k)
		}
	}
}

func TestEventTypes(t *testing.T) {
	for _, et := range []EventType{EventTypeSet, EventTypeUnset} {
		text, _ := et.MarshalText()
		var again EventType
		if err := again.UnmarshalText(text); err != nil || again != et {
			t.Errorf("%s became %s, %v", et, again, err)
		}
	}
	if _, err := ParseEventType("SET"); err == nil || !strings.Contains(err.Error(), `"SET"`) {
		t.Errorf("ParseEventType(SET) = %v", err)
	}
	if got := EventType(7).String(); got != "event type 7" {
		t.Errorf("EventType(7) = %q", got)
	}
}

func TestFilter(t *testing.T) {
	web := c(func(c *Container) { c.Name = "web" })
	isWeb := func(e Entity) bool { return e.(*Container).Name == "web" }
	pod := &KubernetesPod{EntityID: EntityID{KindKubernetesPod, "p"}}
	for name, test := range map[string]struct {
		filter             *Filter
		web, other, pod    bool
		wantsSet, wantsEnd bool
	}{
		"nil":    {nil, true, true, true, true, true},
		"zero":   {&Filter{}, true, true, true, true, true},
		"a kind": {NewFilter().Kind(KindContainer), true, true, false, true, true},
		"a predicate": {NewFilter().Kind(KindContainer, isWeb).Kind(KindKubernetesPod), true,
			false, true, true, true},
		"the last one wins": {NewFilter().Kind(KindContainer, isWeb).Kind(KindContainer), true,
			true, false, true, true},
		"a nil predicate": {NewFilter().Kind(KindContainer, nil), true, true, false, true, true},
		"sets":            {NewFilter().Events(EventTypeSet), true, true, true, true, false},
		"ends":            {NewFilter().Events(EventTypeUnset), true, true, true, false, true},
	} {
		f := test.filter
		if f.Accepts(web) != test.web || f.Accepts(c(func(*Container) {})) != test.other ||
			f.Accepts(pod) != test.pod ||
			f.WantsType(EventTypeSet) != test.wantsSet ||
			f.WantsType(EventTypeUnset) != test.wantsEnd || f.ViewOf() != SourceAll {
			t.Errorf("%s: matches the wrong things", name)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a filter on an invalid kind does not panic")
		}
	}()
	NewFilter().Kind(0)
}
