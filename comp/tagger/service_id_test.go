package tagger_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/comp/tagger"
)

var serviceIDs = []struct {
	text   string
	id     tagger.ServiceID
	entity tagger.EntityID // "" = none
}{
	{"docker://3f0c", tagger.ContainerServiceID("docker", "3f0c"), "container_id://3f0c"},
	{"cri-o://3f0c", tagger.ContainerServiceID("cri-o", "3f0c"), "container_id://3f0c"},
	{"kubernetes_pod://6b1f-1", tagger.PodServiceID("6b1f-1"), "kubernetes_pod_uid://6b1f-1"},
	{"ecs_task://5f00", tagger.TaskServiceID("5f00"), "ecs_task://5f00"},
	{"ecs_task://arn:aws:ecs:eu-west-3:210987654321:task/shop/5f00",
		tagger.TaskServiceID("arn:aws:ecs:eu-west-3:210987654321:task/shop/5f00"),
		"ecs_task://arn:aws:ecs:eu-west-3:210987654321:task/shop/5f00"},
	{"p-1/web/i-1", tagger.LRPContainerServiceID("p-1", "web", "i-1"), ""},
	{"a-1/my_db", tagger.LRPBoundServiceID("a-1", "my_db"), ""},
	{"_containerd", tagger.NodeServiceID("containerd"), ""},
	{"kube_endpoint_uid://shop/cart/10.0.0.9", tagger.KubeEndpointServiceID("shop", "cart", "10.0.0.9"), ""},
	{"kube_service://shop/cart", tagger.KubeServiceID("shop", "cart"),
		"kube_service://shop/cart"},
	{"af3337274ea50bd7", tagger.SNMPServiceID("af3337274ea50bd7"), ""},
}

func TestServiceIDForms(t *testing.T) {
	for _, c := range serviceIDs {
		got, err := tagger.ParseServiceID(c.text)
		if err != nil || got != c.id {
			t.Errorf("ParseServiceID(%q) = %+v, %v; want %+v", c.text, got, err, c.id)
		}
		if got := c.id.String(); got != c.text {
			t.Errorf("%+v.String() = %q, want %q", c.id, got, c.text)
		}
		entity, ok := c.id.TaggerEntity()
		if entity != c.entity || ok != (c.entity != "") {
			t.Errorf("%s: TaggerEntity() = %q, %v; want %q", c.text, entity, ok, c.entity)
		}
	}
}

func TestParseServiceIDNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "empty",
		"://x":                        `invalid scheme ""`,
		"a/b://x":                     `invalid scheme "a/b"`,
		"docker://":                   `nothing after "://"`,
		"container_id://3f0c":         `"container_id" is the prefix of a tagger's entity ID`,
		"kube_service://shop":         `"shop" is not <namespace>/<name>`,
		"kube_service://shop/":        `"shop/" is not <namespace>/<name>`,
		"kube_endpoint_uid://shop/ca": `"shop/ca" is not <namespace>/<name>/<ip>`,
		"_":                           "want _<name>",
		"a//b":                        "empty part",
		"a/b/c/d":                     "4 parts",
		"hello":                       "no known form",
	} {
		got, err := tagger.ParseServiceID(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseServiceID(%q) = %+v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func FuzzParseServiceID(f *testing.F) {
	for _, c := range serviceIDs {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := tagger.ParseServiceID(text)
		if err != nil {
			return
		}
		if got := id.String(); got != text {
			t.Fatalf("ParseServiceID(%q).String() = %q", text, got)
		}
		if entity, ok := id.TaggerEntity(); ok {
			if parsed, err := tagger.ParseEntityID(string(entity)); err != nil || parsed != entity {
				t.Fatalf("%q: ParseEntityID(%q) = %q, %v", text, entity, parsed, err)
			}
		}
	})
}
