package ecsarn_test

import (
	"strings"
	"testing"

	"github.com/rollcall-dev/rollcall/pkg/ecsarn"
)

func TestRegionAndAccount(t *testing.T) {
	tests := []struct{ in, region, account string }{
		{"arn:aws:ecs:eu-west-3:012345678901:task/shop/5f", "eu-west-3", "012345678901"},
		{"arn:aws:ecs:west:012345678901:task/x", "", "012345678901"},
		{"arn:aws:ecs:eu-west-3:1234:task/x", "eu-west-3", ""},
		{"arn:azure:ecs:eu-west-3:012345678901:t", "", ""},
		{"task-1", "", ""},
		{"", "", ""},
		{"arn:aws-cn:ecs:cn-northwest-1:310047729185:cluster/x", "cn-northwest-1", "310047729185"},
		{"arn:aws-us-gov:ecs:us-gov-west-1:007714902366:cluster/x", "us-gov-west-1", "007714902366"},
		{"arn:awsome:ecs:eu-west-3:012345678901:t", "", ""},
		{"arn:aws:s3:::bucket", "", ""},
		{"arn:aws:ecs", "", ""},
	}
	for _, tt := range tests {
		if region, account := ecsarn.RegionAndAccount(tt.in); region != tt.region ||
			account != tt.account {
			t.Errorf("RegionAndAccount(%q) = %q, %q; want %q, %q", tt.in, region, account,
				tt.region, tt.account)
		}
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		in     string
		want   ecsarn.ARN
		taskID string
	}{
		{
			in: "arn:aws:ecs:us-west-2:042731905618:task/orchard-prod/a651dfe3b3d81bc26ca80cec5639fede",
			want: ecsarn.ARN{
				Partition: "aws", Region: "us-west-2", Account: "042731905618", Type: "task",
				Cluster: "orchard-prod", ID: "a651dfe3b3d81bc26ca80cec5639fede",
			},
			taskID: "a651dfe3b3d81bc26ca80cec5639fede",
		},
		{
			in: "arn:aws:ecs:us-west-2:042731905618:task/97e99acf-7a2b-5edc-ba4a-7e17c2a9e914",
			want: ecsarn.ARN{
				Partition: "aws", Region: "us-west-2", Account: "042731905618", Type: "task",
				ID: "97e99acf-7a2b-5edc-ba4a-7e17c2a9e914",
			},
			taskID: "97e99acf-7a2b-5edc-ba4a-7e17c2a9e914",
		},
		{
			in: "arn:aws-eusc:ecs:eusc-de-east-1:118800423377:task/tidepool/2f08",
			want: ecsarn.ARN{
				Partition: "aws-eusc", Region: "eusc-de-east-1", Account: "118800423377",
				Type:    "task",
				Cluster: "tidepool", ID: "2f08",
			},
			taskID: "2f08",
		},
		{
			in: "arn:aws:ecs:us-west-2:042731905618:container-instance/orchard-prod/a2bc",
			want: ecsarn.ARN{
				Partition: "aws", Region: "us-west-2", Account: "042731905618",
				Type:    "container-instance",
				Cluster: "orchard-prod", ID: "a2bc",
			},
		},
		{
			in: "arn:aws:ecs:us-west-2:042731905618:cluster/orchard-prod",
			want: ecsarn.ARN{
				Partition: "aws", Region: "us-west-2", Account: "042731905618", Type: "cluster",
				Cluster: "orchard-prod", ID: "orchard-prod",
			},
		},
		{
			in: "arn:aws:ecs:us-west-2:042731905618:task-definition/shop:7",
			want: ecsarn.ARN{
				Partition: "aws", Region: "us-west-2", Account: "042731905618",
				Type: "task-definition", ID: "shop:7",
			},
		},
		{
			in:     "arn:aws:ecs:us-west-2:123:task/x",
			want:   ecsarn.ARN{Partition: "aws", Region: "us-west-2", Type: "task", ID: "x"},
			taskID: "x",
		},
	}
	for _, tt := range tests {
		got, err := ecsarn.Parse(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
		if got.TaskID() != tt.taskID {
			t.Errorf("Parse(%q).TaskID() = %q; want %q", tt.in, got.TaskID(), tt.taskID)
		}
	}
	for _, in := range []string{
		"", "orchard-prod", "arn:aws:s3:::bucket", "arn:azure:ecs:a-b-c:012345678901:task/x",
		"arn:aws:ecs:us-west-2:042731905618:task", "arn:aws:ecs:us-west-2:042731905618:task/",
		"arn:aws:ecs:us-west-2:042731905618",
	} {
		got, err := ecsarn.Parse(in)
		if err == nil || got != (ecsarn.ARN{}) {
			t.Errorf("Parse(%q) = %+v, %v; want an error", in, got, err)
		} else if !strings.Contains(err.Error(), `"`+in+`"`) {
			t.Errorf("Parse(%q): error %q does not name the input", in, err)
		}
	}
}

// FuzzParse checks that Parse and RegionAndAccount agree and keep their rules.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "arn:aws:ecs:eu-west-3:012345678901:task/shop/5f", "arn:aws:ecs:::/", "arn:::::",
		"arn:aws-:ecs:---:............:a/b/c/d",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		region, account := ecsarn.RegionAndAccount(s)
		if region != "" && strings.Count(region, "-") < 2 || account != "" && len(account) != 12 {
			t.Fatalf("RegionAndAccount(%q) = %q, %q", s, region, account)
		}
		a, err := ecsarn.Parse(s)
		if err != nil {
			return
		}
		if a.Region != region || a.Account != account {
			t.Fatalf("Parse(%q) = %+v; RegionAndAccount gives %q, %q", s, a, region, account)
		}
		if !strings.HasSuffix(s, a.ID) || !strings.Contains(s, a.Cluster) {
			t.Fatalf("Parse(%q) = %+v: a part is not a part of the input", s, a)
		}
	})
}
