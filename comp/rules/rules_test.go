package rules_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/comp/rules"
	"github.com/rollcall-dev/rollcall/comp/tagger"
	wm "github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/image"
)

func compile(t testing.TB, list ...rules.Rule) *rules.Set {
	t.Helper()
	s, err := rules.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// when returns a condition by its text: "image", "label.team".
func when(field string, patterns ...string) rules.Condition {
	f, key, ok := rules.ParseField(field)
	if !ok {
		panic("no field " + field)
	}
	return rules.Condition{Field: f, Key: key, Patterns: patterns}
}

func exclude(conditions ...rules.Condition) rules.Rule {
	return rules.Rule{Name: "exclude", Action: rules.Exclude, When: conditions}
}

func include(conditions ...rules.Condition) rules.Rule {
	return rules.Rule{Name: "include", Action: rules.Include, When: conditions}
}

func container(change ...func(*wm.Container)) *wm.Container {
	c := &wm.Container{
		EntityID: wm.EntityID{Kind: wm.KindContainer, ID: "c1"},
		EntityMeta: wm.EntityMeta{Name: "web", Labels: map[string]string{
			"team": "blue", "Empty": "", "io.kubernetes.pod.namespace": "prod",
		}},
		EnvVars: map[string]string{"TIER": "gold"},
		Image: wm.ContainerImage{RawName: "docker.io/acme/web:1.2@sha256:00",
			Name: "docker.io/acme/web", ShortName: "web", Tag: "1.2"},
		Runtime: wm.RuntimeContainerd,
		Owner:   &wm.EntityID{Kind: wm.KindKubernetesPod, ID: "p1"},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// lookup knows some entities.
type lookup map[wm.EntityID]wm.Entity

func (l lookup) Get(id wm.EntityID) (wm.Entity, error) {
	if e, ok := l[id]; ok {
		return e, nil
	}
	return nil, errors.New("not known")
}

func podOf(c *wm.Container, change ...func(*wm.KubernetesPod)) lookup {
	p := &wm.KubernetesPod{EntityID: *c.Owner, EntityMeta: wm.EntityMeta{
		Name: "web-0", Namespace: "prod", Labels: map[string]string{"team": "red", "app": "shop"},
		Annotations: map[string]string{"note": "x"},
	}}
	for _, f := range change {
		f(p)
	}
	return lookup{p.EntityID: p}
}

func TestConditions(t *testing.T) {
	bare := func(c *wm.Container) { *c = wm.Container{EntityID: c.EntityID, Owner: c.Owner} }
	for _, c := range []struct {
		name   string
		when   []rules.Condition
		change func(*wm.Container)
		want   bool
	}{
		{name: "no condition", want: true},
		{name: "kind", when: []rules.Condition{when("kind", "container")}, want: true},
		{name: "another kind", when: []rules.Condition{when("kind", "pod")}},
		{name: "glob of kinds", when: []rules.Condition{when("kind", "cont*")}, want: true},
		{name: "runtime", when: []rules.Condition{when("runtime", "containerd")}, want: true},
		{name: "one of a list", when: []rules.Condition{when("runtime", "docker", "containerd")}, want: true},
		{name: "image without tag", when: []rules.Condition{when("image", "docker.io/acme/web")}, want: true},
		{name: "image with tag", when: []rules.Condition{when("image", "docker.io/acme/web:1.2")}, want: true},
		{name: "image, a glob matches all of it", when: []rules.Condition{when("image", "web*")}},
		{name: "image in its short spelling", when: []rules.Condition{when("image", "acme/web")}, want: true},
		{name: "image, a star crosses slashes", when: []rules.Condition{when("image", "*/web")}, want: true},
		{name: "image, a regex matches any part", when: []rules.Condition{when("image", "/acme/")}, want: true},
		{name: "image, a regex with anchors", when: []rules.Condition{when("image", "/^web/")}},
		{name: "name", when: []rules.Condition{when("name", "w*")}, want: true},
		{name: "case of values matters", when: []rules.Condition{when("name", "Web")}},
		{name: "namespace from the label", when: []rules.Condition{when("namespace", "prod")}, want: true},
		{name: "namespace from the pod", when: []rules.Condition{when("namespace", "prod")}, change: bare, want: true},
		{name: "no namespace", when: []rules.Condition{when("namespace", "")}},
		{name: "label", when: []rules.Condition{when("label.team", "blue")}, want: true},
		{name: "case of keys does not matter", when: []rules.Condition{when("label.TEAM", "blue")}, want: true},
		{name: "the container's own label hides the pod's", when: []rules.Condition{when("label.team", "red")}},
		{name: "label of the pod", when: []rules.Condition{when("label.app", "shop")}, want: true},
		{name: "annotation of the pod", when: []rules.Condition{when("annotation.note", "x")}, want: true},
		{name: "empty label", when: []rules.Condition{when("label.empty", "")}, want: true},
		{name: "empty label is there", when: []rules.Condition{when("label.empty", "*")}, want: true},
		{name: "missing label", when: []rules.Condition{when("label.nope", "")}, want: true},
		{name: "missing label and any text", when: []rules.Condition{when("label.nope", "*", "/.*/")}},
		{name: "variable", when: []rules.Condition{when("env.tier", "gold")}, want: true},
		{name: "key with the name", when: []rules.Condition{when("env.TIER", "gold"), when("label.%%name%%.x", "")}, want: true},
		{name: "all must hold", when: []rules.Condition{when("name", "web"), when("label.team", "red")}},
		{name: "braces and brackets mean themselves without a star", when: []rules.Condition{when("name", "{web,x}")}},
		{name: "and have a meaning with one", when: []rules.Condition{when("name", "{web,x}*")}, want: true},
		{name: "resource", when: []rules.Condition{when("resource", "pods")}},
		{name: "no resource", when: []rules.Condition{when("resource", "")}, want: true},
		{name: "no image", when: []rules.Condition{when("image", "")}, change: bare, want: true},
		{name: "no runtime", when: []rules.Condition{when("runtime", "")}, change: bare, want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*wm.Container) {}
			}
			e := container(change)
			if got := compile(t, exclude(c.when...)).Why(e, podOf(e),
				rules.Everything); got.Excluded != c.want {
				t.Errorf("Why() = %v, want %v", got.Excluded, c.want)
			}
		})
	}
}

// TestPrefixMatchIsAnchorable is about an old complaint: kube_namespace:dev also matches
// dev-2. The old filters go on to do so, unless they are anchored; a name in a rule does not.
func TestPrefixMatchIsAnchorable(t *testing.T) {
	in := func(namespace string) wm.Entity {
		return container(func(c *wm.Container) {
			c.Labels["io.kubernetes.pod.namespace"] = namespace
		})
	}
	for item, want := range map[string][2]bool{"kube_namespace:dev": {true, true},
		"kube_namespace:^dev$": {true, false}} {
		list, _, err := rules.Translate(
			[]rules.Filter{{Option: "container_exclude", Items: []string{item}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := compile(t, list...)
		if got := [2]bool{s.Why(in("dev"), nil, 0).Excluded,
			s.Why(in("dev-2"), nil, 0).Excluded}; got != want {
			t.Errorf("%s excludes dev, dev-2: %v, want %v", item, got, want)
		}
	}
	s := compile(t, exclude(when("namespace", "dev")))
	if !s.Why(in("dev"), nil, 0).Excluded || s.Why(in("dev-2"), nil, 0).Excluded {
		t.Error("namespace: dev does not match dev alone")
	}
}

// TestEmptyNamespaceIsExcludable is about an old complaint: what is in no namespace could
// not be excluded.
func TestEmptyNamespaceIsExcludable(t *testing.T) {
	plain := container(func(c *wm.Container) { c.Labels, c.Owner = nil, nil })
	list, _, err := rules.Translate(
		[]rules.Filter{{Option: "container_exclude", Items: []string{"kube_namespace:^$"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*rules.Set{"rule": compile(t, exclude(when("namespace", ""))),
		"filter": compile(t, list...)} {
		if !s.Why(plain, nil, 0).Excluded || s.Why(container(), nil, 0).Excluded {
			t.Errorf(
				"%s: a container without namespace: excluded %v, one with: %v; want true, false",
				name,
				s.Why(plain, nil, 0).Excluded, s.Why(container(), nil, 0).Excluded)
		}
	}
	// As before, other expressions match nothing where there is no value.
	list, _, err = rules.Translate(
		[]rules.Filter{{Option: "container_exclude", Items: []string{"kube_namespace:.*"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if compile(t, list...).Why(plain, nil, 0).Excluded {
		t.Error("kube_namespace:.* excludes a container without namespace")
	}
}

// containerd's namespaces are not Kubernetes': every pod's container is in k8s.io, and what ctr
// starts is in default.
func TestNamespaceIsThePodsWhateverTheRuntimeCallsItsOwn(t *testing.T) {
	in := func(own string, edit func(*wm.Container)) *wm.Container {
		c := &wm.Container{EntityID: wm.EntityID{Kind: wm.KindContainer, ID: "c"},
			Runtime: wm.RuntimeContainerd}
		c.Namespace = own
		edit(c)
		return c
	}
	pod := in("k8s.io", func(c *wm.Container) {
		c.Labels = map[string]string{"io.kubernetes.pod.namespace": "prod"}
	})
	plain := in("default", func(*wm.Container) {})
	filter := func(item string) *rules.Set {
		list, _, err := rules.Translate(
			[]rules.Filter{{Option: "container_exclude", Items: []string{item}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return compile(t, list...)
	}
	if s := filter("kube_namespace:^prod$"); !s.Why(pod, nil, 0).Excluded ||
		s.Why(plain, nil, 0).Excluded {
		t.Error("kube_namespace:^prod$ is not about the pod's namespace")
	}
	if s := filter("kube_namespace:^(default|k8s.io)$"); s.Why(pod, nil, 0).Excluded ||
		s.Why(plain, nil, 0).Excluded {
		t.Error("kube_namespace is about containerd's namespace")
	}
	if s := compile(t, exclude(when("namespace", ""))); s.Why(pod, nil, 0).Excluded ||
		!s.Why(plain, nil, 0).Excluded {
		t.Error(`namespace: "" is not what runs outside of Kubernetes`)
	}
}

// With a glob for a key the condition matched nothing, and every variable was let out of the
// containers.
func TestConditionKeysAreNoGlobs(t *testing.T) {
	for _, field := range []rules.Field{rules.Env, rules.Label, rules.Annotation} {
		_, err := rules.Compile(
			[]rules.Rule{
				{Action: rules.Exclude,
					When: []rules.Condition{{Field: field, Key: "*", Patterns: []string{"x"}}}}})
		if err == nil || !strings.Contains(err.Error(), `"*"`) {
			t.Errorf("field %v: %v", field, err)
		}
	}
	if _, err := rules.Compile(
		[]rules.Rule{
			{Action: rules.Exclude,
				When: []rules.Condition{{Field: rules.Env, Key: "A"}}}}); err == nil {
		t.Error("a condition on a variable without a pattern is accepted")
	}
}

// TestIncludeDoesNotResurrectPause is about an old bug: an include took precedence over the
// list of pause images.
func TestIncludeDoesNotResurrectPause(t *testing.T) {
	filters, _, err := rules.Translate(
		[]rules.Filter{{Option: "container_include", Items: []string{"image:.*", "name:.*"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := append(filters, include())
	s := compile(t, append(list, rules.Pause()...)...)
	for name, c := range map[string]*wm.Container{
		"image": container(func(c *wm.Container) {
			c.Image = wm.ContainerImage{Name: "registry.k8s.io/pause", Tag: "3.9"}
		}),
		"Fargate's image": container(func(c *wm.Container) {
			c.Image = wm.ContainerImage{Name: "aws-fargate-pause"}
		}),
		"ECS's name": container(func(c *wm.Container) { c.Name = "~internal~ecs~pause" }),
		"ECS's label": container(func(c *wm.Container) {
			c.Labels["com.amazonaws.ecs.container-name"] = "~internal~ecs~emptyvolume-source"
		}),
		"docker's label": container(func(c *wm.Container) {
			c.Labels["io.kubernetes.docker.type"] = "podsandbox"
		}),
		"containerd": container(func(c *wm.Container) {
			c.Labels["io.cri-containerd.kind"] = "sandbox"
		}),
		"name POD": container(func(c *wm.Container) {
			c.Labels["io.kubernetes.container.name"] = "POD"
		}),
		"pod without name": container(func(c *wm.Container) {
			c.Labels["io.kubernetes.pod.name"] = "web-0"
		}),
	} {
		v := s.Why(c, nil, rules.Everything)
		if !v.Excluded || v.Rule.Origin != rules.Builtin {
			t.Errorf("%s: Why() = %v by %s, want excluded by a built-in rule", name, v.Excluded,
				v.Rule.Label())
		}
	}
	if v := s.Why(container(), nil, rules.Everything); v.Excluded {
		t.Errorf("a container that is no pause container is excluded by %s", v.Rule.Label())
	}
}

func TestPauseImagesAreThoseOfTheCollectors(t *testing.T) {
	s := compile(t, rules.Pause()...)
	for _, name := range []string{
		"pause", "k8s.gcr.io/pause", "rancher/mirrored-pause", "a.io/b/pause-amd64",
		"pause-linux-arm64", "pause-windows-1809", "mcr/pause-win",
		"amazon/amazon-ecs-pause", "x.io/amazon/amazon-ecs-pause", "openshift/origin-pod",
		"registry/rhel7/pod-infrastructure", "kubernetes/pause",
		"eks/pause-button", "myapp-pause", "pause2", "a/pauses", "amazon-ecs-pause", "origin-pod",
		"pause-me", "nginx", "pause/nginx", "mirrored-nginx",
	} {
		c := &wm.Container{EntityID: wm.EntityID{Kind: wm.KindContainer, ID: "c"},
			Image: wm.ContainerImage{Name: name, RawName: name + ":3.9", Tag: "3.9"}}
		if got, want := s.Why(c, nil, 0).Excluded, image.IsPause(name); got != want {
			t.Errorf("image %s: the rules exclude it: %v, the collectors: %v", name, got, want)
		}
	}
}

// Runtimes differ in how they spell one image.
func TestBothSpellingsOfAnImageMatch(t *testing.T) {
	named := func(name string) *wm.Container {
		return container(func(c *wm.Container) {
			c.Image = wm.ContainerImage{RawName: name + ":7", Name: name, Tag: "7"}
		})
	}
	docker, _, err := rules.ParseFilter("image:docker")
	if err != nil {
		t.Fatal(err)
	}
	if compile(t, exclude(docker...)).Why(named("redis"), nil, 0).Excluded {
		t.Error("image:docker excludes redis, which is from docker.io")
	}
	for _, item := range []string{"image:^redis$", "image:^redis:7$",
		"image:^docker.io/library/redis$"} {
		conditions, _, err := rules.ParseFilter(item)
		if err != nil {
			t.Fatal(err)
		}
		s := compile(t, exclude(conditions...))
		for name, want := range map[string]bool{"redis": true, "docker.io/library/redis": true,
			"index.docker.io/library/redis": true, "quay.io/redis": false, "acme/redis": false} {
			if got := s.Why(named(name), nil, 0).Excluded; got != want {
				t.Errorf("%s excludes %s: %v, want %v", item, name, got, want)
			}
		}
	}
}

// A digest, with or without a tag before it, is no part of an image's name.
func TestImagesAreMatchedWithoutTheirDigests(t *testing.T) {
	const hex = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	s := compile(t, rules.Rule{Action: rules.Drop, Names: []string{"x"},
		When: []rules.Condition{when("image", "docker.io/library/ubuntu")}})
	for _, reference := range []string{"docker.io/library/ubuntu:16.04@sha256:" + hex,
		"docker.io/library/ubuntu@sha512:" + hex + hex, "ubuntu:16.04@sha256:" +
			hex, "ubuntu:16.04"} {
		for _, e := range []*wm.ContainerImageMetadata{{RepoDigests: []string{reference}},
			{RepoTags: []string{reference}}} {
			e.EntityID = wm.EntityID{Kind: wm.KindContainerImage, ID: "i"}
			var subject rules.Subject
			subject.Reset(e, "", nil)
			if !s.Effect("x", tagger.LowCardinality, &subject).Dropped {
				t.Errorf("%s does not match", reference)
			}
		}
	}
}

// Docker under Kubernetes calls a container k8s_cart_p_shop_…; people call it cart.
func TestNameIsTheOneInThePod(t *testing.T) {
	c := container(func(c *wm.Container) {
		c.Name, c.Labels = "k8s_cart_p_shop_x_0",
			map[string]string{"io.kubernetes.container.name": "cart"}
	})
	plain := container(func(c *wm.Container) { c.Name, c.Labels = "k8s_cart_p_shop_x_0", nil })
	listed := podOf(plain, func(p *wm.KubernetesPod) {
		p.InitContainers = []wm.OrchestratorContainer{{ID: "other", Name: "x"},
			{ID: "c1", Name: "cart"}}
		p.Annotations = map[string]string{"ad.datadoghq.com/cart.exclude": "true"}
	})
	for _, pattern := range []string{"cart", "/^cart$/", "k8s_cart*"} {
		s := compile(t, exclude(when("name", pattern)))
		if !s.Why(c, nil, 0).Excluded || !s.Why(plain, listed, 0).Excluded {
			t.Errorf("name: %s does not match", pattern)
		}
	}
	s := compile(t, rules.PodAnnotations()...)
	if !s.Why(plain, listed, 0).Excluded {
		t.Error("the pod's annotation for the container is not heard")
	}
	own := podOf(plain, func(p *wm.KubernetesPod) {
		p.Annotations = map[string]string{"ad.datadoghq.com/k8s_cart_p_shop_x_0.exclude": "true"}
	})
	if !s.Why(plain, own, 0).Excluded {
		t.Error("the annotation by the runtime's own name is not heard")
	}
}

func TestFiltersAreTranslated(t *testing.T) {
	f := func(option string,
		items ...string) rules.Filter {
		return rules.Filter{Option: option, Items: items}
	}
	for _, c := range []struct {
		name                      string
		filters                   []rules.Filter
		everything, metrics, logs bool // excluded
	}{
		{name: "none"},
		{name: "image", filters: []rules.Filter{f("container_exclude", "image:acme")}, everything: true, metrics: true, logs: true},
		{name: "image by its whole name", filters: []rules.Filter{f("container_exclude", "image:^docker.io/acme/web$")}, everything: true, metrics: true, logs: true},
		{name: "include wins whatever the order", filters: []rules.Filter{f("container_include", "name:web"), f("container_exclude", "image:.*")}},
		{name: "include by namespace", filters: []rules.Filter{f("container_exclude", "name:.*"), f("container_include", "kube_namespace:^prod$")}},
		{name: "metrics only", filters: []rules.Filter{f("container_exclude_metrics", "name:web")}, metrics: true},
		{name: "logs only", filters: []rules.Filter{f("container_exclude_logs", "name:web")}, logs: true},
		{name: "all but metrics", filters: []rules.Filter{f("container_exclude", "name:web"), f("container_include_metrics", "name:web")}, everything: true, logs: true},
		{name: "the old names", filters: []rules.Filter{f("ac_exclude", "name:web")}, everything: true, metrics: true, logs: true},
		{name: "the old names give way, each by itself", filters: []rules.Filter{f("ac_exclude", "name:web"), f("ac_include", "name:web"), f("container_include", "name:other")},
			everything: true, metrics: true, logs: true},
		{name: "the new name counts", filters: []rules.Filter{f("ac_exclude", "name:web"), f("container_exclude", "name:other")}},
	} {
		list, warnings, err := rules.Translate(c.filters, nil)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v, %q", c.name, err, warnings)
		}
		s := compile(t, list...)
		for purpose, want := range map[rules.Purpose]bool{rules.Everything: c.everything,
			rules.Metrics: c.metrics, rules.Logs: c.logs} {
			if v := s.Why(container(), nil, purpose); v.Excluded != want {
				t.Errorf("%s: excluded from %s: %v by %s, want %v", c.name, purpose, v.Excluded,
					v.Rule.Label(), want)
			}
		}
	}
}

func TestBadFilters(t *testing.T) {
	_, _, err := rules.Translate(
		[]rules.Filter{{Option: "container_include_logs", Items: []string{"image:ok", "name:(x"}}},
		nil)
	if err == nil ||
		!strings.Contains(err.Error(),
			`option container_include_logs: item "name:(x": error parsing regexp`) {
		t.Errorf("Translate() error = %v; want option and item named", err)
	}
	where := func(option, item string) string { return "rollcall.yaml:3" }
	list, warnings,
		err := rules.Translate(
		[]rules.Filter{{Option: "container_exclude", Items: []string{"pod:x", "name:y"}}}, where)
	if err != nil || len(list) != 1 || len(warnings) != 1 ||
		!strings.HasPrefix(warnings[0],
			`container_exclude "pod:x" (rollcall.yaml:3): not understood`) {
		t.Errorf("Translate() = %v, %q, %v", list, warnings, err)
	}
}

// An empty expression left out every container of a machine: "image: nginx" in a variable is
// two items, of which the first is "image:".
func TestAnEmptyExpressionIsAnError(t *testing.T) {
	for _, item := range []string{"image:", "image: ", "name:", `name:""`, "kube_namespace: ,",
		"name:a,image:"} {
		_, _, err := rules.Translate(
			[]rules.Filter{{Option: "container_exclude", Items: []string{item}}}, nil)
		if err == nil || !strings.Contains(err.Error(), ":.*") {
			t.Errorf("item %q: error %v; want one that says how to write all", item, err)
		}
	}
	for _, pattern := range []string{"//", "/ /"} {
		for _, field := range []string{"image", "label.team"} {
			_, err := rules.Compile([]rules.Rule{exclude(when(field, pattern))})
			if err == nil || !strings.Contains(err.Error(), "/.*/") {
				t.Errorf("%s: %q: error %v; want one that says how to write all", field, pattern,
					err)
			}
		}
	}
}

// What cannot be part of a name is not part of an expression: blanks, commas and quotes
// around filters and between them.
func TestFiltersAreToldApart(t *testing.T) {
	for item, want := range map[string][]string{
		"image: nginx":                      {"image /nginx/"},
		"name:^cart$ ":                      {"name /^cart$/"},
		"kube_namespace:a,kube_namespace:b": {"namespace /a/", "namespace /b/"},
		"name:cart,":                        {"name /cart/"},
		"name:cart, image:a{1,2}":           {"name /cart/", "image /a{1,2}/"},
		"name:cart image:x":                 {"name /cart/", "image /x/"},
		`"image:acme/agent`:                 {"image /acme/agent/"},
		`"image:acme/agent" 'name:^cart$'`:  {"image /acme/agent/", "name /^cart$/"},
		`name:"^cart$"`:                     {"name /^cart$/"},
		"image:name:x":                      {"image /name:x/"},
		"kube_namespace:^(a|b)$":            {"namespace /^(a|b)$/"},
	} {
		conditions, known, err := rules.ParseFilter(item)
		var got []string
		for _, c := range conditions {
			got = append(got, c.Field.String()+" "+strings.Join(c.Patterns, " "))
		}
		if err != nil || !known || !slices.Equal(got, want) {
			t.Errorf("ParseFilter(%q) = %q, %v, %v; want %q", item, got, known, err, want)
		}
	}
}

func TestBlanksAroundPatternsAndNamesDoNotCount(t *testing.T) {
	for _, c := range []rules.Condition{when("name", " web "), when("name", "/^web$ /"),
		when("image", "docker.io/acme/* "), when("kind", " container")} {
		if !compile(t, exclude(c)).Why(container(), nil, 0).Excluded {
			t.Errorf("%s: %q does not match", c.Field, c.Patterns)
		}
	}
	s := compile(t, rules.Rule{Action: rules.Drop, Names: []string{"image_id "}})
	if !s.Effect("image_id", tagger.LowCardinality, &rules.Subject{}).Dropped {
		t.Error(`drop: "image_id " does not drop image_id`)
	}
}

// 1,000 conditional rules for one key cost 22 ms a container.
func TestManyRulesForOneKeySettleQuickly(t *testing.T) {
	var subject rules.Subject
	subject.Reset(container(), "", nil)
	prepare := func(n int) (cost func() time.Duration) {
		var list []rules.Rule
		for i := range n {
			r := tag("label", "*", fmt.Sprint("t", i%(n/2)))
			r.When = []rules.Condition{when("name", "web")}
			list = append(list, r)
		}
		table := compile(t, list...).Table(rules.Label, wm.KindContainer, "")
		return func() time.Duration {
			begin := time.Now()
			if made := table.Match(nil, "team", &subject); len(made) != n/2 {
				t.Fatalf("%d tags, want one for each name", len(made))
			}
			return time.Since(begin)
		}
	}
	some, many := prepare(500), prepare(10_000)
	small, large := time.Hour, time.Hour
	for range 20 { // others use the machine, too
		small, large = min(small, some()), min(large, many())
		if large <= 20*5*small { // 400 times as long, if it grew with the square
			return
		}
	}
	t.Errorf("500 rules settle in %s, 10,000 in %s", small, large)
}

// A tag's name ends at its first colon; a rule must be able to name it.
func TestAKeyWithAColonMakesATagThatRulesCanName(t *testing.T) {
	table := compile(t, tag("label", "*", "%%label%%")).Table(rules.Label, wm.KindContainer, "")
	for key, want := range map[string]string{"x:y": "x y:", "team": "team ", ":lead": "",
		"a:b:c": "a b:c:"} {
		got := ""
		for _, m := range table.Match(nil, key, &rules.Subject{}) {
			got += m.Name + " " + m.Prefix
		}
		if got != want {
			t.Errorf("key %q makes %q, want %q", key, got, want)
		}
	}
}

func TestPodAnnotationsExclude(t *testing.T) {
	s := compile(t, rules.PodAnnotations()...)
	c := container()
	for _, tc := range []struct {
		key, value                string
		everything, metrics, logs bool
	}{
		{"ad.datadoghq.com/exclude", "true", true, true, true},
		{"ad.datadoghq.com/exclude", "1", true, true, true},
		{"ad.datadoghq.com/exclude", "yes", false, false, false},
		{"ad.datadoghq.com/exclude", "false", false, false, false},
		{"ad.datadoghq.com/web.exclude", "True", true, true, true},
		{"ad.datadoghq.com/other.exclude", "true", false, false, false},
		{"ad.datadoghq.com/metrics_exclude", "true", false, true, false},
		{"ad.datadoghq.com/web.logs_exclude", "t", false, false, true},
	} {
		pod := podOf(c, func(p *wm.KubernetesPod) {
			p.Annotations = map[string]string{tc.key: tc.value}
		})
		for purpose, want := range map[rules.Purpose]bool{rules.Everything: tc.everything,
			rules.Metrics: tc.metrics, rules.Logs: tc.logs} {
			if got := s.Why(c, pod, purpose).Excluded; got != want {
				t.Errorf("%s: %q: excluded from %s: %v, want %v", tc.key, tc.value, purpose, got,
					want)
			}
		}
	}
	if s.Why(container(func(c *wm.Container) { c.Name = "" }), podOf(c), 0).Excluded {
		t.Error("a container without a name is excluded")
	}
}

func TestOnlyContainersAreExcluded(t *testing.T) {
	s := compile(t, exclude())
	if s.Why(&wm.Process{EntityID: wm.EntityID{Kind: wm.KindProcess, ID: "1"}}, nil, 0).Excluded {
		t.Error("a process is excluded")
	}
	var none *rules.Set
	if none.Why(container(), nil, 0).Excluded || none.Excludes() || none.HasEffects() ||
		none.Table(rules.Label, wm.KindContainer, "") != nil {
		t.Error("a nil set has rules")
	}
	filter := wm.NewFilter().Kind(wm.KindContainer,
		compile(t, exclude(when("name", "web"))).Predicate(rules.Everything))
	if filter.Accepts(container()) ||
		!filter.Accepts(container(func(c *wm.Container) { c.Name = "db" })) {
		t.Error("the predicate does not do what the rules say")
	}
}

func tag(from, key string, names ...string) rules.Rule {
	f, _, _ := rules.ParseField(from + ".x")
	return rules.Rule{Name: "tag", Action: rules.Tag, Names: names,
		From: rules.From{Field: f, Key: key}}
}

func TestTagRules(t *testing.T) {
	option := func(r rules.Rule) rules.Rule { r.Origin = rules.Option; return r }
	leveled := func(r rules.Rule, l tagger.TagCardinality) rules.Rule { r.Level = &l; return r }
	conditional := func(r rules.Rule, c ...rules.Condition) rules.Rule { r.When = c; return r }
	for _, c := range []struct {
		name string
		list []rules.Rule
		want []string // "name level"
	}{
		{"one", []rules.Rule{tag("label", "team", "team")}, []string{"team low"}},
		{"several names", []rules.Rule{tag("label", "TEAM", "team", "+squad")}, []string{"team low", "squad high"}},
		{"another key", []rules.Rule{tag("label", "tea", "team")}, nil},
		{"annotation", []rules.Rule{tag("annotation", "team", "team")}, nil},
		{"glob", []rules.Rule{tag("label", "t*m", "%%label%%_x", "+%%env%%")}, []string{"Team_x low", "Team high"}},
		{"level", []rules.Rule{leveled(tag("label", "team", "%%label%%"), tagger.OrchestratorCardinality)}, []string{"Team orchestrator"}},
		{"different names all apply", []rules.Rule{tag("label", "team", "a"), tag("label", "*", "b")}, []string{"a low", "b low"}},
		{"of one name the last applies", []rules.Rule{tag("label", "team", "a"), tag("label", "*", "+a")}, []string{"a high"}},
		{"in the order of the list", []rules.Rule{tag("label", "*", "+a"), tag("label", "team", "a")}, []string{"a low"}},
		{"options do not replace each other", []rules.Rule{option(tag("label", "team", "a")), option(tag("label", "*", "+a"))}, []string{"a low", "a high"}},
		{"rules replace options", []rules.Rule{option(tag("label", "team", "a")), tag("label", "*", "+a")}, []string{"a high"}},
		{"only those that apply", []rules.Rule{tag("label", "team", "a"), conditional(tag("label", "team", "+a"), when("name", "db"))}, []string{"a low"}},
		{"condition", []rules.Rule{conditional(tag("label", "team", "a"), when("name", "web"), when("kind", "container"))}, []string{"a low"}},
		{"condition on the kind", []rules.Rule{conditional(tag("label", "team", "a"), when("kind", "pod"))}, nil},
		{"condition on the resource", []rules.Rule{conditional(tag("label", "team", "a"), when("resource", "pods"))}, nil},
	} {
		s := compile(t, c.list...)
		var subject rules.Subject
		subject.Reset(container(), "", nil)
		var got []string
		for _, m := range s.Table(rules.Label, wm.KindContainer, "").Match(nil, "Team", &subject) {
			got = append(got, m.Name+" "+m.Level.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestEffects(t *testing.T) {
	drop := func(names ...string) rules.Rule {
		return rules.Rule{Name: "drop", Action: rules.Drop, Names: names}
	}
	keep := func(names ...string) rules.Rule {
		return rules.Rule{Name: "keep", Action: rules.Keep, Names: names}
	}
	rename := func(from, to string) rules.Rule {
		return rules.Rule{Name: "rename", Action: rules.Rename,
			Renames: []rules.Renaming{{Name: from, To: to}}}
	}
	level := func(name string, to tagger.TagCardinality) rules.Rule {
		return rules.Rule{Name: "level", Action: rules.Cardinality,
			Levels: []rules.Leveling{{Name: name, To: to}}}
	}
	conditional := func(r rules.Rule, c ...rules.Condition) rules.Rule { r.When = c; return r }
	for _, c := range []struct {
		name string
		list []rules.Rule
		want string
	}{
		{"none", nil, "app low"},
		{"another name", []rules.Rule{drop("ap"), rename("apps", "x"), level("a", 2)}, "app low"},
		{"drop", []rules.Rule{drop("x", "app")}, "dropped"},
		{"drop a glob", []rules.Rule{drop("a*")}, "dropped"},
		{"keep undoes an earlier drop", []rules.Rule{drop("a*"), keep("app")}, "app low"},
		{"but not a later one", []rules.Rule{keep("app"), drop("a*")}, "dropped"},
		{"rename", []rules.Rule{rename("app", "service_name")}, "service_name low"},
		{"the last rename", []rules.Rule{rename("app", "x"), rename("app", "y")}, "y low"},
		{"no chain", []rules.Rule{rename("app", "x"), rename("x", "y"), drop("x"), level("x", 2)}, "x low"},
		{"level", []rules.Rule{level("*", tagger.HighCardinality)}, "app high"},
		{"the last level", []rules.Rule{level("app", 2), level("a*", 1)}, "app orchestrator"},
		{"all together", []rules.Rule{rename("app", "x"), level("app", 2)}, "x high"},
		{"only those that apply", []rules.Rule{rename("app", "x"), conditional(rename("app", "y"), when("name", "db"))}, "x low"},
		{"condition", []rules.Rule{conditional(drop("app"), when("namespace", "prod"))}, "dropped"},
	} {
		var subject rules.Subject
		subject.Reset(container(), "", nil)
		f := compile(t, c.list...).Effect("app", tagger.LowCardinality, &subject)
		got := f.Name + " " + f.Level.String()
		if f.Dropped {
			got = "dropped"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := compile(t, conditional(drop("app"), when("name", "*"))).Effect("app",
		0, &rules.Subject{}); got.Dropped {
		t.Error("a rule with a condition applies to what is made from no entity")
	}
}

func TestBadRulesAreNamed(t *testing.T) {
	env := rules.Condition{Field: rules.Env, Key: "%%name%%", Patterns: []string{"x"}}
	none := tagger.NoneCardinality
	for _, c := range []struct {
		rule rules.Rule
		want string
	}{
		{rules.Rule{}, "unknown action(0)"},
		{rules.Rule{Action: rules.Exclude, Purpose: 9}, "unknown purpose(9)"},
		{exclude(when("image", "/(/")), `when: image: pattern "/(/": error parsing regexp`},
		{exclude(when("image", "[*")), `when: image: glob "[*"`},
		{exclude(when("kind", "pot")), `when: kind: unknown kind "pot"`},
		{exclude(rules.Condition{Field: rules.Label, Patterns: []string{"x"}}), `when: label.: the key is empty`},
		{exclude(rules.Condition{Field: rules.Name, Key: "x", Patterns: []string{"x"}}), `it has no key, have "x"`},
		{exclude(rules.Condition{Field: rules.Name}), `no pattern`},
		{exclude(rules.Condition{Patterns: []string{"x"}}), `unknown field; want kind, runtime, image, name, namespace, resource, label.<key>, annotation.<key>, env.<key>`},
		{exclude(env), `it must be known by its name`},
		{exclude(when("label.%%id%%", "x")), `unknown variable %%id%%; want %%name%%`},
		{rules.Rule{Action: rules.Tag, Names: []string{"x"}}, "from: want label, annotation or env"},
		{tag("label", "", "x"), "from: label: the key is empty"},
		{tag("label", "{a*", "x"), `from: label: glob "{a*"`},
		{tag("env", "A=B", "x"), `a variable's name has no "="`},
		{tag("label", "a"), "tag: no name"},
		{tag("label", "a", "+"), `tag "+": the name is empty`},
		{tag("label", "a", "b:c"), `tag "b:c": a tag's name has no colon`},
		{rules.Rule{Action: rules.Tag, Names: []string{"x"}, From: rules.From{Field: rules.Label, Key: "a"}, Level: &none}, "want low, orchestrator or high, have none"},
		{rules.Rule{Action: rules.Drop}, "drop: no name"},
		{tag("label", "a", "%%lable%%"), "tag \"%%lable%%\": unknown variable %%lable%%"},
		{tag("label", "a", "x_%%label%%:y"), "a tag's name has no colon"},
		{rules.Rule{Action: rules.Drop, Names: []string{""}}, "drop: the name is empty"},
		{rules.Rule{Action: rules.Keep, Names: []string{"a:b"}}, `keep: "a:b": a tag's name has no colon`},
		{rules.Rule{Action: rules.Rename, Renames: []rules.Renaming{{Name: "a*", To: "b"}}}, `rename: "a*": want one name, not a glob`},
		{rules.Rule{Action: rules.Rename, Renames: []rules.Renaming{{Name: "a"}}}, `to be rid of a tag, drop it`},
		{rules.Rule{Action: rules.Rename, Renames: []rules.Renaming{{Name: "a", To: "b:c"}}}, `rename: "b:c": a tag's name has no colon`},
		{rules.Rule{Action: rules.Rename, Renames: []rules.Renaming{{Name: " ", To: "b"}}}, "rename: the name is empty"},
		{rules.Rule{Action: rules.Cardinality, Levels: []rules.Leveling{{Name: "a:b"}}}, `cardinality: "a:b": a tag's name has no colon`},
		{rules.Rule{Action: rules.Drop, Renames: []rules.Renaming{{Name: "a", To: "b"}}}, "drop: no name"},
		{rules.Rule{Action: rules.Cardinality, Levels: []rules.Leveling{{Name: "a", To: none}}}, `want low, orchestrator or high, have none`},
	} {
		c.rule.Name, c.rule.Where = "rules[1]", "x.yaml:4"
		_, err := rules.Compile([]rules.Rule{c.rule})
		if err == nil || !strings.HasPrefix(err.Error(), "rules[1] (x.yaml:4): ") ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("Compile(%+v) error = %v\nwant %s", c.rule, err, c.want)
		}
	}
}

func TestEnvNames(t *testing.T) {
	list := []rules.Rule{tag("env", "TEAM", "team"), tag("label", "x", "x"),
		tag("env", "APP_*", "app"), exclude(when("env.Tier", "gold"))}
	if got, want := rules.EnvNames(list), []string{"app_*", "team", "tier"}; !slices.Equal(got,
		want) {
		t.Errorf("EnvNames() = %q, want %q", got, want)
	}
}

func TestRulesAsJSON(t *testing.T) {
	orchestrator := tagger.OrchestratorCardinality
	for _, c := range []struct {
		rule rules.Rule
		want string
	}{
		{exclude(when("image", "*/sidecar*")), `{"exclude":"containers","when":{"image":"*/sidecar*"}}`},
		{include(when("namespace", "", "prod"), when("label.team", "true")),
			`{"include":"containers","when":{"namespace":["","prod"],"label.team":"true"}}`},
		{rules.Rule{Action: rules.Tag, Names: []string{"a", "+b"}, From: rules.From{Field: rules.Label, Key: "x/y"}, Level: &orchestrator},
			`{"tag":["a","+b"],"from":{"label":"x/y"},"cardinality":"orchestrator"}`},
		{rules.Rule{Action: rules.Rename, Renames: []rules.Renaming{{Name: "a", To: "b"}}}, `{"rename":{"a":"b"}}`},
		{rules.Rule{Action: rules.Drop, Names: nil}, `{"drop":[]}`},
		{rules.Rule{Action: rules.Keep, Names: []string{"<&>"}}, `{"keep":"<&>"}`},
		{rules.Rule{Action: rules.Cardinality, Levels: []rules.Leveling{{Name: "pod_name"}}}, `{"cardinality":{"pod_name":"low"}}`},
	} {
		if got, err := c.rule.MarshalJSON(); err != nil || string(got) != c.want {
			t.Errorf("MarshalJSON() = %s, %v; want %s", got, err, c.want)
		}
	}
}

// Docker and Podman make names of their own for pods' containers: the manifest's is meant, too.
func TestManifestsNameOfAContainerCounts(t *testing.T) {
	e := container(func(c *wm.Container) {
		c.Name = "k8s_cart_web-0_shop_0d9c1f6e_0"
		c.Labels["io.kubernetes.container.name"] = "cart"
		c.Labels["cart.off"] = "yes"
	})
	for _, c := range []struct {
		when rules.Condition
		want bool
	}{
		{when("name", "cart"), true},
		{when("name", "k8s_cart_*"), true},
		{when("name", "web"), false},
		{when("name", ""), false},
		{when("label.%%name%%.off", "yes"), true},
	} {
		if got := compile(t, exclude(c.when)).Why(e, nil, 0).Excluded; got != c.want {
			t.Errorf("%v: excluded %v, want %v", c.when, got, c.want)
		}
	}
}

func TestRulesThatDoNothingAreNamed(t *testing.T) {
	filter := func(option, item string) rules.Rule {
		list, _, err := rules.Translate([]rules.Filter{{Option: option, Items: []string{item}}},
			nil)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0]
	}
	drop := func(action rules.Action, names ...string) rules.Rule {
		return rules.Rule{Name: action.String(), Action: action, Names: names}
	}
	s := compile(t, append([]rules.Rule{
		filter("container_include", "name:web"), filter("container_exclude", "image:^redis"),
		filter("container_exclude", "name:^web$"), filter("container_include",
			"kube_namespace:prod"),
		drop(rules.Keep, "env"), drop(rules.Drop, "srevice", "service", "image_*", "kube_*"),
		drop(rules.Keep, "kube_*"), tag("label", "nope", "nope"),
		{Name: "levels", Action: rules.Cardinality,
			Levels: []rules.Leveling{{Name: "pod_nam", To: tagger.LowCardinality}}},
	}, rules.Pause()...)...)
	entities := slices.Values([]wm.Entity{container()})
	made := func(wm.Entity) []rules.MadeBy {
		return []rules.MadeBy{{Name: "service"}, {Name: "image_name"}, {Name: "kube_x"},
			{Name: "env"}}
	}
	var got []string
	for _, idle := range s.Idle(entities, nil, made) {
		got = append(got, idle.Rule.Name+": "+idle.Reason)
	}
	want := []string{
		`container_include "name:web": nothing is left out before it, so that it brings nothing back`,
		`container_exclude "image:^redis": it matches no container here`,
		"keep: nothing is dropped before it, so that it keeps nothing",
		"drop: no tag here is called srevice", "tag: it makes no tag here",
		"levels: no tag here is called pod_nam",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Idle() = %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var none *rules.Set
	if none.Idle(entities, nil, made) != nil {
		t.Error("a nil set has rules")
	}
}
