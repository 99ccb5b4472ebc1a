package workloadmeta

// SameIncarnation reports whether two entities with one ID are the same thing. A
// process ID that was reused names another process: its end and its start are two
// events, not one change.
func SameIncarnation(a, b Entity) bool {
	x, ok := a.(*Process)
	if !ok {
		return true
	}
	y, ok := b.(*Process)
	return !ok || x.StartTicks == 0 || y.StartTicks == 0 || x.StartTicks == y.StartTicks
}

// Newest returns those of the reports of one ID that are about its latest incarnation: the
// process with the latest start. A report without a start is about that one. The result shares
// the reports where it can.
func Newest(reports []Report) []Report {
	var latest uint64
	aside := false
	for _, r := range reports {
		p, ok := r.Entity.(*Process)
		if !ok {
			return reports
		}
		aside = aside || p.StartTicks != 0 && latest != 0 && p.StartTicks != latest
		latest = max(latest, p.StartTicks)
	}
	if !aside {
		return reports
	}
	out := make([]Report, 0, len(reports))
	for _, r := range reports {
		if start := r.Entity.(*Process).StartTicks; start == 0 || start == latest {
			out = append(out, r)
		}
	}
	return out
}

// kindOf returns the kind that an entity's Go type stands for, or 0 for a nil pointer.
func kindOf(e Entity) Kind {
	switch e := e.(type) {
	case *Container:
		return ifSet(e != nil, KindContainer)
	case *KubernetesPod:
		return ifSet(e != nil, KindKubernetesPod)
	case *KubernetesMetadata:
		return ifSet(e != nil, KindKubernetesMetadata)
	case *KubernetesDeployment:
		return ifSet(e != nil, KindKubernetesDeployment)
	case *KubernetesService:
		return ifSet(e != nil, KindKubernetesService)
	case *ECSTask:
		return ifSet(e != nil, KindECSTask)
	case *ContainerImageMetadata:
		return ifSet(e != nil, KindContainerImage)
	case *Process:
		return ifSet(e != nil, KindProcess)
	case *Host:
		return ifSet(e != nil, KindHost)
	case *GPU:
		return ifSet(e != nil, KindGPU)
	case *Kubelet:
		return ifSet(e != nil, KindKubelet)
	case *KubeletMetrics:
		return ifSet(e != nil, KindKubeletMetrics)
	case *KubeCapabilities:
		return ifSet(e != nil, KindKubeCapabilities)
	case *CRD:
		return ifSet(e != nil, KindCRD)
	case *KueueQueue:
		return ifSet(e != nil, KindKueueQueue)
	case *KueueResourceFlavor:
		return ifSet(e != nil, KindKueueResourceFlavor)
	case *KueueWorkload:
		return ifSet(e != nil, KindKueueWorkload)
	}
	return 0
}

func ifSet(set bool, k Kind) Kind {
	if set {
		return k
	}
	return 0
}
