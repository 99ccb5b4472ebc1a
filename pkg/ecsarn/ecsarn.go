// Package ecsarn reads the Amazon resource names of ECS objects.
//
// [RegionAndAccount] is the lenient reading that tags are made from: each part
// is kept only if it is plausible by itself. [Parse] reads the rest of an ECS
// ARN and refuses what is not one. The format is
// "arn:<partition>:<service>:<region>:<account>:<resource>"
// (AWS General Reference, "Amazon Resource Names").
//
// All functions are pure and safe on any input.
package ecsarn

import (
	"fmt"
	"strings"
)

// accountDigits is the length of every AWS account ID, which may start with
// zeroes and is therefore kept as text.
const accountDigits = 12

// ARN is an ECS resource name in parts. Parts it does not have, or that are
// not plausible, are empty.
type ARN struct {
	Partition string // "aws", "aws-cn", "aws-us-gov", …
	Region    string // "eu-west-3"
	Account   string // twelve characters
	Type      string // "task", "cluster", "container-instance", "service", …
	Cluster   string // short name; empty in ARNs of the short (2015) format
	ID        string // last part of the resource: task ID, service or cluster name, …
}

// RegionAndAccount returns the region and the account of an AWS resource name
// of any partition and service. The region is kept only if it has two dashes
// or more, the account only if it has twelve characters; what is missing is "".
func RegionAndAccount(arn string) (region, account string) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 5 || parts[0] != "arn" || !isAWS(parts[1]) {
		return "", ""
	}
	if strings.Count(parts[3], "-") >= 2 {
		region = parts[3]
	}
	if len(parts[4]) == accountDigits {
		account = parts[4]
	}
	return region, account
}

// Parse takes an ECS resource name apart. The error names the input and the
// part that is wrong.
func Parse(arn string) (ARN, error) {
	parts := strings.SplitN(arn, ":", 6)
	switch {
	case len(parts) != 6 || parts[0] != "arn":
		return ARN{},
			fmt.Errorf("parse ECS ARN %q: want arn:<partition>:ecs:<region>:<account>:<resource>",
				arn)
	case !isAWS(parts[1]):
		return ARN{}, fmt.Errorf("parse ECS ARN %q: unknown partition %q", arn, parts[1])
	case parts[2] != "ecs":
		return ARN{}, fmt.Errorf("parse ECS ARN %q: service is %q, want ecs", arn, parts[2])
	}
	kind, rest, ok := strings.Cut(parts[5], "/")
	if !ok || kind == "" || rest == "" {
		return ARN{}, fmt.Errorf("parse ECS ARN %q: resource %q is not <type>/<name>", arn,
			parts[5])
	}
	a := ARN{Partition: parts[1], Type: kind, ID: rest}
	a.Region, a.Account = RegionAndAccount(arn)
	if kind == "cluster" {
		a.Cluster = rest
	} else if cluster, id, ok := strings.Cut(rest, "/"); ok {
		a.Cluster, a.ID = cluster, id
	}
	return a, nil
}

// TaskID returns the ID of the task the name stands for, or "" if it does not
// name a task.
func (a ARN) TaskID() string {
	if a.Type != "task" {
		return ""
	}
	return a.ID
}

func isAWS(partition string) bool {
	return partition == "aws" || strings.HasPrefix(partition, "aws-")
}
