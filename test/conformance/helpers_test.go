// Package conformance_test holds rollcall against recorded behaviour: the tables and
// event scripts in testdata/tags. A case with a "deviation" says what the reference
// does instead and why rollcall does not.
//
// ROLLCALL_VECTORS names another folder with the same files, which are then run too.
package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/ecsarn"
	"github.com/rollcall-dev/rollcall/pkg/gpu"
	"github.com/rollcall-dev/rollcall/pkg/image"
	"github.com/rollcall-dev/rollcall/pkg/kubenames"
	"github.com/rollcall-dev/rollcall/pkg/tagset"
)

const ownVectors = "testdata/tags"

// vectorFolders returns the folders to run.
func vectorFolders() []string {
	folders := []string{ownVectors}
	if other := os.Getenv("ROLLCALL_VECTORS"); other != "" {
		folders = append(folders, other)
	}
	return folders
}

// knownHelperDeviations are cases of the reference's helpers.json that rollcall knowingly
// fails: function, blank, the input as compact JSON.
var knownHelperDeviations = map[string]string{
	`json_number_format 1000000`:  "numbers are printed as they are written",
	`json_number_format 12345678`: "numbers are printed as they are written",
	`merge_container`:             "each field has a written order of sources, lists are united, an exit code of 0 counts",
}

// helperCase is one case of any function; which fields there are depends on it.
type helperCase struct {
	In    json.RawMessage `json:"in"`
	Out   json.RawMessage `json:"out"`
	Error json.RawMessage `json:"error"` // text the error must have, or true

	// metadata_as_tags
	Config    map[string]string `json:"config"`
	Key       string            `json:"key"`
	Value     string            `json:"value"`
	Low, High []string

	// kube_metadata_entity_id, tagger_entity_id
	Group, Resource, Namespace, Name string
	Kind, ID                         string

	// ecs_region_and_account
	Region, Account string

	// merge_ports, merge_container
	First, Second []workloadmeta.ContainerPort
	BySource      map[workloadmeta.Source]map[string]any `json:"by_source"`

	Deviation string `json:"deviation"`
}

func (c *helperCase) in(t *testing.T, v any) { decode(t, c.In, v) }

func decode(t *testing.T, data json.RawMessage, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
}

// wantError compares an error with what the case says: a failing case names a part of
// the message, or is just true.
func (c *helperCase) wantError(err error) error {
	want := string(c.Error)
	switch {
	case want == "" && err != nil:
		return fmt.Errorf("unexpected error: %w", err)
	case want != "" && err == nil:
		return fmt.Errorf("no error, want %s", want)
	case strings.HasPrefix(want, `"`) && !strings.Contains(err.Error(), strings.Trim(want, `"`)):
		return fmt.Errorf("error %w, want one with %s", err, want)
	}
	return nil
}

// same compares a result with the case's output, both as JSON values.
func (c *helperCase) same(t *testing.T, got any) error {
	t.Helper()
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var have, want any
	decode(t, data, &have)
	decode(t, c.Out, &want)
	if diff := cmp.Diff(want, have); diff != "" {
		return fmt.Errorf("result differs (-want +got):\n%s", diff)
	}
	return nil
}

// helpers runs one case of each function.
var helpers = map[string]func(*testing.T, *helperCase) error{
	"split_image_name": func(t *testing.T, c *helperCase) error {
		var name string
		c.in(t, &name)
		ref, err := image.Split(name)
		if e := c.wantError(err); e != nil || err != nil {
			return e
		}
		return c.same(t,
			map[string]string{"name": ref.Name, "registry": ref.Registry,
				"short_name": ref.ShortName, "tag": ref.Tag})
	},
	"new_container_image": func(t *testing.T, c *helperCase) error {
		var in struct{ ID, Name string }
		c.in(t, &in)
		ref, err := image.ForContainer(in.Name)
		if e := c.wantError(err); e != nil {
			return e
		}
		return c.same(t,
			map[string]string{"id": in.ID, "raw_name": in.Name, "name": ref.Name,
				"registry": ref.Registry, "short_name": ref.ShortName, "tag": ref.Tag})
	},
	"split_repo_tag": func(t *testing.T, c *helperCase) error {
		var reference string
		c.in(t, &reference)
		repository, tag := image.SplitRepoTag(reference)
		return c.same(t, []string{repository, tag})
	},
	"deployment_from_replicaset": stringHelper(kubenames.DeploymentFromReplicaSet),
	"cronjob_from_job":           stringHelper(kubenames.CronJobFromJob),
	"gpu_type_from_device_name":  stringHelper(gpu.TypeFromDeviceName),
	"gpu_vendor_from_resource_name": func(t *testing.T, c *helperCase) error {
		var resource string
		c.in(t, &resource)
		if vendor, ok := gpu.VendorFromResourceName(resource); ok {
			return c.same(t, vendor)
		}
		return c.same(t, nil)
	},
	"kube_metadata_entity_id": func(t *testing.T, c *helperCase) error {
		want := kubenames.MetadataID{Group: c.Group, Resource: c.Resource, Namespace: c.Namespace,
			Name: c.Name}
		if got := kubenames.MetadataEntityID(c.Group, c.Resource, c.Namespace,
			c.Name); got != c.ID {
			return fmt.Errorf("MetadataEntityID = %q, want %q", got, c.ID)
		}
		if got, err := kubenames.ParseMetadataEntityID(c.ID); err != nil || got != want {
			return fmt.Errorf("ParseMetadataEntityID = %+v, %w; want %+v", got, err, want)
		}
		return nil
	},
	"kube_metadata_entity_id_invalid": func(t *testing.T, c *helperCase) error {
		var id string
		c.in(t, &id)
		if got, err := kubenames.ParseMetadataEntityID(id); err == nil {
			return fmt.Errorf("ParseMetadataEntityID = %+v, want an error", got)
		}
		return nil
	},
	"tagger_entity_id": func(t *testing.T, c *helperCase) error {
		kind, err := workloadmeta.ParseKind(c.Kind)
		if err != nil {
			return err
		}
		id := extract.TaggerID(workloadmeta.EntityID{Kind: kind, ID: c.ID})
		if parsed, err := tagger.ParseEntityID(string(id)); err != nil || parsed != id {
			return fmt.Errorf("ParseEntityID(%q) = %q, %w", id, parsed, err)
		}
		return c.same(t, id)
	},
	"cardinality_from_string": func(t *testing.T, c *helperCase) error {
		var text string
		c.in(t, &text)
		cardinality, err := tagger.ParseCardinality(text)
		if e := c.wantError(err); e != nil {
			return e
		}
		return c.same(t, cardinality.String())
	},
	"ecs_region_and_account": func(t *testing.T, c *helperCase) error {
		var arn string
		c.in(t, &arn)
		if region, account := ecsarn.RegionAndAccount(arn); region != c.Region ||
			account != c.Account {
			return fmt.Errorf("RegionAndAccount = %q, %q; want %q, %q", region, account, c.Region,
				c.Account)
		}
		return nil
	},
	"tags_hash": func(t *testing.T, c *helperCase) error {
		var tags []string
		c.in(t, &tags)
		before := slices.Clone(tags)
		hash := tagset.Hash(tags)
		if !slices.Equal(tags, before) {
			return fmt.Errorf("the input was changed to %q", tags)
		}
		return c.same(t, hash)
	},
	"metadata_as_tags":   metadataAsTags,
	"json_number_format": jsonNumberFormat,
	"merge_ports": func(t *testing.T, c *helperCase) error {
		id := workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c"}
		merged := workloadmeta.Merge([]workloadmeta.Report{
			reported(workloadmeta.SourceNodeOrchestrator,
				&workloadmeta.Container{EntityID: id, Ports: c.First}),
			reported(workloadmeta.SourceRuntime,
				&workloadmeta.Container{EntityID: id, Ports: c.Second}),
		}).(*workloadmeta.Container)
		var want []workloadmeta.ContainerPort
		decode(t, c.Out, &want)
		if diff := cmp.Diff(want, merged.Ports); diff != "" {
			return fmt.Errorf("ports differ (-want +got):\n%s", diff)
		}
		return nil
	},
	"merge_container": func(t *testing.T, c *helperCase) error {
		var reports []workloadmeta.Report
		for source, fields := range c.BySource {
			reports = append(reports, reported(source, container(t, fields)))
		}
		slices.SortFunc(reports, func(a, b workloadmeta.Report) int {
			return workloadmeta.CompareReporters(a.Reporter, b.Reporter)
		})
		var want map[string]any
		decode(t, c.Out, &want)
		if got, want := workloadmeta.Merge(reports), container(t, want); !got.Equal(want) {
			return fmt.Errorf("merged differs (-want +got):\n%s", cmp.Diff(want, got))
		}
		return nil
	},
}

// reported is a live report of code that is no collector.
func reported(source workloadmeta.Source, e workloadmeta.Entity) workloadmeta.Report {
	return workloadmeta.NewReport(workloadmeta.NewReporter(source), e, time.Time{})
}

func stringHelper(f func(string) string) func(*testing.T, *helperCase) error {
	return func(t *testing.T, c *helperCase) error {
		var in string
		c.in(t, &in)
		return c.same(t, f(in))
	}
}

func container(t *testing.T, fields map[string]any) workloadmeta.Entity {
	t.Helper()
	fields = maps.Clone(fields)
	fields["kind"], fields["id"] = "container", "c"
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	e, unknown, err := workloadmeta.UnmarshalEntity(data)
	if err != nil || len(unknown) > 0 {
		t.Fatalf("container %s: unknown fields %q, %v", data, unknown, err)
	}
	return e
}

// metadataAsTags tries a mapping everywhere mappings apply.
func metadataAsTags(_ *testing.T, c *helperCase) error {
	metadata := map[string]string{c.Key: c.Value}
	pod := workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: "p"}
	object := workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesMetadata, ID: "/nodes//n"}
	for where, try := range map[string]struct {
		options extract.Options
		entity  workloadmeta.Entity
		has     []string // tags the entity has anyway
	}{
		"container label": {extract.Options{ContainerLabelsAsTags: c.Config},
			&workloadmeta.Container{
				EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainer, ID: "c"},
				EntityMeta: workloadmeta.EntityMeta{Labels: metadata}}, []string{"container_id:c"}},
		"container variable": {extract.Options{DockerEnvAsTags: c.Config}, &workloadmeta.Container{
			EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindContainer,
				ID: "c"}, EnvVars: metadata}, []string{"container_id:c"}},
		"image label": {extract.Options{DockerLabelsAsTags: c.Config},
			&workloadmeta.ContainerImageMetadata{
				EntityID:   workloadmeta.EntityID{Kind: workloadmeta.KindContainerImage, ID: "i"},
				EntityMeta: workloadmeta.EntityMeta{Labels: metadata}}, nil},
		"pod label": {extract.Options{KubernetesPodLabelsAsTags: c.Config},
			&workloadmeta.KubernetesPod{
				EntityID: pod, EntityMeta: workloadmeta.EntityMeta{Labels: metadata}}, nil},
		"pod annotation": {extract.Options{KubernetesPodAnnotationsAsTags: c.Config},
			&workloadmeta.KubernetesPod{
				EntityID: pod, EntityMeta: workloadmeta.EntityMeta{Annotations: metadata}}, nil},
		"namespace label": {extract.Options{KubernetesNamespaceLabelsAsTags: c.Config},
			&workloadmeta.KubernetesPod{
				EntityID: pod, NamespaceLabels: metadata}, nil},
		"namespace annotation": {extract.Options{KubernetesNamespaceAnnotationsAsTags: c.Config},
			&workloadmeta.KubernetesPod{
				EntityID: pod, NamespaceAnnotations: metadata}, nil},
		"node annotation": {
			extract.Options{
				KubernetesResourcesAnnotationsAsTags: map[string]map[string]string{
					"nodes": c.Config}},
			&workloadmeta.KubernetesMetadata{EntityID: object,
				EntityMeta: workloadmeta.EntityMeta{Annotations: metadata}}, nil},
	} {
		x, err := extract.New(try.options)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		info := x.Extract(try.entity, nil)[0]
		highTags := slices.DeleteFunc(info.HighCardTags,
			func(tag string) bool { return slices.Contains(try.has, tag) })
		if !sameTags(info.LowCardTags, c.Low) || !sameTags(highTags, c.High) ||
			len(info.OrchestratorCardTags) > 0 {
			return fmt.Errorf("%s: low %q, high %q; want %q, %q", where, info.LowCardTags, highTags,
				c.Low, c.High)
		}
	}
	return nil
}

func sameTags(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// jsonNumberFormat puts the number, as it is spelt in the file, into an annotation.
func jsonNumberFormat(t *testing.T, c *helperCase) error {
	var want string
	decode(t, c.Out, &want)
	x, err := extract.New(extract.Options{})
	if err != nil {
		return err
	}
	info := x.Extract(&workloadmeta.KubernetesPod{
		EntityID: workloadmeta.EntityID{Kind: workloadmeta.KindKubernetesPod, ID: "p"},
		EntityMeta: workloadmeta.EntityMeta{Annotations: map[string]string{
			"ad.datadoghq.com/tags": fmt.Sprintf(`{"one": %s, "list": [%s]}`, c.In, c.In),
		}},
	}, nil)[0]
	if !sameTags(info.LowCardTags, []string{"one:" + want, "list:" + want}) {
		return fmt.Errorf("tags %q, want values %q", info.LowCardTags, want)
	}
	return nil
}

func TestHelpers(t *testing.T) {
	for _, folder := range vectorFolders() {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(folder, "helpers.json"))
			if err != nil {
				t.Fatal(err)
			}
			var file struct{ Functions map[string][]json.RawMessage }
			decode(t, data, &file)
			for name := range helpers {
				if len(file.Functions[name]) == 0 {
					t.Errorf("no cases of %s", name)
				}
			}
			for name, cases := range file.Functions {
				for i, raw := range cases {
					t.Run(fmt.Sprintf("%s/%02d", name, i+1), func(t *testing.T) {
						runHelper(t, name, raw)
					})
				}
			}
		})
	}
}

func runHelper(t *testing.T, name string, raw json.RawMessage) {
	run := helpers[name]
	if run == nil {
		t.Fatalf("nothing runs %s", name)
	}
	c := helperCase{In: raw} // a case that is no object is its input
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		c.In = nil
		decode(t, raw, &c)
	}
	err := run(t, &c)
	if err == nil {
		return
	}
	key := strings.TrimSpace(name + " " + string(c.In))
	if reason := knownHelperDeviations[key]; reason != "" && c.Deviation == "" {
		t.Skipf("known deviation: %s", reason)
	}
	t.Errorf("%s: %v", raw, err)
}
