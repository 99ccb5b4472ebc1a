package podresources

import (
	"context"
	"time"

	podresourcesv1 "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/kubeletsocket"
)

// service is the API, for error messages.
func service() kubeletsocket.API {
	return kubeletsocket.API{Name: "PodResources API",
		Since: "the kubelet has version v1 of the PodResources API since Kubernetes 1.20"}
}

// client asks the kubelet over its socket.
type client struct {
	*kubeletsocket.Conn
	api     podresourcesv1.PodResourcesListerClient
	timeout time.Duration
}

func (c *Collector) connect() (*client, error) {
	conn, err := kubeletsocket.New(service(), c.opts.Socket, c.dial)
	if err != nil {
		return nil, err
	}
	return &client{Conn: conn, api: podresourcesv1.NewPodResourcesListerClient(conn),
		timeout: c.opts.CallTimeout}, nil
}

func (a *client) list(ctx context.Context) ([]*podresourcesv1.PodResources, error) {
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	answer, err := a.api.List(limited, &podresourcesv1.ListPodResourcesRequest{})
	if err != nil {
		return nil, a.Explain(ctx, "list devices", err)
	}
	return answer.GetPodResources(), nil
}
