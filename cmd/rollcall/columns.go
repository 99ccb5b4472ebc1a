package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// column is one column of a kind's table.
type column struct {
	title string
	value func(e *engine, v view) string
	wide  bool // in the wide table only
	fixed bool // never cut short
	right bool
	last  bool // behind the tags, where its longest text widens no other row
}

// of makes a column's function of one about the kind's own type.
func of[T workloadmeta.Entity](f func(e *engine, t T) string) func(*engine, view) string {
	return func(e *engine, v view) string { return f(e, v.entity.(T)) }
}

// columnsOf returns the columns of a kind's table.
func columnsOf(kind workloadmeta.Kind) []column {
	columns := append(kindColumns(kind),
		column{title: "SOURCES", wide: true,
			value: func(_ *engine, v view) string { return strings.Join(v.sources, ",") }},
		column{title: "TAGS", value: func(_ *engine, v view) string { return tagLine(v.tags) }})
	if i := slices.IndexFunc(columns, func(c column) bool { return c.last }); i >= 0 {
		c := columns[i]
		columns = append(slices.Delete(columns, i, i+1), c)
	}
	return columns
}

// tagLine writes tags on one line for people, who may see the beginning only: first what the thing
// is to its owners, last what other columns say anyway.
func tagLine(tags []string) string {
	rank := func(tag string) int {
		switch name, _, _ := strings.Cut(tag, ":"); name {
		case "service", "env", "version":
			return 0
		case "image_name", "image_tag", "short_image", "docker_image":
			return 2
		case "image_id", "container_id", "container_name":
			return 3
		}
		return 1
	}
	sorted := slices.Clone(tags)
	slices.SortStableFunc(sorted, func(a, b string) int { return rank(a) - rank(b) })
	return strings.Join(sorted, " ")
}

func kindColumns(kind workloadmeta.Kind) []column {
	switch kind {
	case workloadmeta.KindContainer:
		return containerColumns()
	case workloadmeta.KindProcess:
		return processColumns()
	case workloadmeta.KindKubernetesPod:
		return podColumns()
	case workloadmeta.KindContainerImage:
		return imageColumns()
	case workloadmeta.KindECSTask:
		return taskColumns()
	}
	return []column{
		{title: strings.ToUpper(kind.String()), fixed: true,
			value: func(_ *engine, v view) string { return v.entity.GetID().ID }},
		{title: "NAME", value: func(_ *engine, v view) string {
			if m, ok := v.entity.(interface {
				Meta() *workloadmeta.EntityMeta
			}); ok {
				return m.Meta().Name
			}
			return ""
		}},
	}
}

func containerColumns() []column {
	type entity = *workloadmeta.Container
	return []column{
		{title: "CONTAINER", fixed: true, value: of(func(e *engine, c entity) string {
			if e.app.wide() {
				return c.ID
			}
			return shortID(c.ID)
		})},
		{title: "NAME", value: of(func(_ *engine, c entity) string { return c.Name })},
		{title: "IMAGE", value: of(func(_ *engine, c entity) string { return imageOf(c.Image) })},
		{title: "RUNTIME", fixed: true, value: of(func(_ *engine, c entity) string {
			if c.RuntimeFlavor != "" {
				return string(c.Runtime) + "/" + string(c.RuntimeFlavor)
			}
			return string(c.Runtime)
		})},
		{title: "STATE", fixed: true,
			value: of(func(_ *engine, c entity) string { return stateOf(c.State) })},
		{title: "AGE", fixed: true, right: true,
			value: of(func(e *engine,
				c entity) string {
				return age(e.now, firstTime(c.State.StartedAt, c.State.CreatedAt))
			})},
		{title: "OWNER", value: of(func(e *engine, c entity) string { return e.ownerOf(c.Owner) })},
		{title: "PID", fixed: true, right: true,
			value: of(func(_ *engine, c entity) string { return number(c.PID) })},
		{title: "HEALTH", wide: true,
			value: of(func(_ *engine, c entity) string { return string(c.State.Health) })},
		{title: "IP", wide: true,
			value: of(func(_ *engine, c entity) string { return values(c.NetworkIPs) })},
		{title: "PORTS", wide: true,
			value: of(func(_ *engine, c entity) string { return portsOf(c.Ports) })},
		{title: "RESTARTS", wide: true, right: true,
			value: of(func(_ *engine, c entity) string { return number(c.RestartCount) })},
	}
}

func processColumns() []column {
	type entity = *workloadmeta.Process
	return []column{
		{title: "PROCESS", fixed: true, right: true,
			value: of(func(_ *engine, p entity) string { return p.ID })},
		{title: "NAME",
			value: of(func(_ *engine, p entity) string { return firstText(p.Name, p.Comm) })},
		{title: "CONTAINER", value: of(func(e *engine, p entity) string {
			if c, err := e.store.GetContainer(p.ContainerID); err == nil && c.Name != "" {
				return c.Name
			}
			return shortID(p.ContainerID)
		})},
		{title: "LANG", fixed: true, value: of(func(_ *engine, p entity) string {
			if p.Language == nil {
				return ""
			}
			return p.Language.Name
		})},
		{title: "COMMAND", last: true,
			value: of(func(_ *engine, p entity) string { return strings.Join(p.Cmdline, " ") })},
		{title: "PPID", wide: true, right: true,
			value: of(func(_ *engine, p entity) string { return number(int(p.PPID)) })},
		{title: "UID", wide: true, right: true, value: of(func(_ *engine, p entity) string {
			if len(p.UIDs) == 0 {
				return ""
			}
			return strconv.Itoa(int(p.UIDs[0]))
		})},
		{title: "AGE", wide: true, right: true,
			value: of(func(e *engine, p entity) string { return age(e.now, p.CreationTime) })},
		{title: "PROGRAM", wide: true,
			value: of(func(_ *engine, p entity) string { return p.Exe })},
	}
}

func podColumns() []column {
	type entity = *workloadmeta.KubernetesPod
	return []column{
		{title: "POD",
			value: of(func(_ *engine, p entity) string { return qualified(p.Namespace, p.Name) })},
		{title: "PHASE", fixed: true,
			value: of(func(_ *engine, p entity) string { return p.Phase })},
		{title: "READY", fixed: true,
			value: of(func(_ *engine, p entity) string { return yesNo(p.Ready) })},
		{title: "CONTAINERS", fixed: true, right: true,
			value: of(func(_ *engine, p entity) string { return strconv.Itoa(len(p.Containers)) })},
		{title: "IP", fixed: true, value: of(func(_ *engine, p entity) string { return p.IP })},
		{title: "OWNER", value: of(func(_ *engine, p entity) string {
			var owners []string
			for _, o := range p.Owners {
				owners = append(owners, o.Kind+"/"+o.Name)
			}
			return strings.Join(owners, ",")
		})},
		{title: "AGE", fixed: true, right: true,
			value: of(func(e *engine,
				p entity) string {
				return age(e.now, firstTime(p.StartTime, p.CreationTimestamp))
			})},
		{title: "QOS", wide: true,
			value: of(func(_ *engine, p entity) string { return p.QOSClass })},
		{title: "NODE", wide: true,
			value: of(func(_ *engine, p entity) string { return p.NodeName })},
		{title: "UID", wide: true, value: of(func(_ *engine, p entity) string { return p.ID })},
	}
}

func imageColumns() []column {
	type entity = *workloadmeta.ContainerImageMetadata
	return []column{
		{title: "IMAGE", fixed: true, value: of(func(e *engine, i entity) string {
			if e.app.wide() {
				return i.ID
			}
			return shortID(i.ID)
		})},
		{title: "NAME",
			value: of(func(_ *engine,
				i entity) string {
				return firstText(strings.Join(i.RepoTags, ","), i.Name)
			})},
		{title: "PLATFORM", fixed: true, value: of(func(_ *engine, i entity) string {
			return strings.Trim(i.OS+"/"+i.Architecture+"/"+i.Variant, "/")
		})},
		{title: "SIZE", fixed: true, right: true,
			value: of(func(_ *engine, i entity) string { return size(i.SizeBytes) })},
		{title: "LAYERS", wide: true, right: true,
			value: of(func(_ *engine, i entity) string { return number(len(i.Layers)) })},
		{title: "DIGESTS", wide: true,
			value: of(func(_ *engine,
				i entity) string {
				return strings.Join(i.RepoDigests, ",")
			})},
	}
}

func taskColumns() []column {
	type entity = *workloadmeta.ECSTask
	return []column{
		{title: "TASK", value: of(func(e *engine, t entity) string {
			if e.app.wide() {
				return t.ID
			}
			return t.ID[strings.LastIndex(t.ID, "/")+1:]
		})},
		{title: "FAMILY",
			value: of(func(_ *engine,
				t entity) string {
				return strings.Trim(t.Family+":"+t.Version, ":")
			})},
		{title: "CLUSTER", value: of(func(_ *engine, t entity) string { return t.ClusterName })},
		{title: "LAUNCH", fixed: true,
			value: of(func(_ *engine, t entity) string { return string(t.LaunchType) })},
		{title: "STATUS", fixed: true,
			value: of(func(_ *engine, t entity) string { return t.KnownStatus })},
		{title: "CONTAINERS", fixed: true, right: true,
			value: of(func(_ *engine, t entity) string { return strconv.Itoa(len(t.Containers)) })},
	}
}

// tableOf returns the table of views of one kind, sorted for people: by namespace and name where
// there is one.
func (e *engine) tableOf(kind workloadmeta.Kind, list []view) *table {
	t := &table{}
	var columns []column
	state := -1
	for _, c := range columnsOf(kind) {
		if c.wide && !e.app.wide() {
			continue
		}
		if c.title == "STATE" || c.title == "PHASE" {
			state = len(columns)
		}
		columns = append(columns, c)
		if c.title == "TAGS" {
			t.favour = len(columns)
		}
		t.titles = append(t.titles, c.title)
		t.fixed = append(t.fixed, c.fixed)
		t.right = append(t.right, c.right)
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted,
		func(a, b view) int { return strings.Compare(nameOf(a.entity), nameOf(b.entity)) })
	for _, v := range sorted {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = c.value(e, v)
		}
		t.rows = append(t.rows, row)
	}
	t.color = func(row, col int) string {
		switch {
		case col == state:
			return stateColor(t.rows[row][col])
		case t.titles[col] == "TAGS":
			return faint
		}
		return ""
	}
	return t
}

func stateColor(state string) string {
	state, _, _ = strings.Cut(strings.ToLower(state), " ")
	switch state {
	case "running", "succeeded", "live":
		return green
	case "failed", "stopped", "degraded":
		return red
	case "pending", "paused", "restarting", "connecting", "syncing":
		return yellow
	}
	return ""
}

// nameOf is what entities are sorted by for people; "" leaves them in the order of their IDs.
func nameOf(entity workloadmeta.Entity) string {
	if m, ok := entity.(interface {
		Meta() *workloadmeta.EntityMeta
	}); ok {
		return qualified(m.Meta().Namespace, m.Meta().Name)
	}
	return ""
}

func (e *engine) ownerOf(owner *workloadmeta.EntityID) string {
	if owner == nil {
		return ""
	}
	entity, err := e.store.Get(*owner)
	if err != nil {
		return owner.Kind.String() + "/" + owner.ID
	}
	switch o := entity.(type) {
	case *workloadmeta.KubernetesPod:
		return "pod/" + qualified(o.Namespace, o.Name)
	case *workloadmeta.ECSTask:
		return "task/" + strings.Trim(o.Family+":"+o.Version, ":")
	}
	return owner.Kind.String() + "/" + owner.ID
}

func imageOf(i workloadmeta.ContainerImage) string {
	if i.Name == "" {
		return firstText(i.RawName, shortID(i.ID))
	}
	if i.Tag == "" {
		return i.Name
	}
	return i.Name + ":" + i.Tag
}

func stateOf(s workloadmeta.ContainerState) string {
	state := string(s.Status)
	if state == "" && s.Running {
		state = "running"
	}
	if s.ExitCode != nil && !s.Running {
		state = fmt.Sprintf("%s (%d)", firstText(state, "stopped"), *s.ExitCode)
	}
	if s.OOMKilled {
		state += " oom"
	}
	return state
}

func portsOf(ports []workloadmeta.ContainerPort) string {
	var list []string
	for _, p := range ports {
		text := strconv.Itoa(p.Port)
		if p.HostPort != 0 {
			text = strconv.Itoa(int(p.HostPort)) + "→" + text
		}
		if p.Protocol != "" {
			text += "/" + strings.ToLower(p.Protocol)
		}
		list = append(list, text)
	}
	return strings.Join(list, ",")
}

func values(m map[string]string) string {
	var list []string
	for _, v := range m {
		list = append(list, v)
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ",")
}

func qualified(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// size writes a number of bytes the way Docker does.
func size(n int64) string {
	if n <= 0 {
		return ""
	}
	value, units := float64(n), []string{"B", "kB", "MB", "GB", "TB"}
	for value >= 1000 && len(units) > 1 {
		value, units = value/1000, units[1:]
	}
	return fmt.Sprintf("%.3g%s", value, units[0])
}
