package extract

import (
	"strings"

	"github.com/rollcall-dev/rollcall/comp/tagger"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// globalTaskTags adds what a task says of everything on the machine: where one agent serves
// one task, the task's tags; where it serves an instance, those of the cluster, as soon as
// it is known. It reports whether the task speaks for the machine at all.
func (x *Extractor) globalTaskTags(b *builder, t *workloadmeta.ECSTask) bool {
	switch {
	case t.LaunchType == workloadmeta.ECSLaunchTypeFargate,
		t.LaunchType == workloadmeta.ECSLaunchTypeManagedInstances && x.sidecar:
		x.taskTags(b, t)
	case t.ClusterName != "":
		b.add(ruleECSClusterName, t.ClusterName)
		b.add(ruleClusterARN, t.ClusterARN)
	default:
		return false
	}
	return true
}

func (x *Extractor) taskTags(b *builder, t *workloadmeta.ECSTask) {
	b.add(ruleTaskName, t.Family)
	b.add(ruleTaskFamily, t.Family)
	b.add(ruleTaskVersion, t.Version)
	b.add(ruleTaskARN, t.ID)
	b.add(ruleAWSAccount, t.AWSAccountID)
	b.add(ruleRegion, t.Region)
	b.add(ruleServiceARN, t.ServiceARN)
	if t.DaemonName == "" {
		b.add(ruleTaskDefinitionARN, t.TaskDefinitionARN)
	} else {
		b.add(ruleDaemonTaskDefinitionARN, t.TaskDefinitionARN)
	}
	b.add(ruleDaemonARN, t.DaemonARN)
	b.add(ruleECSDaemon, strings.ToLower(t.DaemonName))
	b.add(ruleECSService, strings.ToLower(t.ServiceName))
	if t.ClusterName != "" {
		if !x.noClusterName {
			b.add(ruleClusterName, t.ClusterName)
		}
		b.add(ruleECSClusterName, t.ClusterName)
		b.add(ruleClusterARN, t.ClusterARN)
	}
	if t.LaunchType == workloadmeta.ECSLaunchTypeFargate {
		b.add(ruleZoneDash, t.AvailabilityZone)
		b.add(ruleZone, t.AvailabilityZone)
	} else if x.ecsResourceTags {
		x.resourceTags(b, ruleInstanceResourceTag, t.ContainerInstanceTags)
		x.resourceTags(b, ruleTaskResourceTag, t.Tags)
	}
}

// resourceTags adds AWS tags. Names that start with "aws:" are AWS's own.
func (x *Extractor) resourceTags(b *builder, r rule, tags map[string]string) {
	for key, value := range tags {
		if strings.HasPrefix(key, "aws:") {
			continue
		}
		name := strings.ToLower(key)
		if x.ecsReplaceColon {
			name = strings.ReplaceAll(name, ":", "_")
		}
		b.addNamed(r, key, name, strings.ToLower(value), tagger.LowCardinality)
	}
}
