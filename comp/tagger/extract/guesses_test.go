package extract_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger/extract"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// tagsOf returns the tags that one entity, in JSON, has on itself, at every level.
func tagsOf(t *testing.T, o extract.Options, text string) []string {
	t.Helper()
	e, unknown, err := workloadmeta.UnmarshalEntity([]byte(text))
	if err != nil || len(unknown) > 0 {
		t.Fatal(err, unknown)
	}
	x, err := extract.New(o)
	if err != nil {
		t.Fatal(err)
	}
	info := x.Extract(e, nil)[0]
	return slices.Concat(info.LowCardTags, info.OrchestratorCardTags, info.HighCardTags)
}

// What a pod tells decides over what its owners' names look like.
func TestOwnersAreNotGuessedWhereThePodTells(t *testing.T) {
	for text, want := range map[string]string{
		`"creation_timestamp":"2026-05-12T03:00:07Z","owners":[{"kind":"Job","name":"db-migrate-101"}]`:                  "kube_job:db-migrate-101",
		`"creation_timestamp":"2026-05-12T03:00:07Z","owners":[{"kind":"Job","name":"cleanup-20260512"}]`:                "kube_job:cleanup-20260512",
		`"creation_timestamp":"2026-05-12T03:00:07Z","owners":[{"kind":"Job","name":"a-29642580"}]`:                      "kube_cronjob:a kube_job:a-29642580",
		`"owners":[{"kind":"Job","name":"import-2024"}]`:                                                                 "kube_cronjob:import kube_job:import-2024",
		`"labels":{"app":"x"},"owners":[{"kind":"ReplicaSet","name":"cache-rds"}]`:                                       "",
		`"labels":{"pod-template-hash":"abcde"},"owners":[{"kind":"ReplicaSet","name":"web-abcde"}]`:                     "kube_deployment:web",
		`"labels":{"pod-template-hash":"bcdfg"},"owners":[{"kind":"ReplicaSet","name":"cache-rds"}]`:                     "",
		`"owners":[{"kind":"ReplicaSet","name":"cache-rds"}]`:                                                            "kube_deployment:cache",
		`"labels":{"rollouts-pod-template-hash":"6c45f8d6f6"},"owners":[{"kind":"ReplicaSet","name":"demo-6c45f8d6f6"}]`: "kube_argo_rollout:demo kube_deployment:demo",
	} {
		var got []string
		for _, tag := range tagsOf(t, extract.Options{},
			`{"kind":"kubernetes_pod","id":"p",`+text+`}`) {
			for _, name := range []string{"kube_cronjob:", "kube_job:", "kube_deployment:",
				"kube_argo"} {
				if strings.HasPrefix(tag, name) {
					got = append(got, tag)
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
}

// A digest is no part of a name and no tag, whatever its algorithm and whatever is before it.
func TestDigestsOfImagesMakeNoTags(t *testing.T) {
	const hex = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	for _, field := range []string{"repo_tags", "repo_digests"} {
		for reference, want := range map[string]string{
			"docker.io/library/ubuntu:16.04@sha256:" + hex: "image_tag:16.04 short_image:ubuntu",
			"docker.io/library/ubuntu@sha512:" + hex + hex: "short_image:ubuntu",
			"reg:5000/a/ubuntu@blake3:" + hex:              "short_image:ubuntu",
			"reg:5000/a/ubuntu":                            "short_image:ubuntu",
			"ubuntu:16.04":                                 "image_tag:16.04 short_image:ubuntu",
			"sha256:" + hex:                                "",
		} {
			got := tagsOf(t, extract.Options{},
				`{"kind":"container_image_metadata","id":"i","`+field+
					`":["`+reference+`"]}`)
			if strings.Join(got, " ") != want {
				t.Errorf("%s %s: %q, want %q", field, reference, got, want)
			}
		}
	}
}

// OpenTelemetry's SDKs in the container send what these values mean, decoded.
func TestOpenTelemetryAttributesAreReadAsSpecified(t *testing.T) {
	for attributes, want := range map[string]string{
		"service.name=check%20out%2Ceu,service.version=1.0%2Bbuild7":    "service:check out,eu version:1.0+build7",
		"service.version=1.0+build,service.name=100%":                   "service:100% version:1.0+build",
		"deployment.environment=old,deployment.environment.name=new":    "env:new",
		"deployment.environment.name=new, deployment.environment = old": "env:new",
		"deployment.environment=old,deployment.environment.name=":       "env:old",
		"service.name=a,service.name=b":                                 "service:b",
		"service.name=caf%C3%A9,service.version=%E4%BD":                 "service:café version:%E4%BD",
	} {
		got := tagsOf(t, extract.Options{},
			`{"kind":"container","id":"c","env":{"OTEL_RESOURCE_ATTRIBUTES":"`+attributes+`"}}`)
		got = slices.DeleteFunc(got, func(tag string) bool { return tag == "container_id:c" })
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", attributes, got, want)
		}
	}
}

// What is nested or null in an annotation makes no tag, and explain says so.
func TestNestedValuesAreProblemsAndNoTags(t *testing.T) {
	got := tagsOf(t, extract.Options{},
		`{"kind":"kubernetes_pod","id":"p","annotations":{"ad.datadoghq.com/tags":`+
			`"{\"zones\":[\"a\",null,{\"k\":\"v\"},[\"x\"],1,true],\"team\":\"core\",\"none\":null}"}}`)
	if want := "team:core zones:1 zones:a zones:true"; strings.Join(got, " ") != want {
		t.Errorf("tags %q, want %s", got, want)
	}
}

func TestSplitStaticTagsHaveNoBlanks(t *testing.T) {
	got := tagsOf(t, extract.Options{StaticTags: []string{"team:core, infra,,web,"},
		TagValueSplitSeparator: map[string]string{"team": ","}}, `{"kind":"container","id":"c"}`)
	if want := "team:core team:infra team:web container_id:c"; strings.Join(got, " ") != want {
		t.Errorf("tags %q, want %s", got, want)
	}
}
