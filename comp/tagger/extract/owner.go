package extract

import (
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/pkg/kubenames"
)

// argoRolloutLabel is what Argo Rollouts puts on the pods of its replica sets.
const argoRolloutLabel = "rollouts-pod-template-hash"

// hashLabel is what the controller of Deployments puts on the pods of its replica sets.
const hashLabel = "pod-template-hash"

// deploymentOf returns which Deployment, or Argo rollout, made a replica set. Its controller
// labels every pod, so that the labels decide where they are known; the name alone is a guess.
func deploymentOf(p *workloadmeta.KubernetesPod, replicaSet string) string {
	if len(p.Labels) == 0 {
		return kubenames.DeploymentFromReplicaSet(replicaSet)
	}
	if owner := kubenames.DeploymentByHash(replicaSet, p.Labels[hashLabel]); owner != "" {
		return owner
	}
	return kubenames.DeploymentByHash(replicaSet, p.Labels[argoRolloutLabel])
}

// ownersOf returns the owners of a pod that count: its controller, or all where none is said to
// be it. Others, such as a backup that wants the pod to go with it, do not run it.
func ownersOf(p *workloadmeta.KubernetesPod) []workloadmeta.KubernetesPodOwner {
	for i := range p.Owners {
		if c := p.Owners[i].Controller; c != nil && *c {
			return p.Owners[i : i+1]
		}
	}
	return p.Owners
}

// ownerTags adds the tags of the owners of a pod.
func (x *Extractor) ownerTags(b *builder, p *workloadmeta.KubernetesPod) {
	owners := ownersOf(p)
	for i := range owners {
		o := &owners[i]
		b.add(ruleOwnerKind, strings.ToLower(o.Kind))
		b.add(ruleOwnerName, o.Name)
		switch o.Kind {
		case "Deployment":
			b.add(ruleDeployment, o.Name)
		case "ReplicaSet":
			b.add(ruleReplicaSet, o.Name)
			deployment := deploymentOf(p, o.Name)
			b.add(ruleDeployment, deployment)
			if p.Labels[argoRolloutLabel] != "" {
				b.add(ruleArgoRollout, deployment)
			}
		case "ReplicationController":
			b.add(ruleReplicationController, o.Name)
		case "StatefulSet":
			b.add(ruleStatefulSet, o.Name)
			if x.volumeClaims {
				b.addAll(ruleVolumeClaim, p.PersistentVolumeClaimNames)
			}
		case "DaemonSet":
			b.add(ruleDaemonSet, o.Name)
		case "Job":
			if cronJob := kubenames.CronJobFromJobAt(o.Name, p.CreationTimestamp); cronJob != "" {
				b.add(ruleCronJobJob, o.Name)
				b.add(ruleCronJob, cronJob)
			} else {
				b.add(ruleJob, o.Name)
			}
		}
	}
}
