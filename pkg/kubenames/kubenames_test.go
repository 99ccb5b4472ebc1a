package kubenames_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dev/rollcall/pkg/kubenames"
)

func TestDeploymentFromReplicaSet(t *testing.T) {
	tests := []struct{ in, want string }{
		{"cart-6d4b75cb9", "cart"},
		{"front-end-5f67c8d9f", "front-end"},
		{"cart-1013301", "cart"},
		{"cart-24x", "cart"},
		{"cart-24", ""},
		{"cart-7a9fd4c2", ""},
		{"cart-0b2c", ""},
		{"cart", ""},
		{"-6d4b75cb9", ""},
		{"cart-", ""},
		{"cart-6D4B75", ""},
		{"", ""},
		{"-", ""},
		{"a--bcd", "a-"},
		{"cart-bcdé", ""},
	}
	for _, tt := range tests {
		if got := kubenames.DeploymentFromReplicaSet(tt.in); got != tt.want {
			t.Errorf("DeploymentFromReplicaSet(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestCronJobFromJob(t *testing.T) {
	tests := []struct{ in, want string }{
		{"nightly-28391040", "nightly"},
		{"nightly-report-600", "nightly-report"},
		{"nightly-60", ""},
		{"nightly-6o0", ""},
		{"nightly", ""},
		{"-28391040", ""},
		{"nightly-99999999999999999999", ""},
		{"nightly-9223372036854775807", "nightly"},
		{"nightly-+600", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := kubenames.CronJobFromJob(tt.in); got != tt.want {
			t.Errorf("CronJobFromJob(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestMetadataEntityID(t *testing.T) {
	tests := []struct {
		id   kubenames.MetadataID
		want string
	}{
		{kubenames.MetadataID{Resource: "namespaces", Name: "shop"}, "/namespaces//shop"},
		{kubenames.MetadataID{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "cart"}, "apps/deployments/shop/cart"},
		{kubenames.MetadataID{Resource: "nodes", Name: "n1"}, "/nodes//n1"},
	}
	for _, tt := range tests {
		if got := kubenames.MetadataEntityID(tt.id.Group, tt.id.Resource, tt.id.Namespace,
			tt.id.Name); got != tt.want {
			t.Errorf("MetadataEntityID(%+v) = %q; want %q", tt.id, got, tt.want)
		}
		if got, err := kubenames.ParseMetadataEntityID(tt.want); got != tt.id || err != nil {
			t.Errorf("ParseMetadataEntityID(%q) = %+v, %v; want %+v", tt.want, got, err, tt.id)
		}
	}
	for _, in := range []string{"namespaces//shop", "a/b/c/d/e", ""} {
		got, err := kubenames.ParseMetadataEntityID(in)
		if err == nil || got != (kubenames.MetadataID{}) {
			t.Errorf("ParseMetadataEntityID(%q) = %+v, %v; want an error", in, got, err)
		} else if !strings.Contains(err.Error(), `"`+in+`"`) {
			t.Errorf("ParseMetadataEntityID(%q): error %q does not name the input", in, err)
		}
	}
}

// FuzzNames checks that a derived owner is always a proper prefix followed by
// a dash, and that metadata IDs survive a round trip.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"cart-6d4b75cb9", "nightly-28391040", "apps/deployments/shop/cart",
		"///", "-", "a-\xff\xff\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, owner := range []string{kubenames.DeploymentFromReplicaSet(s),
			kubenames.CronJobFromJob(s)} {
			if owner != "" && (!strings.HasPrefix(s, owner+"-") || len(s) < len(owner)+4) {
				t.Fatalf("owner of %q is %q", s, owner)
			}
		}
		id, err := kubenames.ParseMetadataEntityID(s)
		if (err == nil) != (strings.Count(s, "/") == 3) {
			t.Fatalf("ParseMetadataEntityID(%q): %v", s, err)
		}
		if err == nil && id.String() != s {
			t.Fatalf("ParseMetadataEntityID(%q) = %+v, which prints as %q", s, id, id.String())
		}
	})
}

// A CronJob's suffix is a time, and its pods begin soon after.
func TestCronJobFromJobAt(t *testing.T) {
	created := time.Date(2026, 5, 12, 3, 0, 7, 0, time.UTC)
	at := func(d time.Duration, unit time.Duration) string {
		return "backup-" + strconv.FormatInt(created.Add(d).UnixNano()/int64(unit), 10)
	}
	for _, tt := range []struct {
		name    string
		created time.Time
		want    string
	}{
		{at(0, time.Minute), created, "backup"},
		{at(-3*time.Hour, time.Minute), created, "backup"},
		{at(10*time.Minute, time.Minute), created, "backup"}, // clocks differ
		{at(-30*time.Second, time.Second), created, "backup"},
		{at(-48*time.Hour, time.Minute), created, ""},
		{at(3*time.Hour, time.Minute), created, ""},
		{"db-migrate-101", created, ""},
		{"cleanup-20260512", created, ""},
		{"import-2024", created, ""},
		{"x-9223372036854775807", created, ""},
		{"import-2024", time.Time{}, "import"},
		{"import-x24", created, ""},
	} {
		if got := kubenames.CronJobFromJobAt(tt.name, tt.created); got != tt.want {
			t.Errorf("CronJobFromJobAt(%q, %s) = %q, want %q", tt.name, tt.created, got, tt.want)
		}
	}
}

func TestDeploymentByHash(t *testing.T) {
	for _, tt := range [][3]string{{"web-abcde", "abcde", "web"},
		{"web-7d9c5b8f6", "7d9c5b8f6", "web"},
		{"cache-rds", "", ""}, {"web-abcde", "other", ""}, {"webabcde", "abcde", ""}, {"", "",
			""}} {
		if got := kubenames.DeploymentByHash(tt[0], tt[1]); got != tt[2] {
			t.Errorf("DeploymentByHash(%q, %q) = %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}
