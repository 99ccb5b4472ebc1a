package workloadmeta

// Source names who reported a view of an entity. Any non-empty string is a
// source; the constants are the ones with a place in the precedence table.
type Source string

// The sources rollcall's own collectors use.
const (
	SourceAll                 Source = ""                           // wildcard, in filters only
	SourceRuntime             Source = "runtime"                    // the local container runtime
	SourceNodeOrchestrator    Source = "node_orchestrator"          // an orchestrator's view of this node: kubelet, ECS agent
	SourceClusterOrchestrator Source = "cluster_orchestrator"       // a central component's view: API server, Cloud Foundry
	SourceKubeAPIServer       Source = "kubeapiserver"              // older name of the API server's view; read, never written
	SourceRemoteStore         Source = "remote_workloadmeta"        // another process's store
	SourceRemoteProcess       Source = "remote_process_collector"   // processes streamed by another process
	SourceLanguageServer      Source = "language_detection_server"  // languages reported by other nodes
	SourceHost                Source = "host"                       // tags of the host
	SourceTrivy               Source = "trivy"                      // results of image scans
	SourceNVML                Source = "nvml"                       // GPUs and the processes on them
	SourceProcess             Source = "process_collector"          // the scan of /proc
	SourceProcessLanguage     Source = "process_language_collector" // languages of local processes
	SourceServiceDiscovery    Source = "service_discovery"          // services of local processes
)
