package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/inspect"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// column is one column of a kind's table.
type column struct {
	tableColumn
	value func(l *listing, e inspect.Entity) string
	wide  bool // in the wide table only
	last  bool // behind the tags, where its longest text widens no other row
}

// listing is what the columns of a table have in common.
type listing struct {
	wide  bool              // nothing is cut short
	now   time.Time         // when the answer is from
	names map[string]string // of what entities refer to
}

// of makes a column's function of one about the kind's own type.
func of[T workloadmeta.Entity](f func(l *listing, t T) string) func(*listing,
	inspect.Entity) string {
	return func(l *listing, e inspect.Entity) string { return f(l, e.Workload.(T)) }
}

// excludedTitle is the column of the rules that leave containers out, if any is listed.
const excludedTitle = "EXCLUDED BY"

// columnsOf returns the columns of a kind's table.
func columnsOf(class inspect.Class) []column {
	columns := append(kindColumns(class),
		column{tableColumn: tableColumn{title: excludedTitle, cut: cutFront, rank: 1, least: 10},
			value: func(_ *listing, e inspect.Entity) string { return e.ExcludedBy }},
		column{tableColumn: tableColumn{title: "SOURCES"}, wide: true,
			value: func(_ *listing, e inspect.Entity) string {
				return strings.Join(e.Sources, ",")
			}},
		column{tableColumn: tableColumn{title: tagsTitle, rank: 1, least: 24},
			value: func(_ *listing, e inspect.Entity) string { return tagLine(e.Tags) }})
	if i := slices.IndexFunc(columns, func(c column) bool { return c.last }); i >= 0 {
		c := columns[i]
		columns[len(columns)-1].loose = true // the tags
		columns = append(slices.Delete(columns, i, i+1), c)
	}
	return columns
}

const tagsTitle = "TAGS"

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

func kindColumns(class inspect.Class) []column {
	switch class.Kind {
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
	case workloadmeta.KindKubernetesDeployment:
		return deploymentColumns()
	case workloadmeta.KindKubernetesService:
		return serviceColumns()
	case workloadmeta.KindKubernetesMetadata:
		if class.Resource != "" {
			return objectColumns(class)
		}
	}
	return []column{
		{tableColumn: tableColumn{title: strings.ToUpper(class.Kind.String()), fixed: true},
			value: func(_ *listing, e inspect.Entity) string { return e.Workload.GetID().ID }},
		{tableColumn: tableColumn{title: "NAME", spare: 1},
			value: func(_ *listing, e inspect.Entity) string { return inspect.NameOf(e.Workload) }},
	}
}

// The columns that several tables have.
func nameColumn() tableColumn { return tableColumn{title: "NAME", rank: 2, least: 20} }
func imageColumn() tableColumn {
	return tableColumn{title: "IMAGE", cut: cutFront, rank: 1, least: 20}
}
func ageColumn() tableColumn {
	return tableColumn{title: "AGE", fixed: true, right: true, spare: 1}
}
func ownerColumn() tableColumn { return tableColumn{title: "OWNER", least: 12, spare: 3} }

func containerColumns() []column {
	type entity = *workloadmeta.Container
	return []column{
		{tableColumn: tableColumn{title: "CONTAINER", fixed: true},
			value: of(func(l *listing, c entity) string { return l.id(c.ID) })},
		{tableColumn: nameColumn(),
			value: of(func(_ *listing, c entity) string { return c.Name })},
		{tableColumn: imageColumn(),
			value: of(func(_ *listing, c entity) string { return imageOf(c.Image) })},
		{tableColumn: tableColumn{title: "RUNTIME", fixed: true, spare: 2},
			value: of(func(_ *listing, c entity) string {
				if c.RuntimeFlavor != "" {
					return string(c.Runtime) + "/" + string(c.RuntimeFlavor)
				}
				return string(c.Runtime)
			})},
		{tableColumn: tableColumn{title: stateTitle, fixed: true, spare: 1},
			value: of(func(_ *listing, c entity) string { return stateOf(c.State) })},
		{tableColumn: ageColumn(), value: of(func(l *listing, c entity) string {
			return age(l.now, firstTime(c.State.StartedAt, c.State.CreatedAt))
		})},
		{tableColumn: ownerColumn(),
			value: of(func(l *listing, c entity) string { return l.ownerOf(c.Owner) })},
		{tableColumn: tableColumn{title: "PID", fixed: true, right: true, spare: 4},
			value: of(func(_ *listing, c entity) string { return number(c.PID) })},
		{tableColumn: tableColumn{title: "HEALTH"}, wide: true,
			value: of(func(_ *listing, c entity) string { return string(c.State.Health) })},
		{tableColumn: tableColumn{title: "IP"}, wide: true,
			value: of(func(_ *listing, c entity) string { return values(c.NetworkIPs) })},
		{tableColumn: tableColumn{title: "PORTS"}, wide: true,
			value: of(func(_ *listing, c entity) string { return portsOf(c.Ports) })},
		{tableColumn: tableColumn{title: "RESTARTS", right: true}, wide: true,
			value: of(func(_ *listing, c entity) string { return number(c.RestartCount) })},
	}
}

func processColumns() []column {
	type entity = *workloadmeta.Process
	return []column{
		{tableColumn: tableColumn{title: "PROCESS", fixed: true, right: true},
			value: of(func(_ *listing, p entity) string { return p.ID })},
		{tableColumn: nameColumn(),
			value: of(func(_ *listing, p entity) string { return inspect.NameOf(p) })},
		{tableColumn: tableColumn{title: "CONTAINER", least: 12, spare: 1},
			value: of(func(l *listing, p entity) string {
				id := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: p.ContainerID}
				return firstText(l.names[id.String()], l.id(p.ContainerID))
			})},
		{tableColumn: tableColumn{title: "LANG", fixed: true, spare: 2},
			value: of(func(_ *listing, p entity) string {
				if p.Language == nil {
					return ""
				}
				return p.Language.Name
			})},
		{tableColumn: tableColumn{title: "COMMAND", least: 16}, last: true,
			value: of(func(_ *listing, p entity) string { return strings.Join(p.Cmdline, " ") })},
		{tableColumn: tableColumn{title: "PPID", right: true}, wide: true,
			value: of(func(_ *listing, p entity) string { return number(int(p.PPID)) })},
		{tableColumn: tableColumn{title: "UID", right: true}, wide: true,
			value: of(func(_ *listing, p entity) string {
				if len(p.UIDs) == 0 {
					return ""
				}
				return strconv.Itoa(int(p.UIDs[0]))
			})},
		{tableColumn: ageColumn(), wide: true,
			value: of(func(l *listing, p entity) string { return age(l.now, p.CreationTime) })},
		{tableColumn: tableColumn{title: "PROGRAM"}, wide: true,
			value: of(func(_ *listing, p entity) string { return p.Exe })},
	}
}

func podColumns() []column {
	type entity = *workloadmeta.KubernetesPod
	return []column{
		{tableColumn: tableColumn{title: "POD", rank: 2, least: 24},
			value: of(func(_ *listing, p entity) string { return inspect.NameOf(p) })},
		{tableColumn: tableColumn{title: phaseTitle, fixed: true, spare: 1},
			value: of(func(_ *listing, p entity) string { return p.Phase })},
		{tableColumn: tableColumn{title: "READY", fixed: true, spare: 1},
			value: of(func(_ *listing, p entity) string { return yesNo(p.Ready) })},
		{tableColumn: tableColumn{title: "CONTAINERS", fixed: true, right: true, spare: 4},
			value: of(func(_ *listing,
				p entity) string {
				return strconv.Itoa(len(p.Containers))
			})},
		{tableColumn: tableColumn{title: "IP", fixed: true, spare: 2},
			value: of(func(_ *listing, p entity) string { return p.IP })},
		{tableColumn: ownerColumn(), value: of(func(_ *listing, p entity) string {
			var owners []string
			for _, o := range p.Owners {
				owners = append(owners, o.Kind+"/"+o.Name)
			}
			return strings.Join(owners, ",")
		})},
		{tableColumn: ageColumn(), value: of(func(l *listing, p entity) string {
			return age(l.now, firstTime(p.StartTime, p.CreationTimestamp))
		})},
		{tableColumn: tableColumn{title: "QOS"}, wide: true,
			value: of(func(_ *listing, p entity) string { return p.QOSClass })},
		{tableColumn: tableColumn{title: "NODE"}, wide: true,
			value: of(func(_ *listing, p entity) string { return p.NodeName })},
		{tableColumn: tableColumn{title: "UID"}, wide: true,
			value: of(func(_ *listing, p entity) string { return p.ID })},
	}
}

func deploymentColumns() []column {
	type entity = *workloadmeta.KubernetesDeployment
	return []column{
		{tableColumn: tableColumn{title: "DEPLOYMENT", rank: 2, least: 24},
			value: of(func(_ *listing, d entity) string { return inspect.NameOf(d) })},
		{tableColumn: tableColumn{title: "AUTOSCALERS", fixed: true, spare: 2},
			value: of(func(_ *listing, d entity) string {
				return strings.Join(d.AutoscalerKinds, ",")
			})},
		labelsColumn(),
	}
}

func serviceColumns() []column {
	type entity = *workloadmeta.KubernetesService
	return []column{
		{tableColumn: tableColumn{title: "SERVICE", rank: 2, least: 24},
			value: of(func(_ *listing, s entity) string { return inspect.NameOf(s) })},
		{tableColumn: tableColumn{title: "TYPE", fixed: true, spare: 2},
			value: of(func(_ *listing, s entity) string { return s.Type })},
		{tableColumn: tableColumn{title: "CLUSTER-IP", fixed: true, spare: 2},
			value: of(func(_ *listing, s entity) string {
				return strings.Join(s.ClusterIPs, ",")
			})},
		{tableColumn: tableColumn{title: "PODS", fixed: true, right: true, spare: 1},
			value: of(func(_ *listing, s entity) string { return strconv.Itoa(len(s.Pods)) })},
		{tableColumn: tableColumn{title: "SELECTOR"}, wide: true,
			value: of(func(_ *listing, s entity) string { return pairs(s.Selector) })},
		labelsColumn(),
	}
}

// objectColumns are those of what is known by its metadata.
func objectColumns(class inspect.Class) []column {
	return []column{
		{tableColumn: tableColumn{title: strings.ToUpper(class.String()), rank: 2, least: 24},
			value: func(_ *listing, e inspect.Entity) string {
				id := e.Workload.GetID().ID
				return firstText(inspect.NameOf(e.Workload), id[strings.LastIndex(id, "/")+1:])
			}},
		labelsColumn(),
	}
}

func labelsColumn() column {
	return column{tableColumn: tableColumn{title: "LABELS"}, wide: true,
		value: func(_ *listing, e inspect.Entity) string {
			if m, ok := e.Workload.(interface {
				Meta() *workloadmeta.EntityMeta
			}); ok {
				return pairs(m.Meta().Labels)
			}
			return ""
		}}
}

// pairs writes labels as kubectl does.
func pairs(m map[string]string) string {
	var list []string
	for key, value := range m {
		list = append(list, key+"="+value)
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

func imageColumns() []column {
	type entity = *workloadmeta.ContainerImageMetadata
	return []column{
		{tableColumn: tableColumn{title: "IMAGE", fixed: true},
			value: of(func(l *listing, i entity) string { return l.id(i.ID) })},
		{tableColumn: tableColumn{title: "NAME", cut: cutFront, rank: 2, least: 30},
			value: of(func(_ *listing, i entity) string { return inspect.NameOf(i) })},
		{tableColumn: tableColumn{title: "PLATFORM", fixed: true, spare: 2},
			value: of(func(_ *listing, i entity) string {
				return strings.Trim(i.OS+"/"+i.Architecture+"/"+i.Variant, "/")
			})},
		{tableColumn: tableColumn{title: "SIZE", fixed: true, right: true, spare: 2},
			value: of(func(_ *listing, i entity) string { return size(i.SizeBytes) })},
		{tableColumn: tableColumn{title: "LAYERS", right: true}, wide: true,
			value: of(func(_ *listing, i entity) string { return number(len(i.Layers)) })},
		{tableColumn: tableColumn{title: "DIGESTS"}, wide: true,
			value: of(func(_ *listing,
				i entity) string {
				return strings.Join(i.RepoDigests, ",")
			})},
	}
}

func taskColumns() []column {
	type entity = *workloadmeta.ECSTask
	return []column{
		{tableColumn: tableColumn{title: "TASK", rank: 2, least: 20},
			value: of(func(l *listing, t entity) string {
				if l.wide {
					return t.ID
				}
				return t.ID[strings.LastIndex(t.ID, "/")+1:]
			})},
		{tableColumn: tableColumn{title: "FAMILY", rank: 2, least: 16},
			value: of(func(_ *listing, t entity) string {
				return strings.Trim(t.Family+":"+t.Version, ":")
			})},
		{tableColumn: tableColumn{title: "CLUSTER", spare: 2},
			value: of(func(_ *listing, t entity) string { return t.ClusterName })},
		{tableColumn: tableColumn{title: "LAUNCH", fixed: true, spare: 2},
			value: of(func(_ *listing, t entity) string { return string(t.LaunchType) })},
		{tableColumn: tableColumn{title: statusTitle, fixed: true, spare: 1},
			value: of(func(_ *listing, t entity) string { return t.KnownStatus })},
		{tableColumn: tableColumn{title: "CONTAINERS", fixed: true, right: true, spare: 3},
			value: of(func(_ *listing,
				t entity) string {
				return strconv.Itoa(len(t.Containers))
			})},
	}
}

// The columns that say how something is.
const (
	stateTitle  = "STATE"
	phaseTitle  = "PHASE"
	statusTitle = "STATUS"
)

// tableOf returns the table of entities of one kind, sorted for people: by namespace and name where
// there is one.
func (a *app) tableOf(class inspect.Class, entities []inspect.Entity,
	list inspect.List) *table {
	l := &listing{wide: a.wide(), now: list.At, names: list.Names}
	excluded := slices.ContainsFunc(entities,
		func(e inspect.Entity) bool { return e.ExcludedBy != "" })
	t := &table{}
	var columns []column
	for _, c := range columnsOf(class) {
		if c.wide && !l.wide || c.title == excludedTitle && !excluded {
			continue
		}
		columns = append(columns, c)
		t.columns = append(t.columns, c.tableColumn)
	}
	sorted := slices.Clone(entities)
	slices.SortStableFunc(sorted, func(a, b inspect.Entity) int {
		return strings.Compare(sortName(a.Workload), sortName(b.Workload))
	})
	for _, e := range sorted {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = c.value(l, e)
		}
		t.rows = append(t.rows, row)
	}
	t.color = func(row, col int) string {
		switch {
		case sorted[row].ExcludedBy != "":
			return faint
		case t.columns[col].title == stateTitle, t.columns[col].title == phaseTitle:
			return stateColor(t.rows[row][col])
		case t.columns[col].title == tagsTitle:
			return faint
		}
		return ""
	}
	return t
}

// id is an ID as it is shown.
func (l *listing) id(id string) string {
	if l.wide {
		return id
	}
	return inspect.ShortID(id)
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

// sortName is what entities are sorted by for people; "" leaves them in the order of their IDs.
func sortName(entity workloadmeta.Entity) string {
	if _, ok := entity.(*workloadmeta.Process); ok {
		return ""
	}
	return inspect.NameOf(entity)
}

func (l *listing) ownerOf(owner *workloadmeta.EntityID) string {
	if owner == nil {
		return ""
	}
	if name := l.names[owner.String()]; name != "" {
		return inspect.ShortKind(owner.Kind) + "/" + name
	}
	return owner.String()
}

func imageOf(i workloadmeta.ContainerImage) string {
	if i.Name == "" {
		return firstText(i.RawName, inspect.ShortID(i.ID))
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

// age says how long ago something was in one unit, "" if it is not known.
func age(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	switch d := max(now.Sub(t), 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
