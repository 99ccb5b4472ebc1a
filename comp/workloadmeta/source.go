package workloadmeta

// Source names the sort of information that a reporter has. Any non-empty string is a
// source; the constants are the ones with a place in the precedence table.
type Source string

// The sources rollcall's own collectors use.
const (
	SourceAll     Source = ""        // wildcard, in filters only
	SourceRuntime Source = "runtime" // the local container runtime
	// an orchestrator's view of this node: kubelet, ECS agent
	SourceNodeOrchestrator Source = "node_orchestrator"
	// which devices the kubelet has given to the node's containers
	SourceNodeDevices Source = "node_devices"
	// a central component's view: API server, Cloud Foundry
	SourceClusterOrchestrator Source = "cluster_orchestrator"
	// older name of the API server's view; read, never written
	SourceKubeAPIServer Source = "kubeapiserver"
	SourceRemoteStore   Source = "remote_workloadmeta" // another process's store
	// processes streamed by another process
	SourceRemoteProcess Source = "remote_process_collector"
	// languages reported by other nodes
	SourceLanguageServer Source = "language_detection_server"
	SourceHost           Source = "host"  // tags of the host
	SourceTrivy          Source = "trivy" // results of image scans
	// GPUs and the processes on them
	SourceNVML             Source = "nvml"
	SourceProcess          Source = "process_collector"          // the scan of /proc
	SourceProcessLanguage  Source = "process_language_collector" // languages of local processes
	SourceServiceDiscovery Source = "service_discovery"          // services of local processes
)
