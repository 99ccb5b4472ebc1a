package workloadmeta

// Combine returns what several reporters of one source, such as Docker and the containerd below it,
// say together about one entity; reports are sorted by whose word counts more, the strongest first,
// and observed are the same ones, sorted by whose word counts more on what changes by the minute.
// With one report the result is that entity itself; otherwise it is new, but may share maps and
// lists with the reports.
//
// Fields are taken as [Merge] takes those of several sources. Differently from there, what only
// makes sense together is taken from one reporter: a container's state with its process and restart
// count from the first observer that knows its status, its addresses from the first observer that
// knows any, its image from the first reporter that knows one. So a reporter that polls does not
// make a container run that another has seen ending.
func Combine(reports, observed []Entity) Entity {
	if len(reports) == 1 {
		return reports[0]
	}
	out := reports[0].merged(reports, observed)
	c, ok := out.(*Container)
	if !ok {
		return out
	}
	byIdentity, byObservation := as[*Container](reports), as[*Container](observed)
	first := func(views []*Container, knows func(*Container) bool) *Container {
		for _, v := range views {
			if knows(v) {
				return v
			}
		}
		return views[0]
	}
	state := first(byObservation,
		func(v *Container) bool { return v.State.Status != "" && v.State.Status != StatusUnknown })
	created, started, health := c.State.CreatedAt, c.State.StartedAt, c.State.Health
	c.State = state.State
	fillTime(&c.State.CreatedAt, created)
	fillTime(&c.State.StartedAt, started)
	if c.State.Status == StatusRunning &&
		(c.State.Health == "" || c.State.Health == HealthUnknown) {
		c.State.Health = health
	}
	c.RestartCount = state.RestartCount
	if !state.State.Running {
		c.PID = state.PID
	}
	image := first(byIdentity, func(v *Container) bool { return v.Image.Name != "" })
	id, digest := c.Image.ID, c.Image.RepoDigest
	c.Image = image.Image
	fill(&c.Image.ID, id)
	fill(&c.Image.RepoDigest, digest)
	addresses := first(byObservation,
		func(v *Container) bool { return len(v.NetworkIPs)+len(v.NetworkIPv6s) > 0 })
	c.NetworkIPs, c.NetworkIPv6s = addresses.NetworkIPs, addresses.NetworkIPv6s
	c.Ports = first(byIdentity, func(v *Container) bool { return len(v.Ports) > 0 }).Ports
	return c
}

// Ended returns what is left to say of an entity that a stronger reporter has seen ending, with
// this as its last word, while a weaker one, which has not looked since, still reports it: for a
// container, what both know of it, that it has stopped, and how. It is nil if the end tells
// nothing.
func Ended(report, end Entity) Entity {
	last, ok := end.(*Container)
	if !ok || last.State.Status != StatusStopped && last.State.ExitCode == nil {
		return nil
	}
	both := []Entity{end, report}
	out, ok := Combine(both, both).(*Container)
	if !ok {
		return nil
	}
	out.PID = 0
	out.State.Running, out.State.Status = false, StatusStopped
	return out
}
